"""Bad values of events: found in every branch, told with file, entry and branch, or left out."""

import math
from array import array
from dataclasses import replace
from filecmp import cmp

import ntuples
import pytest
from conftest import read_json, read_table, run_program, slow
from ntuples import three_leptons

FORMATS = {
    "susy": (ntuples.SUSY, "nominal"),
    "opendata2020": (ntuples.opendata(2020), "mini"),
    "opendata2025": (ntuples.opendata(2025), "analysis"),
    "nanoaod": (ntuples.nanoaod(), "Events"),
}
GOOD = 20  # events
UNREAD = ("lep_d0", "lep_isTightIso")  # by no plan

ARRAY_FAULTS = {
    "one too many": lambda values: [*values, values[0]],
    "one too few": lambda values: values[:-1],
    "nan": lambda values: [math.nan, *values[1:]],
    "inf": lambda values: [*values[:-1], math.inf],
}
NUMBER_FAULTS = {"nan": lambda value: math.nan, "-inf": lambda value: -math.inf}


def faults(branches):
    """(branch, name of the fault) of all that can be wrong with an event."""
    for name, (kind, _) in branches.items():
        if name in UNREAD:
            continue
        if kind in ("F", "D"):
            yield from ((name, fault) for fault in NUMBER_FAULTS)
        elif kind == "F[]":  # whose length is that of all arrays of the collection
            yield from ((name, fault) for fault in ("nan", "inf"))
        elif kind.removesuffix("[]") not in ntuples.CODES:
            whole = kind not in ("float", "double")
            yield from ((name, fault) for fault in [*ARRAY_FAULTS][: 2 if whole else None])


def spoilt(branches, spoil):
    """The branches with faults; spoil: {number of an event: (branch, name of the fault)}."""
    made = {}
    for name, (kind, value) in branches.items():

        def spoilt_value(event, name=name, value=value):
            branch, fault = spoil.get(event.number, (None, None))
            values = value(event)
            if branch != name:
                return values
            return (ARRAY_FAULTS if isinstance(values, list) else NUMBER_FAULTS)[fault](values)

        made[name] = kind, spoilt_value
    return made


class Made:
    """Two files in which every fault is there once, and two without those events."""

    def __init__(self, folder, schema):
        branches, self.tree = FORMATS[schema]
        # 1000 is what the files of the test hold; the sum of weights is declared.
        self.faults = dict(enumerate(faults(branches), 1000))
        self.branches = spoilt(branches, self.faults)
        good = [three_leptons(number=k, met=50.0 + k) for k in range(GOOD)]
        bad = [three_leptons(number=k) for k in self.faults]
        # Alternating files, so that all kinds of faults are in both.
        self.events = (good[:10] + bad[::2], bad[1::2] + good[10:])
        self.samples, self.clean = (
            self.write(folder / name, schema, events)
            for name, events in (("bad", self.events), ("clean", (good[:10], good[10:])))
        )

    def write(self, folder, schema, events):
        """A samples file for these events of each file."""
        folder.mkdir()
        for name, of_file in zip(("one.root", "two.root"), events, strict=True):
            ntuples.write(folder / name, of_file, self.branches, self.tree)
        sample = {"name": "made", "files": ["one.root", "two.root"], "schema": schema}
        more = {"tree": self.tree, "xsec_pb": 1.0, "sum_of_weights": 1000.0}
        more = more if schema in ("susy", "nanoaod") else {"tree": self.tree}
        return ntuples.samples_file(folder / "samples.toml", sample | more)


@pytest.fixture(scope="module", params=FORMATS)
def made(ROOT, request, tmp_path_factory):
    return Made(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def susy(ROOT, tmp_path_factory):
    return Made(tmp_path_factory.mktemp("susy"), "susy")


@pytest.fixture(scope="module")
def clean_output(made, tmp_path_factory):
    """The output of a run over the files without the bad events."""
    folder = tmp_path_factory.mktemp("clean") / "out"
    outcome = run_program("--samples", made.clean, "-j", "1", "-o", folder)
    assert (outcome.status, outcome.lines) == (0, [])
    return folder


def prepared(samples, *words):
    """The only sample of a samples file, ready for its loop, and the layout of its rows."""
    from analysis.job import Job
    from analysis.options import declared_job
    from analysis.prepare import prepare, row_layout
    from run_rdf import parser

    options = parser().parse_args(["--samples", str(samples), *words])
    job = Job(*declared_job(options), plain=options.plain)
    (item,), row = prepare(job)
    return item, row_layout(job.declarations, row)


def test_every_fault_of_every_branch_ends_the_compiled_loop(made, tmp_path):
    from analysis.guard import event_loop
    from analysis.soundness import BAD_EVENT

    item, layout = prepared(made.samples)
    assert item.compiled
    kinds = {n: kind.removesuffix("[]") for n, (kind, _) in made.branches.items()}
    whole = {n for n, kind in kinds.items() if kind in ntuples.CODES and kind not in "FD"}
    assert {branch for branch, _ in made.faults.values()} == set(item.plan.inputs) - whole
    found = {}
    for position, event in enumerate(e for events in made.events for e in events):
        loop = event_loop(replace(item, begin=position, entries=1), layout, tmp_path)
        found[event.number] = loop.fill(lambda entries: None)
    assert {number for number, problem in found.items() if problem} == set(made.faults)
    assert all(BAD_EVENT in found[number] for number in made.faults)


def test_every_fault_is_told_with_its_branch(ROOT, made):
    from analysis.dataframes import dataframe
    from analysis.output import IDENTITY
    from analysis.soundness import FOUND, SOUND, branches_and_identity, wrong

    item, _ = prepared(made.samples)
    bad = branches_and_identity(item.plan, dataframe(item)).Filter(f"!{SOUND}")
    events = ROOT.m3l.takeValues(ROOT.RDF.AsRNode(bad), FOUND).GetValue()
    told = {}
    for event in events:
        branches = event[1 + len(IDENTITY) :] if isinstance(event, list) else list(event)[4:]
        number = int(event[len(IDENTITY)].whole)
        told[number] = wrong(item.plan, dict(zip(item.plan.checks, branches, strict=True)))
    assert set(told) == set(made.faults)
    for number, (branch, fault) in made.faults.items():
        assert f"'{branch}'" in told[number], (branch, fault, told[number])
        words = fault if fault in ("nan", "inf", "-inf") else " values, '"
        assert words in told[number], (branch, fault, told[number])


@pytest.mark.parametrize("words", ["-j 1", slow("-j 1 --plain"), "-j 2"])
def test_dropping_gives_the_bytes_of_files_without_the_bad_events(
    made, clean_output, tmp_path, words
):
    words = ("-o", tmp_path, "--drop-bad-events", *words.split())
    outcome = run_program("--samples", made.samples, *words)
    assert outcome.status == 0, outcome.err
    bad, read = len(made.faults), len(made.faults) + GOOD
    warning = f"m3l: warning: sample 'made': {bad} of {read} events have bad values and were left "
    assert outcome.lines == [f"{warning}out"]
    (table,) = (path.name for path in (clean_output / "hdf5").iterdir())
    assert cmp(tmp_path / "hdf5" / table, clean_output / "hdf5" / table, shallow=False)
    assert len(read_table(tmp_path, "made")) == GOOD
    assert read_json(tmp_path / "cutflow.json") == read_json(clean_output / "cutflow.json")
    record = read_json(tmp_path / "run.json")
    (sample,) = record["samples"]
    assert (sample["dropped_events"], sample["entries_read"]) == (bad, read)
    assert record["drop_bad_events"]


# The first fault of the first file: lepPt has one value too many.
LINE = (
    "m3l: sample 'made': {number} events have bad values, the first is entry 10 of "
    "{folder}/one.root (DatasetNumber 500001, RunNumber 300000, EventNumber 1000), where branch "
    "'lepEta' has 3 values, 'lepPt' has 4; --drop-bad-events leaves them out"
)


@pytest.mark.parametrize(
    "words", [(), *map(slow, (("--plain",), ("-j", "2"), ("-j", "2", "--plain")))]
)
def test_run_fails_with_one_line_and_writes_nothing(run_here, susy, tmp_path, words):
    run = run_program if "-j" in words else run_here
    outcome = run("--samples", susy.samples, "-o", tmp_path / "out", *words)
    line = LINE.format(number=len(susy.faults), folder=susy.samples.parent)
    assert outcome.status == 1
    assert outcome.lines == [line]
    assert not list((tmp_path / "out").rglob("*.hdf5"))


# One of a weight, of the first cut, of the last and of the rows.
@pytest.mark.parametrize("branch", ["pileupWeight", "lepFlavor", "lepTight", "lepM", "jetPhi"])
@pytest.mark.parametrize("words", [(), slow(("--plain",))], ids=["compiled", "plain"])
def test_second_file_and_only_its_bad_event(run_here, tmp_path, branch, words):
    spoil = {7: next(each for each in faults(ntuples.SUSY) if each[0] == branch)}
    branches = spoilt(ntuples.SUSY, spoil)
    for name, numbers in (("one", range(5)), ("two", range(5, 10))):
        events = [three_leptons(number=number) for number in numbers]
        ntuples.write(tmp_path / f"{name}.root", events, branches)
    samples = ntuples.samples_file(
        tmp_path / "samples.toml", {"name": "made", "files": ["one.root", "two.root"]}
    )
    outcome = run_here("--samples", samples, "-o", tmp_path / "out", *words)
    (line,) = outcome.lines
    start = (
        "m3l: sample 'made': 1 event has bad values, the first is entry 2 of "
        f"{tmp_path}/two.root (DatasetNumber 500001, RunNumber 300000, EventNumber 7), where "
        f"branch '{branch}' "
    )
    assert (outcome.status, line.startswith(start)) == (1, True), line
    # Dropping leaves out nothing else; a part of the entries has none.
    outcome = run_here("--samples", samples, "-o", tmp_path / "out", "-n", "7", *words)
    assert (outcome.status, outcome.lines) == (0, [])


@pytest.mark.parametrize("words", [(), slow(("--plain",))], ids=["compiled", "plain"])
def test_values_that_an_event_does_not_use_do_not_matter(run_here, tmp_path, words):
    """Two leptons are not selected, so that nobody looks at the jets."""
    events = [three_leptons(number=k) for k in range(3)]
    events[1] = replace(events[1], leptons=events[1].leptons[:2])
    ntuples.write(tmp_path / "made.root", events, spoilt(ntuples.SUSY, {1: ("jetM", "nan")}))
    samples = ntuples.samples_file(
        tmp_path / "samples.toml", {"name": "made", "files": ["made.root"]}
    )
    outcome = run_here("--samples", samples, "-o", tmp_path / "out", *words)
    assert (outcome.status, outcome.lines) == (0, [])
    assert len(read_table(tmp_path / "out", "made")) == 2
    outcome = run_here("--samples", samples, "-o", tmp_path / "out", "--drop-bad-events", *words)
    (line,) = outcome.lines
    assert line.endswith("sample 'made': 1 of 3 events have bad values and were left out")


@pytest.mark.parametrize("words", [(), slow(("--plain",))], ids=["compiled", "plain"])
@pytest.mark.parametrize("shape", ["RNTuple", slow("C array")])
def test_other_ways_to_hold_arrays(ROOT, run_here, tmp_path, shape, words):
    """NaN in jetPhi of event 2, and, where lengths can differ, a jetM too many in event 4."""
    spoil = {2: ("jetPhi", "nan")} | ({4: ("jetM", "one too many")} if shape == "RNTuple" else {})
    events = [three_leptons(number=k) for k in range(6)]
    ntuples.write(tmp_path / "tree.root", events, spoilt(ntuples.SUSY, spoil))
    rewrite(ROOT, tmp_path / "tree.root", tmp_path / "made.root", shape)
    samples = ntuples.samples_file(
        tmp_path / "samples.toml", {"name": "made", "files": ["made.root"]}
    )
    outcome = run_here("--samples", samples, "-o", tmp_path / "out", *words)
    (line,) = outcome.lines
    number = "1 event has" if len(spoil) == 1 else "2 events have"
    assert line == (
        f"m3l: sample 'made': {number} bad values, the first is entry 2 of {tmp_path}/made.root "
        "(DatasetNumber 500001, RunNumber 300000, EventNumber 2), where branch 'jetPhi' holds nan; "
        "--drop-bad-events leaves them out"
    )
    outcome = run_here("--samples", samples, "-o", tmp_path / "out", "--drop-bad-events", *words)
    assert outcome.status == 0
    kept = read_table(tmp_path / "out", "made").EventNumber
    assert list(kept) == [k for k in range(6) if k not in spoil]


def rewrite(ROOT, path, new, shape):
    """Copy the tree `nominal` into an RNTuple, or into a tree with C arrays."""
    df = ROOT.RDataFrame("nominal", str(path))
    options = ROOT.RDF.RSnapshotOptions()
    if shape == "RNTuple":
        options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
        df.Snapshot("nominal", str(new), df.GetColumnNames(), options)
        return
    kinds = {name: kind for name, (kind, _) in ntuples.SUSY.items()}
    arrays = [name for name, kind in kinds.items() if kind not in ntuples.CODES]
    letters = {"float": "F", "int": "I", "bool": "O"}
    numpys = df.AsNumpy([*map(str, df.GetColumnNames())])
    file = ROOT.TFile(str(new), "recreate")
    tree = ROOT.TTree("nominal", "nominal")
    buffers = {}
    for kind in ("lep", "jet"):
        buffers[f"n_{kind}"] = array("i", [0])
        tree.Branch(f"n_{kind}", buffers[f"n_{kind}"], f"n_{kind}/I")
    for name, kind in kinds.items():
        if name in arrays:
            code = {"float": "f", "int": "i", "bool": "B"}[kind]
            buffers[name] = array(code, [0] * 10)
            tree.Branch(name, buffers[name], f"{name}[n_{name[:3]}]/{letters[kind]}")
        else:
            buffers[name] = array(ntuples.CODES[kind], [0])
            tree.Branch(name, buffers[name], f"{name}/{kind}")
    for event in range(len(numpys["EventNumber"])):
        for name in kinds:
            values = numpys[name][event]
            if name not in arrays:
                buffers[name][0] = values if kinds[name] in "FD" else int(values)
                continue
            for position, value in enumerate(values):
                buffers[name][position] = value if kinds[name] == "float" else int(value)
            buffers[f"n_{name[:3]}"][0] = len(values)
        tree.Fill()
    tree.Write()
    file.Close()


# --- features ---------------------------------------------------------------------------------


@pytest.fixture
def declare(monkeypatch):
    """Add a feature."""
    from analysis import features

    def add(name, expression, **more):
        made = features.Feature(name, expression, name, "", features.COUNT, **more)
        monkeypatch.setattr(features, "FEATURES", (*features.FEATURES, made))

    return add


@pytest.mark.parametrize(
    "expression, integer, value, words",
    [
        slow("log(EventNumber - 1.)", False, "-inf", ()),
        slow("sqrt(EventNumber - 1.5)", False, "nan", ()),
        ("EventNumber == 1 ? 1e39 : 1.", False, "inf", ()),
        slow("EventNumber == 1 ? 1e39 : 1.", False, "inf", ("--plain",)),
        slow("EventNumber == 1 ? sqrt(EventNumber - 1.5) : 2.", True, "nan", ()),
        slow("EventNumber == 1 ? sqrt(EventNumber - 1.5) : 2.", True, "nan", ("--plain",)),
        slow("EventNumber == 1 ? -1e10 : 1.", True, "-1e+10", ()),
        ("EventNumber == 1 ? 2147483648LL : 1", True, "2.14748e+09", ("--plain",)),
        ("EventNumber == 1 ? 2.5f : 1.f", True, "2.5", ()),
        slow("EventNumber == 1 ? -0.5 : -1.", True, "-0.5", ("--plain",)),
    ],
)
def test_feature_that_a_table_cannot_hold(
    run_here, declare, tmp_path, expression, integer, value, words
):
    declare("mine", expression, integer=integer)
    # In an order that is not that of the identities.
    events = [three_leptons(number=k, dataset=dataset) for dataset in (2, 1) for k in (3, 1, 2)]
    ntuples.write(tmp_path / "made.root", events)
    samples = ntuples.samples_file(
        tmp_path / "samples.toml", {"name": "made", "files": ["made.root"]}
    )
    words = ("--samples", samples, "-o", tmp_path / "out", *words)
    for more in ((), ("--drop-bad-events",)):
        outcome = run_here(*words, *more)
        assert (outcome.status, outcome.lines) == (
            1,
            [
                f"m3l: sample 'made': feature 'mine' is {value} in an event of SR3L (DatasetNumber "
                "1, RunNumber 300000, EventNumber 1), which a table cannot hold; 2 events have "
                "such features"
            ],
        )


@pytest.mark.parametrize("words", [(), slow(("--plain",))], ids=["compiled", "plain"])
def test_integers_at_the_ends_of_32_bits_are_kept(run_here, declare, tmp_path, words):
    declare("least", "EventNumber ? -2147483648LL : 0", integer=True)
    declare("most", "EventNumber ? 2147483647. : 0.", integer=True)
    ntuples.write(tmp_path / "made.root", [three_leptons()])
    samples = ntuples.samples_file(
        tmp_path / "samples.toml", {"name": "made", "files": ["made.root"]}
    )
    outcome = run_here("--samples", samples, "-o", tmp_path / "out", *words)
    assert (outcome.status, outcome.lines) == (0, [])
    table = read_table(tmp_path / "out", "made")
    assert (*table.least, *table.most) == (-(2**31), 2**31 - 1)


def test_division_of_integers_by_zero_is_told(run_here, declare, tmp_path):
    declare("mine", "10 / (int(EventNumber) - 1)", integer=True)
    ntuples.write(tmp_path / "made.root", [three_leptons(number=k) for k in (2, 1)])
    samples = ntuples.samples_file(
        tmp_path / "samples.toml", {"name": "made", "files": ["made.root"]}
    )
    outcome = run_here("--samples", samples, "-o", tmp_path / "out")
    reason = "an integer was divided by zero, perhaps in an expression"
    assert outcome.status == 1 and reason in outcome.err


def test_first_bad_row_does_not_depend_on_the_order_of_events(ROOT, tmp_path):
    from conftest import add_row

    for order in ((3, 1, 2), (2, 3, 1)):
        store = ROOT.m3l.RowStore(2, 1, 2, 10**6, str(tmp_path))
        for slot, number in enumerate(order):
            add_row(store, slot % 2, (1, 1, number), 1.0, [0.0], [math.nan], [math.nan])
        add_row(store, 0, (1, 1, 0), 1.0, [0.0], [0.0], [5])
        bad = store.bad()
        assert (bad.rows, list(bad.identity), bad.column) == (3, [1, 1, 1], 1)
        assert store.size() == 1


# --- jobs, printed chains, explained events ---------------------------------------------------


def test_jobs_drop_and_the_merge_counts(made, clean_output, tmp_path):
    from batch import submit_program

    words = ("--samples", made.samples, "-o", tmp_path, "--events-per-job", "50")
    outcome = submit_program("local", *words, "--drop-bad-events")
    assert outcome.status == 0, outcome.err
    bad, read = len(made.faults), len(made.faults) + GOOD
    assert outcome.lines[-1] == (
        f"m3l: warning: sample 'made': {bad} of {read} events have bad values and were left out"
    )
    (table,) = (path.name for path in (clean_output / "hdf5").iterdir())
    assert cmp(tmp_path / "hdf5" / table, clean_output / "hdf5" / table, shallow=False)
    assert read_json(tmp_path / "cutflow.json") == read_json(clean_output / "cutflow.json")
    (sample,) = read_json(tmp_path / "run.json")["samples"]
    assert (sample["dropped_events"], sample["entries_read"]) == (bad, read)


def test_printed_chain_drops_where_asked_and_guards_nothing(run_here, susy):
    words = ("--samples", susy.samples, "--chain", "made")
    plain, dropping = run_here(*words).out, run_here(*words, "--drop-bad-events").out
    assert "ound" not in plain
    new = [line for line in dropping.splitlines() if line not in plain.splitlines()]
    assert len(new) == 1 and new[0].startswith("df = df.Filter('m3l::isSound(lepPt) && ")


def test_event_that_cannot_be_explained(run_here, susy):
    outcome = run_here("--samples", susy.samples, "--event", "made@10")
    line = LINE.format(number="1", folder=susy.samples.parent).replace("events have", "event has")
    line = line.replace("'made': ", "'made' cannot be read: ")
    assert (outcome.status, outcome.lines) == (1, [line.partition("; ")[0]])


# --- objects that a format does not have ------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--plain",)], ids=["compiled", "plain"])
def test_samples_with_and_without_photons(run_here, tmp_path, words):
    photons = {
        name: ("float", lambda e, value=value: [value] * (e.number % 3))
        for name, value in (("phoPt", 40.0), ("phoEta", 1.0), ("phoPhi", 2.0))
    }
    events = [three_leptons(number=k) for k in range(6)]
    ntuples.write(tmp_path / "with.root", events, ntuples.SUSY | photons)
    ntuples.write(tmp_path / "without.root", events)
    samples = ntuples.samples_file(
        tmp_path / "samples.toml",
        *({"name": name, "files": [f"{name}.root"]} for name in ("with", "without")),
    )
    outcome = run_here("--samples", samples, "--layout", "T5N10", "-o", tmp_path / "out", *words)
    assert (outcome.status, outcome.lines) == (0, [])
    counts = {name: list(read_table(tmp_path / "out", name).n_pho) for name in ("with", "without")}
    assert counts == {"with": [0, 1, 2, 0, 1, 2], "without": [0] * 6}
    assert read_table(tmp_path / "out", "without").n_pho.dtype == "int32"
    # A sample without photons is what can be trained on as well.
    outcome = run_here(
        *("--samples", samples, "-s", "without", "--layout", "T5N10", "-o", tmp_path / "alone"),
        *words,
    )
    assert outcome.status == 0
    names = [f["name"] for f in read_json(tmp_path / "alone" / "run.json")["features"]]
    assert {"n_ljet", "n_bjet", "n_ele", "n_muo", "n_pho"} <= set(names)
