"""Control, validation and search regions share no event, and the search leaves none out."""

import math
import re
from itertools import combinations, product

import numpy as np
import pytest
from conftest import read_json, read_table
from plot_inputs import write_run

from analysis import selection
from analysis.errors import InputError
from analysis.output import IDENTITY
from analysis.results import Results
from analysis.stats.__main__ import main
from analysis.stats.overlap import as_text, check_disjoint, find_overlap

PARTS = [r for r in selection.REGIONS if r.role != "signal" or r.name == "SR_search"]
NAMES = [region.name for region in PARTS]

# --- as declared: whatever the features of an event are -----------------------------------------

COLUMNS = ("n_ossf", "m_ossf_z", "n_bjet", "met_Et", "m_T_unpaired", "lt_met")
WORDS = (("&&", " and "), ("||", " or "), (r"!(?!=)", " not "))


def condition(region):
    """A function of the columns of an event: is one with THREE_LEPTONS in the region?"""
    cuts = [cut.expression for cut in region.cuts if cut not in selection.THREE_LEPTONS]
    text = " and ".join(f"({cut})" for cut in cuts) or "True"
    for sign, word in WORDS:
        text = re.sub(sign if "?" in sign else re.escape(sign), word, text)
    compiled = compile(text.strip(), region.name, "eval")
    assert set(compiled.co_names) <= set(COLUMNS)
    return lambda event: bool(eval(compiled, {}, event))


INSIDE = {region.name: condition(region) for region in PARTS}


def homes(event):
    """The names of the regions that an event is in."""
    return [name for name, inside in INSIDE.items() if inside(event)]


def limits():
    """{column: numbers that cuts compare it with}."""
    text = " ".join(cut.expression for region in PARTS for cut in region.cuts)
    found = {name: re.findall(rf"\b{name} [<>=]+ (\d+)", text) for name in COLUMNS}
    assert all(found.values())
    return {name: sorted(set(map(float, numbers))) for name, numbers in found.items()}


def test_every_event_at_and_beside_each_cut_is_in_one_region():
    values = [
        {float(np.nextafter(cut, cut + side)) for cut in cuts for side in (-1, 0, 1)} | {math.nan}
        for cuts in limits().values()
    ]
    for event in product(*values):
        assert len(homes(dict(zip(COLUMNS, event, strict=True)))) == 1


def test_every_random_event_is_in_one_region():
    random = np.random.default_rng(1)
    found = {name: 0 for name in INSIDE}
    for _ in range(20_000):
        event = {
            "n_ossf": random.integers(0, 3),
            "m_ossf_z": random.exponential(15),
            "n_bjet": random.integers(0, 2),
            "met_Et": random.exponential(40),
            "m_T_unpaired": random.exponential(40),
            "lt_met": random.exponential(250),
        }
        (home,) = homes(event)
        found[home] += 1
    assert min(found.values()) > 20


def test_a_search_region_without_the_exclusion_would_be_noticed():
    """Of the tests above: they can fail."""
    event = dict(n_ossf=1, m_ossf_z=1, n_bjet=0, met_Et=50, m_T_unpaired=50, lt_met=200)
    assert homes(event) == ["CR_WZ"]
    with_all = selection.Region("SR_search", selection.THREE_LEPTONS, tag="SR_search")
    assert condition(with_all)(event)


def test_the_search_leaves_out_each_region():
    (search,) = [r for r in PARTS if r.name == "SR_search"]
    assert search.cuts[-1] == selection.outside((*selection.CONTROL, *selection.VALIDATION))
    assert search.cuts[:-1] == selection.THREE_LEPTONS
    assert all(set(selection.THREE_LEPTONS) < set(r.cuts) for r in PARTS if r is not search)


# --- in a run of the demo -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo_regions(tmp_path_factory):
    """Output folder of the demo with SR3L and all regions that are its parts."""
    from conftest import run_program

    folder = tmp_path_factory.mktemp("regions") / "out"
    outcome = run_program("-j", "1", "-r", "SR3L", *NAMES, "--unblind", "-o", folder)
    assert outcome.status == 0, outcome.err
    return folder


def identities(folder, sample, region):
    """The events of a table."""
    tag = next(r.tag for r in selection.REGIONS if r.name == region)
    table = read_table(folder, sample, tag)
    return set(zip(*(table[name] for name in IDENTITY), strict=True))


def test_regions_of_the_demo_are_disjoint_and_make_up_the_whole(demo_regions):
    filled = set()
    for sample in (s["name"] for s in read_json(demo_regions / "run.json")["samples"]):
        events = {name: identities(demo_regions, sample, name) for name in NAMES}
        for one, other in combinations(NAMES, 2):
            assert events[one] & events[other] == set(), (sample, one, other)
        assert set().union(*events.values()) == identities(demo_regions, sample, "SR3L")
        filled |= {name for name in NAMES if events[name]}
    assert filled == set(NAMES)


def test_yields_of_the_regions_add_up(demo_regions):
    cutflow = read_json(demo_regions / "cutflow.json")
    for sample, rows in cutflow["SR3L"].items():
        last = [cutflow[name][sample][-1] for name in NAMES]
        assert sum(row["entries"] for row in last) == rows[-1]["entries"]
        assert sum(row["sumw"] for row in last) == pytest.approx(rows[-1]["sumw"], rel=1e-9)


def test_regions_of_the_demo_can_be_fitted_together(demo_regions):
    overlap = check_disjoint(Results(demo_regions), NAMES)
    assert overlap.pairs() == [] and overlap.hidden == ()
    entries = read_json(demo_regions / "cutflow.json")
    for place, name in enumerate(NAMES):
        last = {sample: rows[-1]["entries"] for sample, rows in entries[name].items()}
        assert overlap.data[place, place] == last.pop("data")
        assert overlap.simulated[place, place] == sum(last.values())


def test_command_names_what_is_shared(demo_regions, capsys):
    main(["overlap", str(demo_regions), "-r", *NAMES])
    assert "no event is in two of these regions" in capsys.readouterr().out
    with pytest.raises(SystemExit) as exit:
        main(["overlap", str(demo_regions), "-r", "CR_WZ", "SR3L"])
    out, err = capsys.readouterr()
    shared = find_overlap(Results(demo_regions), ["CR_WZ"])
    assert exit.value.code == 1 and len(err.splitlines()) == 1
    assert "signal region SR3L and control region CR_WZ" in err and "such as SR3L" in err
    assert f" {shared.simulated[0, 0]} simulated events and {shared.data[0, 0]} of data" in err
    assert max(map(len, out.splitlines())) <= 80


def test_no_workspace_counts_an_event_twice(demo_regions, capsys):
    words = ["workspace", str(demo_regions), "--count", "-r"]
    with pytest.raises(SystemExit) as exit:
        main([*words, "SR3L", "CR_WZ"])
    err = capsys.readouterr().err
    assert exit.value.code == 1 and "signal region SR3L and control region CR_WZ share" in err
    assert not (demo_regions / "stats").exists()
    main([*words, "SR_search", "CR_WZ", "CR_ttbar", "CR_fake"])
    assert (demo_regions / "stats" / "search" / "workspace_background.json").exists()


# --- of tables made here ------------------------------------------------------------------------


def moved(region, sample, table):
    """A table whose events have numbers of their own in CR_WZ, but for three of WZ."""
    if region == "CR_WZ":
        shared = 3 if sample == "WZ" else 0
        table.loc[table.index[shared:], "EventNumber"] += 1_000_000
    return table


def test_events_are_the_same_by_sample_and_identity(tmp_path):
    """Two samples of simulation may number their events alike; streams of data may not."""
    folder = write_run(tmp_path / "out", regions=("SR3L", "CR_WZ"), edit=moved)
    overlap = find_overlap(Results(folder), ["SR3L", "CR_WZ", "CR_WZ"])
    assert overlap.regions == ("SR3L", "CR_WZ")
    assert overlap.simulated.tolist() == [[2800, 3], [3, 2800]]
    assert overlap.data.tolist() == [[400, 0], [0, 400]]
    with pytest.raises(InputError, match="share 3 simulated events and 0 of data"):
        check_disjoint(Results(folder), ["SR3L", "CR_WZ"])


def test_blind_data_is_not_looked_at(tmp_path):
    folder = write_run(tmp_path / "out", regions=("SR3L", "SR_search"), blind=("SR_search",))
    overlap = find_overlap(Results(folder), ["SR3L", "SR_search"])
    assert overlap.data.tolist() == [[400, 0], [0, 0]] and overlap.hidden == ("SR_search",)
    assert as_text(overlap)[-2].split() == ["(2)", "SR_search", "*", "*"]


def test_unknown_region_is_one_line(tmp_path, capsys):
    folder = write_run(tmp_path / "out")
    with pytest.raises(SystemExit):
        main(["overlap", str(folder), "-r", "SR3"])
    assert "did you mean 'SR3L'?" in capsys.readouterr().err
