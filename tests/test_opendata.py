"""Samples files of ATLAS Open Data, from recorded metadata and a server on this machine."""

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import ntuples
import opendata_server
import pytest
from conftest import REPOSITORY, Outcome, read_json, read_table, run_code

from analysis import copies, opendata
from analysis.errors import InputError, OutputError
from analysis.releases import NTUPLE, RELEASES
from analysis.samples import read_samples

FULL = {"2020": "2020e-13tev", "2025": "2025e-13tev-beta"}


@pytest.fixture
def server():
    made = opendata_server.Server()
    yield made
    made.close()


@pytest.fixture
def make(server, tmp_path, monkeypatch, capfd):
    """Run the command in a new folder, against the server."""
    metadata = pytest.importorskip("atlasopenmagic").metadata
    import requests

    monkeypatch.setattr(metadata, "API_BASE_URL", server.url)
    monkeypatch.setattr(metadata, "_session", requests.Session())  # which does not try again
    monkeypatch.chdir(tmp_path)

    def call(*words, status=0):
        metadata.empty_metadata()
        found = 0
        try:
            opendata.main([*map(str, words), "-o", "my.toml"])
        except SystemExit as exit:
            found = exit.code
        outcome = Outcome(found, *capfd.readouterr())
        assert outcome.status == status, outcome
        assert (tmp_path / "my.toml").exists() == (status == 0)
        if status:
            assert outcome.out == "" and all(line.startswith("m3l: ") for line in outcome.lines)
        return outcome

    yield call
    metadata._session.close()


def samples_of(path="my.toml"):
    content = tomllib.loads(Path(path).read_text())
    return content["luminosity_ifb"], {one["name"]: one for one in content["sample"]}


# --- releases ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RELEASES)
def test_no_dataset_is_in_two_processes(name):
    listed = [n for numbers in RELEASES[name].datasets.values() for n in numbers]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("name", RELEASES)
def test_processes_are_declared(name):
    from analysis.processes import PROCESSES

    backgrounds = {process.name for process in PROCESSES if process.kind == "background"}
    assert set(RELEASES[name].datasets) <= backgrounds


@pytest.mark.parametrize("name", RELEASES)
def test_periods_add_up_to_the_whole(name):
    release = RELEASES[name]
    whole = sum(period.luminosity_ifb for period in release.periods if not period.year)
    assert whole == pytest.approx(release.luminosity_ifb, abs=0.07)


# --- samples files ----------------------------------------------------------------------------


def test_samples_file_of_2025_holds_what_the_metadata_say(make):
    outcome = make("2025", "--skim", "exactly3lep")
    luminosity, samples = samples_of()
    assert luminosity == 36.64
    assert samples["Sh_2212_lllv"] == {
        "name": "Sh_2212_lllv",
        "process": "diboson3L",
        "kind": "background",
        "schema": "opendata2025",
        "files": [
            "root://eospublic.cern.ch:1094//eos/opendata/atlas/rucio/opendata/"
            "ODEO_FEB2025_v0_exactly3lep_mc_700601.Sh_2212_lllv.exactly3lep.root"
        ],
        "tree": "analysis",
        "xsec_pb": 4.661,
        "sum_of_weights": 73236556201.67273,
    }
    ttbar = samples["PhPy8EG_A14_ttbar_hdamp258p75_nonallhad"]
    assert (ttbar["k_factor"], ttbar["filter_efficiency"]) == (1.139756362, 0.5437965)
    assert samples["data"]["kind"] == "data" and len(samples["data"]["files"]) == 16
    assert "xsec_pb" not in samples["data"]
    assert "m3l" not in samples and not any("ggH125_gamgam" in name for name in samples)
    assert "the server does not know 700588" in outcome.err  # the record is short
    assert read_samples("my.toml").luminosity_ifb == 36.64
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_samples_of_2020_are_normalised_by_their_files(make):
    make("2020")
    luminosity, samples = samples_of()
    zmm = samples["PowhegPythia8EvtGen_AZNLOCTEQ6L1_Zmumu"]
    assert luminosity == 10.064 and zmm["process"] == "Zmmjets"
    assert not {"xsec_pb", "sum_of_weights", "k_factor", "filter_efficiency"} & set(zmm)
    text = Path("my.toml").read_text()
    assert "# dataset 361107, normalised by its files; the metadata say xsec_pb 1901.1" in text
    make("2020e-13tev", "--normalisation", "metadata")
    _, samples = samples_of()
    zmm = samples["PowhegPythia8EvtGen_AZNLOCTEQ6L1_Zmumu"]
    assert (zmm["xsec_pb"], zmm["k_factor"]) == (1901.1, 1.026054442)


@pytest.mark.parametrize(
    "release, periods, luminosity, files",
    [
        ("2020", ("A", "B"), 2.4, 2),
        ("2020", ("D", "C", "B", "A"), 10.064, 4),
        ("2020", ("A", "A"), 0.5, 1),
        ("2025", ("2015",), 3.24, 6),
        ("2025", ("2016",), 33.4, 10),
        ("2025", ("2015", "2016"), 36.64, 16),
        ("2025", ("2015D",), 0.105, 1),
    ],
)
def test_luminosity_is_that_of_the_chosen_periods(make, release, periods, luminosity, files):
    make(release, "--periods", *periods)
    found, samples = samples_of()
    assert found == luminosity and len(samples["data"]["files"]) == files


def test_luminosity_of_a_period_that_nobody_publishes(make):
    outcome = make("2025", "--periods", "2015", "2016A", status=1)
    assert "luminosity of 2016A alone" in outcome.err and "--luminosity" in outcome.err
    make("2025", "--periods", "2015", "2016A", "--luminosity", "3.8")
    luminosity, samples = samples_of()
    assert luminosity == 3.8 and len(samples["data"]["files"]) == 7


def test_only_some_processes(make):
    make("2025", "--process", "diboson3L", "data")
    assert set(samples_of()[1]) == {"data", "Sh_2212_lllv"}


def test_further_datasets(make):
    outcome = make("2025", "--process", "data", "--also", "301204", "343981", "700601")
    _, samples = samples_of()
    signal = samples["Pythia8EvtGen_A14MSTW2008LO_Zprime_NoInt_ee_SSM3000"]
    assert (signal["kind"], signal["process"]) == ("signal", signal["name"])
    other = samples["PowhegPythia8EvtGen_NNLOPS_nnlo_30_ggH125_gamgam"]
    assert (other["kind"], other["process"]) == ("background", "other")
    assert samples["Sh_2212_lllv"]["process"] == "diboson3L"
    noted = [line for line in outcome.lines if "is in no table" in line]
    assert len(noted) == 2 and "background of the process 'other'" in noted[1]


def test_datasets_of_one_name_are_told_apart(make, server):
    server.dataset(FULL["2025"], 700600)["physics_short"] = "Sh_2212_lllv"
    server.dataset(FULL["2025"], 700602)["physics_short"] = "no/name"
    make("2025")
    assert {"Sh_2212_lllv_700600", "Sh_2212_lllv_700601", "mc_700602"} <= set(samples_of()[1])


def test_datasets_that_a_skim_lacks_are_named(make, server):
    server.dataset(FULL["2025"], 700600)["skims"][0]["file_list"] = []
    outcome = make("2025")
    assert "note: not in skim exactly3lep: 700600" in outcome.lines


# --- mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, message",
    [
        (("2026",), "no release of ATLAS Open Data is called '2026', did you mean"),
        (("2025", "--skim", "exactly3leps"), "'exactly3leps', did you mean 'exactly3lep'?"),
        (("2020", "--skim", "exactly3lep"), "'exactly3lep' (known: 3lep, 4lep, noskim)"),
        (("2020", "--periods", "E"), "no period is called 'E'"),
        (("2025", "--periods", "2016D", "2016"), "2016D is a part of 2016"),
        (("2025", "--process", "diboson3l"), "did you mean 'diboson3L'?"),
        (("2025", "--also", "70060"), "no dataset is called '70060', did you mean"),
        (("2025", "--luminosity", "-1"), "--luminosity must be above 0"),
        (("2025", "--luminosity", "nan"), "--luminosity must be above 0"),
        (("2020", "--skim", "noskim"), "no data of A, B, C, D in skim noskim"),
    ],
)
def test_mistakes_are_a_line(make, words, message):
    assert message in make(*words, status=1).err


@pytest.mark.parametrize("words", [(), ("2025", "--luminosity", "x"), ("2025", "--skims", "x")])
def test_wrong_usage(make, words):
    assert make(*words, status=2).lines[-1].startswith("m3l: ")


@pytest.mark.parametrize("missing", ["cross_section_pb", "sumOfWeights"])
def test_metadata_without_normalisation(make, server, missing):
    server.dataset(FULL["2025"], 700601)[missing] = None
    (line,) = make("2025", status=1).lines
    assert line == (
        f"m3l: dataset 700601, Sh_2212_lllv, has no {missing} in the metadata: "
        "--normalisation ntuple takes what its files say"
    )
    make("2025", "--normalisation", NTUPLE)


def test_factors_that_are_not_there_are_1(make, server):
    del server.dataset(FULL["2025"], 410470)["kFactor"]
    make("2025")
    assert "k_factor" not in samples_of()[1]["PhPy8EG_A14_ttbar_hdamp258p75_nonallhad"]


@pytest.mark.parametrize(
    "nonsense",
    ["<html>", "[1, 2]", '{"detail": "no"}', '[{"name": 1}]', "null", '["data"]'],
)
def test_a_server_that_answers_nonsense(make, server, nonsense):
    server.nonsense = nonsense
    (line,) = make("2025", status=1).lines
    assert server.url in line and ("nonsense" in line or "knows no dataset" in line)


@pytest.mark.parametrize(
    "key, value",
    [
        ("cross_section_pb", "4.6 pb"),
        ("cross_section_pb", float("nan")),
        ("skims", {"a": 1}),
        ("skims", [{"file_list": []}]),
        ("file_list", [7]),
        ("keywords", "SM"),
    ],
)
def test_nonsense_in_a_dataset(make, server, key, value):
    server.dataset(FULL["2025"], 700601)[key] = value
    (line,) = make("2025", status=1).lines
    assert "answers nonsense, dataset 700601" in line and key in line


def test_unknown_files_of_data(make, server):
    server.dataset(FULL["2025"], "data")["skims"][0]["file_list"].append("root://x//eos/what.root")
    (line,) = make("2025", status=1).lines
    assert "what.root: nobody knows which period" in line


def test_a_server_that_refuses(make, server):
    server.status = 500
    (line,) = make("2025", status=1).lines
    assert "refuses: 500" in line


def test_a_release_that_the_server_does_not_know(make, server):
    server.releases.clear()
    assert f"knows no dataset of release {FULL['2025']}" in make("2025", status=1).err


def test_no_network(tmp_path):
    pytest.importorskip("atlasopenmagic")
    done = subprocess.run(
        [sys.executable, "-m", "analysis.opendata", "2025", "-o", str(tmp_path / "my.toml")],
        cwd=REPOSITORY,
        env={**os.environ, "ATLAS_API_BASE_URL": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith("m3l: http://127.0.0.1:9 does not answer")
    assert "need a network" in line and not any(tmp_path.iterdir())


def test_without_atlasopenmagic():
    code = (
        "import sys; sys.modules['atlasopenmagic'] = None\n"
        "from analysis import opendata; opendata.main(['2025'])"
    )
    done = run_code(code)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and "pip install atlasopenmagic" in line


# --- copies -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def content(ROOT, tmp_path_factory):
    """The bytes of a ROOT file of some 100 kB."""
    path = tmp_path_factory.mktemp("made") / "one.root"
    events = [ntuples.three_leptons(number=n, met=float(n * 7919 % 997)) for n in range(1, 3000)]
    return ntuples.write(path, events, ntuples.opendata(2025), "analysis").read_bytes()


@pytest.fixture
def remote(server, content, monkeypatch):
    """The server with one file, and its URL."""
    monkeypatch.setattr(copies, "PAUSE", 0.01)
    server.files["one.root"] = content
    return server, f"{server.url}/eos/one.root"


def test_a_copy_is_whole_and_made_once(remote, content, tmp_path):
    server, url = remote
    path = tmp_path / "new" / "one.root"
    assert copies.copy(url, path) and path.read_bytes() == content
    assert not copies.copy(url, path)
    assert server.asked == [("one.root", 0)]
    assert sorted(p.name for p in path.parent.iterdir()) == ["one.root", "one.root.adler32"]
    from analysis import checksums

    assert checksums.known(path) == checksums.compute(path, "adler32")


def test_a_server_that_hangs_up_is_asked_for_the_rest(remote, content, tmp_path):
    server, url = remote
    server.patience = [1000, 5000, 0, 1]
    copies.copy(url, tmp_path / "one.root")
    assert (tmp_path / "one.root").read_bytes() == content
    assert [begin for _, begin in server.asked] == [0, 1000, 6000, 6000, 6001]


def test_what_has_come_is_kept_for_the_next_time(remote, content, tmp_path):
    server, url = remote
    server.patience = [1000] + [0] * copies.TRIES
    with pytest.raises(InputError, match="1000 bytes are kept: the same command goes on"):
        copies.copy(url, tmp_path / "one.root")
    assert not (tmp_path / "one.root").exists()
    copies.copy(url, tmp_path / "one.root")
    assert server.asked[-1] == ("one.root", 1000)
    assert (tmp_path / "one.root").read_bytes() == content


def test_a_server_that_cannot_begin_in_the_middle(remote, content, tmp_path):
    server, url = remote
    server.patience, server.ranges = [1000], False
    copies.copy(url, tmp_path / "one.root")
    assert (tmp_path / "one.root").read_bytes() == content
    assert len(server.asked) == 2  # what came first is not in its way


@pytest.mark.parametrize("left", ["complete", "too long", "of another file"])
def test_what_an_earlier_try_left(remote, content, tmp_path, left):
    _, url = remote
    part = {"complete": content, "too long": content + b"x", "of another file": b"x" * 500}[left]
    copies.partial(tmp_path / "one.root").write_bytes(part)
    copies.copy(url, tmp_path / "one.root")
    assert (tmp_path / "one.root").read_bytes() == content
    assert not copies.partial(tmp_path / "one.root").exists()


@pytest.mark.parametrize("digest", [None, lambda _: "adler32=00000001"])
def test_a_damaged_copy_gets_no_name(remote, content, tmp_path, digest):
    server, url = remote
    server.digest = digest
    if digest is None:  # what a head tells alone
        server.files["one.root"] = content[:-1]
    with pytest.raises(InputError, match="in its head stands|is damaged: adler32"):
        copies.copy(url, tmp_path / "one.root")
    assert list(tmp_path.iterdir()) == []


def test_no_root_file(remote, tmp_path):
    server, url = remote
    server.files["one.root"] = b"<html>Sign in" * 10
    with pytest.raises(InputError, match="is no ROOT file"):
        copies.copy(url, tmp_path / "one.root")


def test_a_copy_that_is_cut_is_not_taken(remote, content, tmp_path):
    (tmp_path / "one.root").write_bytes(content[:-100])
    with pytest.raises(InputError, match="remove it, and it will be copied again"):
        copies.copy(remote[1], tmp_path / "one.root")


def test_a_file_that_is_not_there(remote, tmp_path):
    with pytest.raises(InputError, match="two.root: the server says 404"):
        copies.copy(f"{remote[0].url}/two.root", tmp_path / "two.root")


def test_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "PAUSE", 0.01)
    with pytest.raises(InputError, match="no answer"):
        copies.copy("http://127.0.0.1:9/one.root", tmp_path / "one.root")


def test_a_folder_where_nothing_can_be_written(remote, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        copies.copy(remote[1], tmp_path / "file" / "one.root")


def test_a_full_disk(remote, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(copies.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="has 1000 left"):
        copies.copy(remote[1], tmp_path / "one.root")


SLOW = """
import sys, time
from pathlib import Path
from analysis import copies
copies.BLOCK = 1000
progress = copies.Progress.__call__
def slow(self, done):
    print(done, flush=True)
    time.sleep(0.02)
copies.Progress.__call__ = slow
copies.copy(sys.argv[1], Path(sys.argv[2]))
"""


def test_a_copy_that_is_killed_goes_on(remote, content, tmp_path):
    server, url = remote
    words = [sys.executable, "-c", SLOW, url, str(tmp_path / "one.root")]
    process = subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while time.monotonic() < until and int(process.stdout.readline()) < 20_000:
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "one.root").exists()
    kept = copies.partial(tmp_path / "one.root").stat().st_size
    assert kept > 0
    copies.copy(url, tmp_path / "one.root")
    assert (tmp_path / "one.root").read_bytes() == content
    assert server.asked[-1] == ("one.root", kept)


# --- the whole way ----------------------------------------------------------------------------


def serve(server, folder, year, skim, numbers):
    """Put files of 1 and more events at all URLs of datasets, and of data."""
    tree = {"2020": "mini", "2025": "analysis"}[year]
    for key in (*numbers, "data"):
        dataset = server.dataset(FULL[year], key)
        (urls,) = (one["file_list"] for one in dataset["skims"] if one["skim_type"] == skim)
        for number, url in enumerate(urls, 1):
            number += 1000 * int(key) if key != "data" else 0
            weights = {"XSection": 2.0, "SumWeights": 400.0}
            event = ntuples.three_leptons(number=number, weights=weights)
            path = folder / "made.root"
            ntuples.write(path, [event], ntuples.opendata(int(year)), tree)
            server.files[url.rpartition("/")[2]] = path.read_bytes()


def test_copied_files_are_run_on(make, server, run_here, tmp_path, ROOT):
    server.here()
    serve(server, tmp_path, "2025", "exactly3lep", (700601, 410470))
    words = ("2025", "--process", "data", "diboson3L", "ttbar", "--cache", "cache")
    make(*words)
    _, samples = samples_of()
    assert samples["Sh_2212_lllv"]["files"] == [
        "cache/2025e-13tev-beta/exactly3lep/"
        "ODEO_FEB2025_v0_exactly3lep_mc_700601.Sh_2212_lllv.exactly3lep.root"
    ]
    outcome = run_here("--samples", "my.toml", "-o", tmp_path / "out")
    assert outcome.status == 0, outcome.err
    last = {name: rows[-1] for name, rows in read_json("out/cutflow.json")["SR3L"].items()}
    assert last["data"]["entries"] == 16
    luminosity = 36640.0
    assert last["Sh_2212_lllv"]["sumw"] == pytest.approx(luminosity * 4.661 / 73236556201.67273)
    ttbar = last["PhPy8EG_A14_ttbar_hdamp258p75_nonallhad"]["sumw"]
    expected = luminosity * 729.77 * 1.139756362 * 0.5437965 / 24014984445.816772
    assert ttbar == pytest.approx(expected)
    asked = len(server.asked)
    make(*words)  # all is there
    assert len(server.asked) == asked


@pytest.mark.slow
def test_copies_of_2020_are_normalised_by_the_files(make, server, run_here, tmp_path, ROOT):
    server.here()
    serve(server, tmp_path, "2020", "3lep", (363491,))
    make("2020", "--process", "data", "diboson3L", "--cache", "cache", "--periods", "A", "B")
    outcome = run_here("--samples", "my.toml", "-o", tmp_path / "out")
    assert outcome.status == 0, outcome.err
    (row,) = read_table(tmp_path / "out", "Sherpa_221_NNPDF30NNLO_lllv").wgt_SG
    assert row == pytest.approx(2400.0 * 2.0 / 400.0)


def test_an_interrupted_copy_leaves_no_samples_file(make, server, tmp_path, ROOT):
    server.here()
    serve(server, tmp_path, "2025", "exactly3lep", (700601,))
    words = ("2025", "--process", "data", "diboson3L", "--cache", tmp_path / "other [1]")
    (name,) = [name for name in server.files if "lllv" in name]
    kept = server.files.pop(name)
    assert f"{name}: the server says 404" in make(*words, status=1).err
    server.files[name] = kept
    make(*words)
    assert (
        read_samples("my.toml")
        .samples[1]
        .files[0]
        .endswith(f"other [1]/{FULL['2025']}/exactly3lep/{name}")
    )


def test_a_folder_in_the_place_of_the_file(server, tmp_path, capfd):
    with pytest.raises(SystemExit):
        opendata.main(["2025", "-o", str(tmp_path)])
    assert "is a folder: name a file with -o" in capfd.readouterr().err


def test_files_that_can_only_be_copied(make, server):
    server.here()
    (line,) = make("2025", status=1).lines
    assert "cannot be read where it is: copy it with --cache" in line
