"""From declarations to an ordered plan, without ROOT."""

from dataclasses import replace

import pytest

from analysis import triggers
from analysis.features import Binning, Feature
from analysis.plan import Planner, absent_columns, identifiers, is_number
from analysis.samples import Normalisation, Sample
from analysis.schemas import SCHEMAS
from analysis.selection import Cut, Object, Region, Variable

FLOATS = "ROOT::VecOps::RVec<float>"
SUSY = SCHEMAS["susy"]
BRANCHES = {column.branch or column.name: "Float_t" for column in SUSY.columns}
BRANCHES |= {column.name: FLOATS for column in SUSY.columns if column.vector}
BRANCHES = {
    name: kind
    for name, kind in BRANCHES.items()
    if not name.startswith(("pho", "0 *", "jetBTag", "jetdl1r >"))
} | {"jetdl1r": FLOATS}
SAMPLE = Sample("a", "p", "background", "susy", ("/a.root",), "t", 1.0)
OBJECTS = (
    Object("good", "lep", ("lepPt > 10", "abs(lepEta) < 2", "lepTight")),
    Object("photon", "pho", ("phoPt > 10",)),
)
VARIABLES = (Variable("n_good", "Sum(good)"),)
REGION = Region("R", (Cut("two", "n_good == 2"),), "2lep")


def feature(name, expression, **more):
    return Feature(name, expression, name, "", Binning(1, 0, 1), **more)


def plan(features=(), regions=(REGION,), branches=BRANCHES, objects=OBJECTS, sample=SAMPLE):
    """(Plan or None, Planner)."""
    planner = Planner(sample, SUSY, branches, objects, VARIABLES)
    planner.add_weight(Normalisation(1.0))
    return planner.plan(regions, features, "matrix(met_Et)", {"normalisation": 1.0}), planner


@pytest.mark.parametrize(
    "expression, names",
    [
        ("lepPt > 20", ("lepPt",)),
        ("Sum(lepPt[good] > 20) >= 2", ("lepPt", "good")),
        ("sfos.mass + sfos->mass", ("sfos",)),
        ("TMath::Pi() * ROOT::RVecF(x)", ("x",)),
        ('name == "lepEta" && y', ("name", "y")),
        ("1e3 * x1 + 2.f", ("x1",)),
        ("a + b + a", ("a", "b")),
        ("static_cast<double>(z)", ("z",)),
        ("std::abs(eta)", ("eta",)),
    ],
)
def test_names_in_an_expression(expression, names):
    assert identifiers(expression) == names


@pytest.mark.parametrize(
    "kind",
    ["float", "Float_t", "ULong64_t", "unsigned int", "bool", "std::int32_t"]
    + ["ROOT::VecOps::RVec<float>", "ROOT::RVec<unsigned int>", "ROOT::VecOps::RVec<bool>"],
)
def test_numbers_and_lists_of_numbers(kind):
    assert is_number(kind)


@pytest.mark.parametrize("kind", ["std::string", "TLorentzVector", "RVec<RVec<float>>", "TH1D*"])
def test_what_is_no_number(kind):
    assert not is_number(kind)


def test_definitions_come_after_those_they_need():
    made, _ = plan((feature("late", "early + 1"), feature("early", "n_good * 2")))
    names = [definition.name for definition in made.definitions]
    assert names.index("good") < names.index("n_good") < names.index("early") < names.index("late")


def test_only_what_is_needed_is_read_and_defined():
    made, _ = plan()
    assert "jetPt" not in made.inputs and "lepPhi" not in made.inputs
    assert {"lepPt", "lepEta", "lepTight", "met_Et", "EventNumber"} <= set(made.inputs)
    assert "jetBTag" not in {definition.name for definition in made.definitions}


def test_columns_of_a_row_are_in_their_order():
    made, _ = plan((feature("n", "n_good", integer=True), feature("x", "met_Et * 2.f")))
    identity = ("DatasetNumber", "RunNumber", "EventNumber")
    assert made.columns == (*identity, "wgt_SG", "rmm", "x", "n")


def test_cut_of_an_object_without_its_column_is_left_out_and_told():
    branches = {name: kind for name, kind in BRANCHES.items() if name != "lepTight"}
    made, planner = plan(branches=branches)
    (good,) = [d for d in made.definitions if d.name == "good"]
    assert good.expression == "(lepPt > 10) && (abs(lepEta) < 2)"
    assert made.left_out == ("good: lepTight",)


def test_object_of_a_kind_that_the_format_lacks_is_absent():
    made, planner = plan()
    assert "photon" in planner.absent
    assert absent_columns(SUSY, BRANCHES) >= {"phoPt", "phoEta", "phoPhi", "phoM"}


def test_feature_that_needs_an_absent_object_says_so():
    made, planner = plan((feature("n_pho", "Sum(photon)"),))
    assert made is None
    assert planner.problems == [
        "feature 'n_pho' in analysis/features.py needs 'photon', which the files of sample 'a' "
        "do not carry (schema 'susy')"
    ]


def test_all_unknown_columns_are_told_at_once():
    regions = (Region("R", (Cut("one", "lepPTT > 1"), Cut("two", "n_goood > 1")), "x"),)
    made, planner = plan((feature("f", "met_Ett"),), regions)
    assert made is None and len(planner.problems) == 3
    assert (
        "unknown column 'n_goood' in cut 'two' of region 'R' in analysis/selection.py, "
        "did you mean 'n_good'?"
    ) in planner.problems


def test_feature_with_an_alternative_has_it_where_the_format_lacks_what_it_needs():
    n_pho = feature("n_pho", "Sum(photon)", needs=("photon",), otherwise="0")
    made, _ = plan((n_pho,))
    (defined,) = [d for d in made.definitions if d.name == "n_pho"]
    assert defined.expression == "0"
    pho = {name: FLOATS for name in ("phoPt", "phoEta", "phoPhi")}
    made, _ = plan((n_pho,), branches=BRANCHES | pho)
    (defined,) = [d for d in made.definitions if d.name == "n_pho"]
    assert defined.expression == "Sum(photon)"


def test_arrays_of_an_object_are_checked_against_each_other():
    made, _ = plan((feature("x", "Sum(jetEta) + Sum(jetdl1r) + mine"),), branches=BRANCHES | MINE)
    assert set(made.checks) == set(made.inputs)
    arrays = {name: of for name, of in made.checks.items() if of}
    assert arrays == {
        **dict.fromkeys(("lepPt", "lepEta", "lepTight"), "lep"),
        **dict.fromkeys(("jetEta", "jetdl1r"), "jet"),
    }
    assert next(iter(arrays)) == "lepPt"
    assert made.checks["met_Et"] == made.checks["mine"] == ""


MINE = {"mine": "Float_t"}


def test_condition_of_sound_branches():
    made, _ = plan((feature("x", "Sum(jetEta) + Sum(jetdl1r)"),))
    assert made.is_sound(["lepEta", "met_Et", "lepPt", "jetdl1r"]) == (
        "m3l::isSound(lepPt) && m3l::isSound(lepEta, lepPt) && m3l::isSound(jetdl1r) && "
        "m3l::isSound(met_Et)"
    )
    assert made.is_sound(["lepPt", "jetEta"], known=["jetdl1r", "lepPt"]) == (
        "m3l::isSound(jetEta, jetdl1r)"
    )
    assert made.is_sound(["lepPt"], known=["lepPt"]) == ""


def test_circle_of_definitions_is_told():
    made, planner = plan((feature("x", "y + 1"), feature("y", "x + 1")))
    assert made is None
    (problem,) = planner.problems
    assert "depends on itself: " in problem


def test_weight_of_data_is_one():
    data = Sample("d", "data", "data", "susy", ("/d.root",), "t")
    planner = Planner(data, SUSY, BRANCHES, OBJECTS, VARIABLES)
    planner.add_weight(None)
    made = planner.plan((REGION,), (), "matrix(met_Et)", {})
    (weight,) = [d for d in made.definitions if d.name == "wgt_SG"]
    assert weight.expression == "1.0"
    assert not {*SUSY.weights} & {*made.inputs}


def test_weight_leaves_out_factors_that_the_files_do_not_carry():
    branches = {name: kind for name, kind in BRANCHES.items() if name != "jvtWeight"}
    made, _ = plan(branches=branches)
    (weight,) = [d for d in made.definitions if d.name == "wgt_SG"]
    assert weight.expression == (
        "normalisation * scaleFactorProduct(genWeight, eventWeight, bTagWeight, leptonWeight, "
        "globalDiLepTrigSF, pileupWeight)"
    )
    assert "wgt_SG: jvtWeight" in made.left_out


def test_branch_of_another_shape_is_told():
    branches = BRANCHES | {"lepPt": "Float_t"}
    made, planner = plan(branches=branches)
    assert made is None
    assert planner.problems[0] == (
        "sample 'a': branch 'lepPt' is of type Float_t, but schema 'susy' expects "
        "a list of numbers per event for lepPt"
    )


def test_branches_of_two_collections_need_not_be_of_one_length():
    nano = SCHEMAS["nanoaod"]
    names = {(n, c.vector) for c in nano.columns for n in identifiers(c.expression)}
    branches = {name: FLOATS if vector else "Float_t" for name, vector in names}
    sample = Sample("a", "p", "data", "nanoaod", ("/a.root",), "Events")
    planner = Planner(sample, nano, branches, OBJECTS[:1], VARIABLES)
    planner.add_weight(None)
    made = planner.plan((REGION,), (feature("jets", "Sum(jetPt)"),), "matrix(met_Et)", {})
    assert made, planner.problems
    of = {name: made.checks[name] for name in ("Electron_pt", "Muon_pt", "Jet_pt", "MET_pt")}
    assert of == {"Electron_pt": "Electron", "Muon_pt": "Muon", "Jet_pt": "Jet", "MET_pt": ""}
    condition = made.is_sound(("Electron_pt", "Electron_eta", "Muon_pt"))
    assert (
        "m3l::isSound(Electron_eta, Electron_pt)" in condition and "isSound(Muon_pt)" in condition
    )


def planned_triggers(monkeypatch, menu, kind, branches):
    """The Planner of a sample of a kind whose format has that menu."""
    monkeypatch.setitem(triggers.MENUS, "susy", (menu,))
    objects = (Object("lep_SG", "lep", ("lepPt > 10",)),)
    return Planner(replace(SAMPLE, kind=kind), SUSY, branches, objects, ())


def test_simulation_for_which_no_menu_stands_is_no_event_without_trigger(monkeypatch):
    leg = triggers.Leg(triggers.MUON, 20, "lepHLT_mu")
    menu = triggers.Menu("a", 10, 20, (triggers.Trigger("mu", "HLT_mu", (leg,)),))
    there = BRANCHES | {"HLT_mu": "bool", "lepHLT_mu": "ROOT::VecOps::RVec<bool>"}
    bare = {name: kind for name, kind in there.items() if name != "RandomRunNumber"}
    for kind, branches, period in (
        ("data", bare, "(RunNumber >= 10 && RunNumber <= 20) && "),
        ("signal", there, "(RandomRunNumber >= 10 && RandomRunNumber <= 20) && "),
        ("signal", bare, None),
    ):
        planner = planned_triggers(monkeypatch, menu, kind, branches)
        assert ("n_trigger" in planner.absent) == (period is None)
        if period:
            assert planner.definitions["n_trigger"].expression == "trigger_a_mu"
            assert planner.definitions["trigger_a_mu"].expression.startswith(period)
        else:
            assert planner.reasons["n_trigger"].startswith("no RandomRunNumber, and no menu says ")
    planner = planned_triggers(monkeypatch, replace(menu, simulated=(7, 8)), "signal", bare)
    made = planner.definitions["trigger_a_mu"].expression
    assert made.startswith("(RunNumber == 7 || RunNumber == 8) && HLT_mu && triggerMatched(lepPt, ")
    assert "{ROOT::RVecI(lep_SG && lepFlavor == 2 && (lepHLT_mu))}, {20.0})" in made
