"""Features and layouts as declared."""

import re

import pytest
import reference
from hypothesis import given, settings, strategies

from analysis import features, records
from analysis.declarations import doubled
from analysis.features import Binning, Layout, ObjectType

LAYOUTS = {layout.name: layout for layout in features.LAYOUTS}


@pytest.mark.parametrize("name, size", [("T3N5", 15), ("T4N5", 23), ("T5N10", 36)])
def test_layouts_have_the_types_of_the_definition(name, size):
    layout = LAYOUTS[name]
    assert layout.size == size
    types = tuple((kind.name, kind.multiplicity) for kind in layout.types)
    assert types == reference.LAYOUTS[name]
    assert (layout.energy_scale, layout.h) == (1.0, "published")


@pytest.mark.parametrize("name", LAYOUTS)
def test_cells_have_the_names_of_the_compiled_functor(ROOT, name):
    layout = LAYOUTS[name]
    kinds = ROOT.std.vector["m3l::RMM::Type"]()
    for kind in layout.types:
        kinds.push_back(ROOT.m3l.RMM.Type(kind.name, kind.multiplicity))
    labels = [str(label) for label in ROOT.m3l.RMM(kinds).labels()]
    cells = features.cells(layout)
    assert [cell.name for cell in cells] == labels
    assert [cell.cell for cell in cells] == [divmod(n, layout.size) for n in range(layout.size**2)]


def test_each_feature_has_a_name_of_its_own():
    for layout in features.LAYOUTS:
        made = (*features.cells(layout), *features.scalars(layout))
        names = [feature.name for feature in made]
        assert len(names) == len(set(names))


def test_the_features_that_were_asked_for_are_there():
    names = {feature.name for feature in features.FEATURES}
    assert names >= {
        *("flcomp", "lepPt_0", "lepPt_1", "lepPt_2", "lepCharge_0", "lepCharge_1", "lepCharge_2"),
        *("m_3l", "m_sfos", "met_significance", "ht_lep", "ht_jet"),
        *("n_jet", "n_bjet", "n_ele", "n_muo", "n_ossf", "charge_sum"),
        *("m_ossf_z", "m_same_sign", "m_pair_min", "m_pair_max", "m_T_unpaired", "m_T_min"),
        *("m_T_max", "m_T_3l", "pt_3l", "pt_3l_met", "lt_met", "m_eff"),
    }


def test_each_feature_has_a_label_and_bins():
    for feature in (*features.cells(LAYOUTS["T5N10"]), *features.FEATURES):
        assert feature.label
        assert feature.binning.bins > 0 and feature.binning.low < feature.binning.high
        assert feature.label.count("$") % 2 == 0
        assert feature.label.count("{") == feature.label.count("}")


def test_flavour_codes_have_a_bin_each():
    (flcomp,) = [feature for feature in features.FEATURES if feature.name == "flcomp"]
    assert flcomp.binning == Binning(6, -0.5, 5.5)
    assert flcomp.integer


def test_networks_see_one_flavour_code_each():
    (flcomp,) = [feature for feature in features.FEATURES if feature.name == "flcomp"]
    assert flcomp.categories == (0, 1, 2, 3, 4, 5)
    assert not any(feature.categories for feature in features.FEATURES if feature != flcomp)


@pytest.mark.parametrize("name", LAYOUTS)
def test_objects_travel_with_every_layout(name):
    made = features.carried(LAYOUTS[name])
    names = {feature.name for feature in made}
    leptons = {f"lep{what}_{k}" for what in ("Eta", "Phi", "M", "Flavor") for k in range(3)}
    jets = {f"jet{what}_{k}" for what in ("Pt", "Eta", "Phi", "M", "BTag") for k in range(10)}
    photons = {f"pho{what}_{k}" for what in ("Pt", "Eta", "Phi", "M") for k in range(5)}
    assert names == leptons | jets | {"met_Phi"} | (photons if name == "T5N10" else set())
    for feature in made:
        assert (feature.binning, feature.network, feature.integer) == (None, False, False)


def test_energies_have_a_unit_and_ratios_have_none():
    units = {cell.name: cell.unit for cell in features.cells(LAYOUTS["T3N5"])}
    for name in ("e_T_miss", "m_T_jet_0", "e_T_jet_0", "m_jet_0_ele_1"):
        assert units[name] == "GeV"
    for name in ("h_L_jet_0", "h_ele_1_jet_0", "delta_e_t_jet_1"):
        assert units[name] == ""


def test_scaled_energies_have_no_unit_and_scaled_bins():
    layout = Layout("mine", (ObjectType("jet", 2, "jet", "jet_SG", "j"),), energy_scale=13000.0)
    cells = {cell.name: cell for cell in features.cells(layout)}
    assert cells["e_T_miss"].unit == ""
    assert cells["e_T_miss"].binning.high == pytest.approx(500 / 13000)
    assert cells["h_L_jet_0"].binning == features.cells(LAYOUTS["T3N5"])[15].binning


def test_numbers_of_objects_travel_with_every_layout():
    assert [f.name for f in features.counts(LAYOUTS["T3N5"])] == []
    assert [f.name for f in features.counts(LAYOUTS["T4N5"])] == ["n_ljet"]
    assert [f.name for f in features.counts(LAYOUTS["T5N10"])] == ["n_ljet", "n_pho"]


def test_types_that_a_format_does_not_carry_stay_empty():
    text = LAYOUTS["T5N10"].expression({"pho_SG"})
    assert text.count("Objects{}") == 1 and "phoPt" not in text
    assert "phoPt" in LAYOUTS["T5N10"].expression(set())


WORDS = strategies.sampled_from(("jet", "lep", "a", "a_0", "jet_SG", 'x", 1}', "a b", "", "é")) | (
    strategies.text(max_size=5)
)
TYPES = strategies.fixed_dictionaries(
    {
        "name": WORDS,
        "multiplicity": strategies.integers(-1, 5) | strategies.just(10**9) | strategies.none(),
        "of": WORDS,
        "mask": WORDS,
        "label": WORDS,
    }
)
ANY_LAYOUT = strategies.fixed_dictionaries(
    {
        "name": WORDS,
        "types": strategies.lists(TYPES, max_size=3),
        "energy_scale": strategies.sampled_from((1.0, 1000, 0.5)) | strategies.floats(),
        "h": strategies.sampled_from(("published", "thesis", "kX);evil(")),
    }
)
PLAIN_TYPES = strategies.fixed_dictionaries(
    {
        "name": strategies.from_regex(r"[a-c](_[0-2])?(_[a-c])?", fullmatch=True),
        "multiplicity": strategies.integers(1, 3),
        "of": strategies.sampled_from(("jet", "lep")),
        "mask": strategies.just("jet_SG"),
        "label": strategies.just("j"),
    }
)
PLAIN_LAYOUT = strategies.fixed_dictionaries(
    {
        "name": strategies.just("T"),
        "types": strategies.lists(PLAIN_TYPES, min_size=1, max_size=3),
        "energy_scale": strategies.just(1.0),
        "h": strategies.just("published"),
    }
)


@settings(deadline=None, max_examples=600, derandomize=True, database=None)
@given(ANY_LAYOUT | PLAIN_LAYOUT)
def test_any_layout_is_refused_or_names_and_numbers(declared):
    if any(records.LAYOUT.problems(declared, "layout")):
        return
    types = tuple(ObjectType(**kind) for kind in declared["types"])
    layout = Layout(**{**declared, "types": types})
    expression = layout.expression(frozenset())
    quoted = re.findall(r'"([^"]*)"', expression)
    assert quoted == [kind.name for kind in types]
    words = set(re.findall(r"[^\W\d]\w*", re.sub(r'"[^"]*"', "", expression)))
    own = set("static const RMM matrix objects H return met_Et met_Phi e".split())
    own |= {f"{kind.of}{what}" for kind in types for what in ("Pt", "Eta", "Phi", "M")}
    assert words <= own | {kind.mask for kind in types} | {"kPublished", "kThesis"}
    cells = features.cells(layout)
    assert len(cells) == layout.size**2
    assert len({cell.cell for cell in cells}) == len(cells)
    for cell in cells:
        assert not any(records.COLUMN.problems(cell.name, "name"))
    # Names of cells may meet where those of the types are odd; that is told.
    met = len(cells) - len({cell.name for cell in cells})
    assert bool(met) == bool(doubled(cells, "a column"))


def test_layouts_whose_cells_have_one_name_are_told():
    kind = ObjectType("a", 1, "jet", "jet_SG", "j")
    names = ("a", "a_0_b", "b_0_c", "c")
    odd = Layout("odd", tuple(ObjectType(n, 1, "jet", "jet_SG", "j") for n in names))
    assert doubled(features.cells(odd), "a column") and not doubled(
        features.cells(Layout("good", (kind,))), "a column"
    )
