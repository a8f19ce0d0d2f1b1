"""Sums of weights and cross-sections that the metadata of the files hold."""

from array import array

import ntuples
import pytest
from ntuples import three_leptons

from analysis.errors import DeclarationError
from analysis.samples import Sample, read_samples


@pytest.fixture
def write(ROOT, tmp_path):
    """Function that writes an ntuple with metadata: histograms and trees of numbers.

    Histograms are {name: {label of a bin: content}}, trees {name: {branch: numbers}}.
    """

    def call(name, histograms=(), trees=()):
        path = ntuples.write(tmp_path / name, [three_leptons()])
        with ROOT.TFile(str(path), "update") as file:
            for made, bins in dict(histograms).items():
                folder = file
                if "/" in made:
                    folder = file.mkdir(made.partition("/")[0], "", True)
                histogram = ROOT.TH1D(made.rpartition("/")[2], "", len(bins), 0, 1)
                for number, (label, content) in enumerate(bins.items(), 1):
                    histogram.GetXaxis().SetBinLabel(number, label)
                    histogram.SetBinContent(number, content)
                folder.WriteTObject(histogram)
            for made, branches in dict(trees).items():
                tree = ROOT.TTree(made, "")
                buffers = {branch: array("d", [0]) for branch in branches}
                for branch, buffer in buffers.items():
                    tree.Branch(branch, buffer, f"{branch}/D")
                for numbers in zip(*branches.values(), strict=True):
                    for buffer, number in zip(buffers.values(), numbers, strict=True):
                        buffer[0] = number
                    tree.Fill()
                file.WriteTObject(tree)
        return path

    return call


@pytest.fixture
def normalised(ROOT, tmp_path):
    """Function that gives the Inputs and the Normalisation of a sample, or what is wrong."""

    from analysis.inputs import inspect
    from analysis.job import Job
    from analysis.looks import look_at
    from analysis.prepare import normalisation

    def call(files=("a.root",), **declared):
        usual = {"name": "a", "files": list(files), "xsec_pb": 2.0, "sum_of_weights": None}
        path = ntuples.samples_file(tmp_path / "samples.toml", usual | declared)
        problems = []
        try:
            listed = read_samples(path)
            (sample,) = listed.samples
            inputs = inspect(sample, look_at([sample]), problems)
            if not problems:
                job = Job(listed, None)
                return inputs, normalisation(sample, job, inputs)
        except DeclarationError as error:
            problems += error.problems
        return problems

    return call


def test_bins_of_histograms_by_number_and_by_label(write, normalised):
    write("a.root", {"CutBookkeeper_5_NOSYS": {"events": 3.0, "sum of weights": 7.5}})
    write("b.root", {"CutBookkeeper_5_NOSYS": {"events": 1.0, "sum of weights": 2.5}})
    for place in ("CutBookkeeper_5_NOSYS:2", "CutBookkeeper_*_NOSYS:sum of weights"):
        inputs, norm = normalised(("a.root", "b.root"), sum_of_weights=place)
        assert [file.sum_of_weights for file in inputs.files] == [7.5, 2.5]
        assert norm.constant == 1000.0 * 2.0 / 10.0
        assert norm.factors == "1000 x 1 fb^-1 x 2 pb / 10"


def test_a_star_stands_for_several_objects(write, normalised):
    bins = ({"all": 1.0}, {"all": 2.0}, {"all": 40.0})
    write("a.root", dict(zip(("in/run_1", "in/run_2", "in/other"), bins, strict=True)))
    inputs, _ = normalised(sum_of_weights="in/run_*:all")
    assert inputs.sum_of_weights == 3.0


def test_a_tree_holds_both(write, normalised):
    write("a.root", trees={"Runs": {"sumw": [1.0, 3.0], "xsec": [0.5, 0.5]}})
    write("b.root", trees={"Runs": {"sumw": [4.0], "xsec": [0.5]}})
    inputs, norm = normalised(
        ("a.root", "b.root"), sum_of_weights="Runs:sumw", xsec_pb="Runs:xsec", k_factor=1.5
    )
    assert norm.constant == 1000.0 * 1.5 * 0.5 / 8.0
    assert [file.cross_section for file in inputs.files] == [0.5, 0.5]


def test_numbers_that_are_typed_win(write, normalised):
    write("a.root", trees={"meta": {"sumw": [8.0]}})
    inputs, norm = normalised(sum_of_weights=4.0)
    assert (inputs.sum_of_weights, norm.constant) == (None, 500.0)
    assert normalised()[1].constant == 250.0


TREE = {"sumw": [1.0], "xsec": [0.5]}
HISTOGRAM = {"h": {"all": 1.0, "good": 0.0}}


@pytest.mark.parametrize(
    "declared, message",
    [
        ({"sum_of_weights": "no:sumw"}, "give its sum_of_weights, {a} has no 'no'"),
        ({"sum_of_weights": "no_*:1"}, "give its sum_of_weights, {a} has no 'no_*'"),
        ({"sum_of_weights": "t:no"}, "give its sum_of_weights, {a} has no branch 'no' in 't'"),
        ({"sum_of_weights": "h:3"}, "give its sum_of_weights, {a} has no bin '3' in 'h'"),
        ({"sum_of_weights": "h:0"}, "give its sum_of_weights, {a} has no bin '0' in 'h'"),
        ({"sum_of_weights": "h:bad"}, "give its sum_of_weights, {a} has no bin 'bad' in 'h' (it"),
        ({"sum_of_weights": "h:2"}, "a sum of weights of zero at 'h:2' and cannot be normalised"),
        ({"sum_of_weights": "t"}, "sum_of_weights must be a finite number or its place"),
        ({"sum_of_weights": "t:sumw:x"}, "sum_of_weights must be a finite number or its place"),
        ({"xsec_pb": "t:no"}, "give its xsec_pb, {a} has no branch 'no' in 't'"),
        ({"xsec_pb": "h:1"}, "'h', which is no tree, and histograms are added where files are"),
        ({"xsec_pb": "nan:xsec"}, "{a} cannot be read: 'xsec' of 'nan': it is infinite or not"),
        ({"sum_of_weights": "nan:xsec"}, "'xsec' of 'nan': its sum is infinite or not a number"),
        ({"xsec_pb": "two:xsec"}, "'xsec' of 'two': it should be the same everywhere, but entry 1"),
    ],
)
def test_what_is_not_there_or_makes_no_sense(write, normalised, tmp_path, declared, message):
    nan, two = {"xsec": [float("nan")]}, {"xsec": [0.5, 0.6]}
    write("a.root", HISTOGRAM, {"t": TREE, "nan": nan, "two": two})
    (line,) = normalised(**{"sum_of_weights": "t:sumw", **declared})
    assert message.format(a=tmp_path / "a.root") in line


def test_files_of_other_cross_sections(write, normalised, tmp_path):
    write("a.root", trees={"t": TREE})
    write("b.root", trees={"t": TREE | {"xsec": [0.75]}})
    declared = {"sum_of_weights": "t:sumw", "xsec_pb": "t:xsec"}
    (line,) = normalised(("a.root", "b.root"), **declared)
    assert line == (
        f"sample 'a': {tmp_path}/b.root has a cross-section of 0.75 pb at 't:xsec', "
        f"{tmp_path}/a.root one of 0.5 pb: are they of one sample?"
    )


def test_a_skim_has_the_numbers(write, run_here, tmp_path):
    import tomllib

    write("a.root", trees={"t": TREE})
    declared = {"name": "a", "files": ["a.root"], "sum_of_weights": "t:sumw", "xsec_pb": "t:xsec"}
    path = ntuples.samples_file(tmp_path / "samples.toml", declared)
    assert run_here("--samples", path, "--skim", tmp_path / "skim").status == 0
    (sample,) = tomllib.loads((tmp_path / "skim" / "samples.toml").read_text())["sample"]
    assert (sample["sum_of_weights"], sample["xsec_pb"]) == (1.0, 0.5)


def test_data_need_nothing(write, normalised):
    write("a.root")
    assert normalised(kind="data", process="data", xsec_pb=None)[1] is None


def test_places_of_a_schema_and_of_a_sample():
    from analysis.looks import metadata

    sample = Sample("a", "a", "background", "susy", ("a.root",), "t")
    assert metadata(sample) == ("meta:sumw", "")
    declared = Sample("a", "a", "signal", "susy", (), "t", xsec_pb="t:x", sum_of_weights=3.0)
    assert metadata(declared) == ("", "t:x")
