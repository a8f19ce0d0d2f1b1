"""What shows itself in a notebook: pictures, tables, rows of dataframes and errors."""

import sys
from types import SimpleNamespace

import plot_inputs
import pytest
import result_inputs
from conftest import run_code
from matplotlib import pyplot

from analysis.errors import DeclarationError
from plotting import notebook
from plotting.__main__ import main
from plotting.notebook import Run

PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = plot_inputs.write_run(tmp_path_factory.mktemp("run") / "out", regions=("SR3L", "CR_WZ"))
    result_inputs.write_statistics(made)
    return plot_inputs.write_scores(made)


@pytest.fixture(scope="module")
def run(folder):
    return Run(folder)


def test_a_picture_is_that_of_the_command(run, folder, tmp_path):
    drawn = run.hist("m_3l")
    main(["hist", str(folder), "-r", "SR3L", "-f", "m_3l", "-o", str(tmp_path), "--format", "png"])
    assert drawn._repr_png_() == (tmp_path / "hist" / "SR3L" / "m_3l.png").read_bytes()
    assert repr(drawn) == "picture m_3l: Data and stacked simulation against m_3l in SR3L"


def test_a_cutflow_is_a_table(run, monkeypatch):
    flow = run.cutflow("CR_WZ")
    assert flow._repr_html_().startswith("<table") and flow.region == "CR_WZ"
    monkeypatch.setenv("COLUMNS", "60")
    lines = repr(flow).splitlines()
    assert lines[0] == "CR_WZ" and max(map(len, lines)) <= 60


def test_agreement_is_a_dataframe(run):
    table = run.check(["m_3l", "flcomp", "e_T_miss"])
    assert set(table.feature) == {"m_3l", "flcomp", "e_T_miss"}
    assert "<table" in table._repr_html_()


@pytest.mark.slow
def test_several_pictures_stand_below_each_other(run):
    for made in (run.scores(), run.statistics()):
        html = made._repr_html_()
        assert len(made) > 3 and html.count('src="data:image/png;base64,') == len(made)
        assert repr(made) == f"pictures: {', '.join(made)}"
    assert run.scores("small")["score"]._repr_png_().startswith(PNG)


def test_captions_leave_no_other_figure(folder):
    run = Run(folder, experiment="Toy", status="Internal")
    assert run.statistics() and run.hist("m_3l")
    assert pyplot.get_fignums() == []


def test_matrices_and_the_graph_are_figures(run):
    assert notebook.figure_as_png(run.matrix("background")).startswith(PNG)
    assert run.graph()._repr_png_().startswith(PNG)


def test_mistakes_are_a_line(run):
    for call in (lambda: run.hist("m3l"), lambda: run.cutflow("SR3"), lambda: run.scores("smal")):
        with pytest.raises(DeclarationError, match="did you mean") as caught:
            call()
        (line,) = caught.value._render_traceback_()
        assert line.startswith("m3l: no ")


def test_figures_are_given_to_the_notebook(run, monkeypatch, folder):
    given = {}
    png = SimpleNamespace(for_type=given.__setitem__)
    shell = SimpleNamespace(display_formatter=SimpleNamespace(formatters={"image/png": png}))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    Run(folder)
    figure = run.graph().figure
    assert given[type(figure)](figure).startswith(PNG)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    Run(folder)  # IPython was imported, but nobody is in it


@pytest.mark.filterwarnings("ignore:Attempting to work in a virtualenv")
def test_ipython_shows_figures_and_pictures(run, folder):
    shell = pytest.importorskip("IPython").core.interactiveshell.InteractiveShell.instance()
    try:
        Run(folder)
        for shown in (run.graph().figure, run.hist("m_3l")):
            data, _ = shell.display_formatter.format(shown)
            assert data["image/png"].startswith(PNG)
        assert "text/html" in shell.display_formatter.format(run.cutflow())[0]
    finally:
        type(shell).clear_instance()


ROWS = """
import warnings; warnings.simplefilter("ignore")
import ROOT, run_rdf
from analysis.dataframes import show
from analysis.errors import M3LError
dataframes = run_rdf.dataframes("-s", "WZ")
print(dataframes["WZ"])
print(show(dataframes["WZ"]["SR3L"], ["EventNumber", "lepPt"], 3).to_csv())
try:
    show(dataframes["WZ"]["all"], ["lepPtt"])
except M3LError as error:
    print(error)
ROOT.EnableImplicitMT(2)
print(show(dataframes["WZ"]["SR3L"], ["EventNumber"], 1).to_csv())
assert ROOT.IsImplicitMTEnabled()
dataframes.made.clear()
try:
    show(dataframes["WZ"]["SR3L"], ["EventNumber"])
except M3LError as error:
    print(error)
print(dataframes["WZ"].show(["EventNumber", "lepPt"], 3, "SR3L").to_csv())
try:
    dataframes["WZ"].show(["EventNumber"], region="SR3")
except M3LError as error:
    print(error)
"""


@pytest.mark.slow
def test_rows_of_dataframes_whatever_the_number_of_threads():
    done = run_code(ROWS)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    lines = lines[lines.index("dataframes of WZ: all, SR3L") + 1 :]
    table = [
        ",EventNumber,lepPt",
        "0,2,[52.61328  41.714844 34.101562]",
        "1,3,[88.640625 31.896484 15.202148]",
        "2,4,[56.402344 50.14453  26.30664 ]",
        "",
    ]
    assert lines[:5] == table
    assert lines[5].startswith("no column is called 'lepPtt', did you mean 'lepPt'?")
    assert lines[6:9] == [",EventNumber", "0,2", ""]
    assert "several threads" in lines[9] and "dataframes[SAMPLE].show" in lines[9]
    assert lines[10:15] == table
    assert lines[15] == "no region is called 'SR3', did you mean 'SR3L'? (known: all, SR3L)"
