"""Triggers: the menu of the period; for each leg a lepton of its own above its threshold."""

from dataclasses import replace
from itertools import pairwise, permutations

import ntuples
import numpy as np
import pytest
from conftest import REPOSITORY, read_json, read_table
from ntuples import Event, Lepton, three_leptons
from test_run import assert_same_results

from analysis import triggers
from analysis.records import COLUMN
from analysis.triggers import MENUS, RUN2

REGION = ("-r", "SR3L_trigger")
CHAINS = {trigger.name: trigger for menu in RUN2 for trigger in menu.triggers}
AHEAD = {2015: 280000, 2016: 300000, 2017: 330000, 2018: 350000}  # runs

# --- what is declared -----------------------------------------------------------------------------


@pytest.mark.parametrize("menus", MENUS.values(), ids=MENUS)
def test_periods_do_not_overlap_and_names_can_be_columns(menus):
    assert all(menu.first <= menu.last for menu in menus)
    assert all(one.last < other.first for one, other in pairwise(menus))
    names = [menu.column(trigger) for menu in menus for trigger in menu.triggers]
    assert len(names) == len(set(names))
    assert not [name for name in names if [*COLUMN.problems(name, "")]]
    legs = [leg for menu in menus for trigger in menu.triggers for leg in trigger.legs]
    assert all(leg.pt > 0 and leg.flavour in triggers.FLAVOURS for leg in legs)


# --- events made here -----------------------------------------------------------------------------


class Fired:
    """What the triggers do in an event: {chain: for each lepton whether it is matched}."""

    def __init__(self, event, **matched):
        self.event, self.matched = event, matched


def branches_with(made):
    """The branches of `susy` and those of the triggers; made: {EventNumber: Fired}."""
    branches = dict(ntuples.SUSY)
    for chain in CHAINS:

        def fired(event, chain=chain):
            return chain in made[event.number].matched

        def matched(event, chain=chain):
            return made[event.number].matched.get(chain, [False] * len(event.leptons))

        branches[f"trigMatch_HLT_{chain}"] = "O", fired
        branches[f"lepHLT_{chain}"] = "bool", matched
    return branches


def leptons(*pairs, **changes):
    """Signal leptons of these (flavour, pT)."""
    return tuple(
        Lepton(pt, flavour, -1 if k else 1, 0.5 * k, 1.0 * k, **changes)
        for k, (flavour, pt) in enumerate(pairs)
    )


E, MU = 1, 2
EEM = ((E, 60), (E, 30), (MU, 25))
TWO_E, E_MU, TWO_MU = "2e17_lhvloose_nod0", "e17_lhloose_nod0_mu14", "mu22_mu8noL1"


def of_2016(*pairs, **changes):
    return Event(leptons(*pairs), run=AHEAD[2016], **changes)


def cases():
    """Yield (Fired, whether it is selected): one thing after the other."""
    eem = of_2016(*EEM)
    yield Fired(eem), False
    yield Fired(eem, **{TWO_E: [1, 1, 0]}), True
    # Both legs ask for the one electron that is matched.
    yield Fired(eem, **{TWO_E: [1, 0, 0]}), False
    yield Fired(eem, **{TWO_E: [1, 0, 1]}), False  # a muon is no electron
    yield Fired(eem, **{E_MU: [0, 1, 1]}), True
    yield Fired(eem, **{E_MU: [1, 1, 0]}), False
    yield Fired(eem, **{TWO_E: [1, 0, 0], E_MU: [1, 0, 1]}), True  # either
    # Each leg has a threshold of its own: 23 and 9, at which a muon counts.
    for pts, good in (((23, 21, 9), True), ((22.9, 21, 9), False), ((23, 21, 8.9), False)):
        mmm = of_2016(*((MU, pt) for pt in pts))
        yield Fired(mmm, **{TWO_MU: [1, 0, 1]}), good
        yield Fired(mmm, **{TWO_MU: [0, 1, 1]}), False
        # The leading muon is needed for the leg that the others are too soft for.
        yield Fired(mmm, **{TWO_MU: [1, 1, 1]}), pts[0] >= 23
    mme = of_2016((MU, 40), (MU, 30), (E, 17.9))
    yield Fired(mme, **{E_MU: [1, 1, 1]}), False
    yield (
        Fired(replace(mme, leptons=leptons((MU, 40), (MU, 30), (E, 18))), **{E_MU: [1, 1, 1]}),
        True,
    )
    # A lepton beside the signal leptons matches nothing.
    extra = Lepton(20, E, isolated=False, overlap_free=False)
    beside = replace(eem, leptons=(*eem.leptons, extra))
    yield Fired(beside, **{E_MU: [0, 0, 1, 1]}), False
    # The periods: first and last runs, and between.
    old = "2e12_lhloose_L12EM10VH"
    for run, chain, good in (
        (276261, old, False),
        (276262, old, True),
        (284484, old, True),
        (284485, old, False),
        (297729, TWO_E, False),
        (297730, TWO_E, True),
        (311481, TWO_E, True),
        (311482, TWO_E, False),
        (300000, old, False),  # that of another year
        (280000, TWO_E, False),
        (340453, "2e24_lhvloose_nod0", True),
        (364292, "2e24_lhvloose_nod0", True),
        (364293, "2e24_lhvloose_nod0", False),
    ):
        yield Fired(replace(eem, run=run), **{chain: [1, 1, 0]}), good


def drawn(number, run):
    """Yield random Fired around all thresholds; run: name of the field of an Event."""
    draw = np.random.default_rng(7)
    runs = [*AHEAD.values(), 276261, 284485, 311482]
    for _ in range(number):
        pts = sorted((float(x) for x in draw.uniform(7, 40, 3) + [0, 5, 10]), reverse=True)
        event = Event(leptons(*((int(draw.integers(1, 3)), pt) for pt in pts)))
        event = replace(event, **{run: int(draw.choice(runs))})
        fired = [name for name in CHAINS if draw.random() < 0.3]
        yield Fired(event, **{n: [bool(x) for x in draw.random(3) < 0.7] for n in fired})


def is_matched(trigger, event, flags):
    """By trying all leptons for all legs."""
    found = zip(event.leptons, flags, strict=True)
    return any(
        all(
            flag and x.flavour == leg.flavour and np.float32(x.pt) >= leg.pt
            for leg, (x, flag) in zip(trigger.legs, some, strict=True)
        )
        for some in permutations(found, len(trigger.legs))
    )


def number_of(fired, menus):
    """How many triggers of these menus select an event."""
    return sum(
        is_matched(trigger, fired.event, fired.matched[trigger.name])
        for menu in menus
        for trigger in menu.triggers
        if trigger.name in fired.matched
    )


def two_hard(event):
    return sum(np.float32(x.pt) > 20 for x in event.leptons) >= 2


@pytest.fixture(scope="module")
def inputs(ROOT, tmp_path_factory):
    """Samples file, and {sample: {EventNumber: whether it is selected}}."""
    folder = tmp_path_factory.mktemp("triggers")
    expected, declared = {}, []

    def add(name, fired, good, kind="data", without=()):
        made = {
            number: Fired(replace(each.event, number=number), **each.matched)
            for number, each in enumerate(fired)
        }
        events = [each.event for each in made.values()]
        ntuples.write(folder / f"{name}.root", events, branches_with(made), without=without)
        declared.append({"name": name, "kind": kind, "files": [f"{name}.root"]})
        expected[name] = {n for n, passes in enumerate(good) if passes}

    fired, good = zip(*cases(), strict=True)
    add("cases", fired, good)
    for name, field, kind in (("data", "run", "data"), ("simulated", "random_run", "background")):
        fired = [*drawn(400, field)]
        menus = [
            [m for m in RUN2 if m.first <= getattr(each.event, field) <= m.last] for each in fired
        ]
        good = [two_hard(f.event) and number_of(f, m) for f, m in zip(fired, menus, strict=True)]
        add(name, fired, good, kind)
    # Without RandomRunNumber: the menus of the campaign, of which one has two years.
    fired = [
        Fired(replace(each.event, run=run), **each.matched)
        for run, each in zip(
            (284500, 300000, 310000, 1) * 50, drawn(200, "random_run"), strict=True
        )
    ]
    menus = {284500: RUN2[:2], 300000: RUN2[2:3], 310000: RUN2[3:], 1: ()}
    good = [two_hard(f.event) and number_of(f, menus[f.event.run]) for f in fired]
    add("campaigns", fired, good, "background", ("RandomRunNumber",))
    return ntuples.samples_file(folder / "made.toml", *declared), expected


@pytest.fixture(scope="module")
def output(inputs, tmp_path_factory):
    """Output folder of a run with the compiled chain."""
    from conftest import run_program

    folder = tmp_path_factory.mktemp("output")
    outcome = run_program(
        "--samples", inputs[0], "-r", "SR3L", *REGION[1:], "-j", "1", "-o", folder
    )
    assert outcome.status == 0, outcome.err
    return folder


@pytest.mark.parametrize("sample", ["cases", "data", "simulated", "campaigns"])
def test_events_are_selected_that_have_a_trigger(inputs, output, sample):
    expected = inputs[1][sample]
    found = {*read_table(output, sample, "3lep_trigger").EventNumber}
    assert found == expected
    everything = read_table(output, sample)
    assert 5 < len(found) < len(everything)
    rows = read_json(output / "cutflow.json")["SR3L_trigger"][sample]
    assert [(row["cut"], row["entries"]) for row in rows[-2:]] == [
        ("2 with pT > 20", len(everything)),
        ("trigger", len(found)),
    ]


@pytest.mark.slow
def test_chain_as_it_is_gives_the_same(inputs, output, run_here, tmp_path):
    words = ("--samples", inputs[0], "-r", "SR3L", *REGION[1:], "-j", "1", "--plain")
    outcome = run_here(*words, "-o", tmp_path)
    assert outcome.status == 0, outcome.err
    assert_same_results(output, tmp_path)


def test_other_regions_read_no_trigger(inputs, ROOT):
    from analysis.job import Job
    from analysis.options import declared_job
    from analysis.prepare import plan_samples
    from run_rdf import parser

    for region, read in (("SR3L", False), ("SR3L_trigger", True)):
        options = parser().parse_args(["--samples", str(inputs[0]), "-r", region])
        items, _ = plan_samples(Job(*declared_job(options)))
        for item in items:
            assert any("HLT" in name for name in item.plan.inputs) == read
            assert any(d.name == "n_trigger" for d in item.plan.definitions) == read


def test_event_is_explained(inputs, run_here):
    outcome = run_here("--samples", inputs[0], *REGION, "--event", "cases@2")
    assert outcome.status == 0, outcome.err
    assert any(
        line.split()[:2] == ["FAIL", "trigger"] and "0 > 0" in line and "n_trigger > 0" in line
        for line in outcome.out.splitlines()
    ), outcome.out


def test_list_shows_menus_and_cut(run_here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    lines = run_here("--list").out.splitlines()
    assert "  trigger              n_trigger > 0" in lines
    assert "triggers of susy, for cuts on n_trigger" in lines
    (line,) = [line for line in lines if line.startswith("  2016 ") and "2e17" in line]
    assert line.split()[1:5] == ["runs", "297730", "to", "311481,"]
    assert (
        "simulation 284500: 2e17_lhvloose_nod0 (e 18, e 18) or mu22_mu8noL1 (mu 23, mu 9)" in line
    )


# --- formats without them -------------------------------------------------------------------------

LINE = (
    "m3l: cut 'trigger' of region 'SR3L_trigger' in analysis/selection.py needs 'n_trigger', which "
    "the files of sample 'made' do not carry (schema '{schema}': {what}, see analysis/triggers.py)"
)


def test_region_without_the_branches_is_one_line(run_here, tmp_path):
    ntuples.write(tmp_path / "made.root", [three_leptons()])
    samples = ntuples.samples_file(tmp_path / "made.toml", {"name": "made", "files": ["made.root"]})
    outcome = run_here("--samples", samples, *REGION, "-o", tmp_path / "out")
    what = "no trigMatch_HLT_2e12_lhloose_L12EM10VH, lepHLT_2e12_lhloose_L12EM10VH, "
    what += "trigMatch_HLT_mu18_mu8noL1, lepHLT_mu18_mu8noL1 (and 12 more)"
    assert (outcome.status, outcome.lines) == (1, [LINE.format(schema="susy", what=what)])
    assert not (tmp_path / "out" / "run.json").exists()


def test_one_branch_that_is_missing_is_named(run_here, tmp_path):
    event = three_leptons()
    branches = branches_with({event.number: Fired(event)})
    without = ("lepHLT_2e24_lhvloose_nod0",)
    ntuples.write(tmp_path / "made.root", [event], branches, without=without)
    sample = {"name": "made", "files": ["made.root"]}
    samples = ntuples.samples_file(tmp_path / "made.toml", sample)
    outcome = run_here("--samples", samples, *REGION, "--check")
    line = LINE.format(schema="susy", what="no lepHLT_2e24_lhvloose_nod0")
    assert (outcome.status, outcome.lines) == (1, [line])


def test_format_without_a_menu_is_one_line(run_here, tmp_path, monkeypatch):
    monkeypatch.delitem(MENUS, "susy")
    ntuples.write(tmp_path / "made.root", [three_leptons()])
    sample = {"name": "made", "files": ["made.root"]}
    samples = ntuples.samples_file(tmp_path / "made.toml", sample)
    outcome = run_here("--samples", samples, *REGION, "--check")
    line = LINE.format(schema="susy", what="it has no menu")
    assert (outcome.status, outcome.lines) == (1, [line])


# --- real collisions ------------------------------------------------------------------------------

REAL = REPOSITORY.parent / "shared" / "data" / "atlas13_2020"


@pytest.mark.skipif(not REAL.is_dir(), reason="the files of ../shared/data are not here")
def test_real_collisions_agree_with_numpy(run_here, tmp_path):
    import uproot

    words = ("--samples", REAL / "samples.toml", "-r", "SR3L", *REGION[1:], "-o", tmp_path)
    assert run_here(*words).status == 0
    some = 0
    for sample in read_json(tmp_path / "cutflow.json")["SR3L"]:
        with uproot.open(REAL / f"{sample[:6]}.{sample[7:]}.root") as file:
            names = ("lep_pt", "lep_type", "lep_trigMatched", "trigE", "trigM", "eventNumber")
            events = {e["eventNumber"]: e for e in file["mini"].arrays(names).to_list()}
        before = {*read_table(tmp_path, sample).EventNumber}
        found = {*read_table(tmp_path, sample, "3lep_trigger").EventNumber}
        for number in before:
            event = events[number]
            fired = {11: event["trigE"], 13: event["trigM"]}
            leptons = zip(event["lep_pt"], event["lep_type"], event["lep_trigMatched"], strict=True)
            # Of the files with three good leptons, whose leptons are all signal leptons.
            if sample.endswith("3good"):
                good = any(f and fired[kind] and pt >= 27000 for pt, kind, f in leptons)
                assert (number in found) == good
                some += good
    assert some > 5


# --- trigger objects instead of flags -------------------------------------------------------------


def of_nanoaod(made):
    """Branches of NanoAOD with triggers; made: {EventNumber: (what has fired, trigger objects)}.

    A trigger object is (eta, phi, id, filterBits).
    """
    branches = ntuples.nanoaod()
    for menu in MENUS["nanoaod"]:
        for trigger in menu.triggers:
            name = trigger.name
            branches[trigger.fired] = "O", lambda e, name=name: name in made[e.number][0]
    branches["nTrigObj"] = "i", lambda e: len(made[e.number][1])
    kinds = {"eta": "F[]", "phi": "F[]", "id": "I[]", "filterBits": "I[]"}
    for place, (name, kind) in enumerate(kinds.items()):
        values = lambda e, place=place: [each[place] for each in made[e.number][1]]  # noqa: E731
        branches[f"TrigObj_{name}"] = kind, values
    return branches


def test_lepton_near_a_trigger_object_of_its_kind_is_matched(run_here, tmp_path):
    tight, one, two = "Ele27_WPTight_Gsf", "IsoMu24", "Mu17_TrkIsoVVL_Mu8_TrkIsoVVL_DZ"
    first, second, third = (0.05, 0.0), (0.5, 1.05), (1.0, 2.0)  # near the leptons
    cases = [
        ((), [(*second, 13, 2)], False),
        ((one,), [(*second, 13, 2)], True),
        ((one,), [(*second, 13, 1)], False),  # another filter
        ((one,), [(*second, 11, 2)], False),  # another kind
        ((one,), [(*first, 13, 2)], False),  # near the electron
        ((one,), [(0.5, 1.11, 13, 2)], False),  # too far
        ((one,), [], False),
        ((tight,), [(*first, 11, 2 + 16)], True),
        ((two,), [(*second, 13, 1), (*third, 13, 1)], True),
        ((two,), [(*second, 13, 1), (*second, 13, 1)], False),  # one muon
    ]
    event = Event(leptons((E, 60), (MU, 50), (MU, 25)), run=281613)
    events = [replace(event, number=k) for k in range(len(cases))]
    made = {k: (fired, objects) for k, (fired, objects, _) in enumerate(cases)}
    ntuples.write(tmp_path / "made.root", events, of_nanoaod(made), "Events")
    sample = {"name": "made", "files": ["made.root"], "schema": "nanoaod", "kind": "data"}
    samples = ntuples.samples_file(tmp_path / "made.toml", sample | {"tree": None})
    outcome = run_here("--samples", samples, *REGION, "-o", tmp_path / "out")
    assert outcome.status == 0, outcome
    found = {*read_table(tmp_path / "out", "made", "3lep_trigger").EventNumber}
    assert found == {k for k, (*_, good) in enumerate(cases) if good}
