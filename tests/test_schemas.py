"""The adapter tables: the same columns in GeV behind each format."""

import subprocess
import sys

import pytest
from conftest import REPOSITORY, SAFETY_NET

from analysis.plan import identifiers
from analysis.schemas import SCHEMAS

NEEDED = {
    *("lepPt", "lepEta", "lepPhi", "lepM", "lepFlavor", "lepCharge"),
    *("jetPt", "jetEta", "jetPhi", "jetM", "jetBTag", "met_Et", "met_Phi"),
    *("DatasetNumber", "RunNumber", "EventNumber"),
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_each_format_has_the_columns_that_the_analysis_needs(schema):
    mandatory = {column.name for column in schema.columns if not column.optional}
    assert mandatory == NEEDED
    names = [column.name for column in schema.columns]
    assert len(names) == len(set(names))
    assert set(schema.weights) <= set(names)


LACKING = ("lepD0Sig", "lepZ0SinTheta", "lepPassOR", "lepLoose", "lepTight", "lepIsoLoose_VarRad")
LACKING += ("jetJVT", "met_Sign", "RandomRunNumber")


def scales(name):
    return {column.name: column.scale for column in SCHEMAS[name].columns}


def test_units_belong_to_the_format_and_to_energies_only():
    assert set(scales("susy").values()) == {1.0}
    assert set(scales("opendata2025").values()) == {1.0}
    assert set(scales("nanoaod").values()) == {1.0}
    in_mev = {name for name, scale in scales("opendata2020").items() if scale == 0.001}
    assert in_mev == {"lepPt", "lepM", "jetPt", "jetM", "phoPt", "met_Et"}


def test_weights_of_each_format_are_those_of_its_definition():
    assert " ".join(SCHEMAS["susy"].weights) == (
        "genWeight eventWeight jvtWeight bTagWeight leptonWeight globalDiLepTrigSF pileupWeight"
    )
    assert " ".join(SCHEMAS["opendata2020"].weights) == (
        "mcWeight scaleFactor_PILEUP scaleFactor_ELE scaleFactor_MUON scaleFactor_LepTRIGGER"
    )
    assert " ".join(SCHEMAS["opendata2025"].weights) == (
        "mcWeight ScaleFactor_PILEUP ScaleFactor_ELE ScaleFactor_MUON ScaleFactor_MLTRIGGER"
    )
    assert " ".join(SCHEMAS["nanoaod"].weights) == "genWeight L1PreFiringWeight_Nom"


def test_normalisation_in_the_ntuples():
    assert SCHEMAS["susy"].normalisation == ""
    assert identifiers(SCHEMAS["opendata2020"].normalisation) == ("XSection", "SumWeights")
    assert identifiers(SCHEMAS["opendata2025"].normalisation) == (
        "xsec",
        "kfac",
        "filteff",
        "sum_of_weights",
    )


def test_names_of_the_trees():
    susy = SCHEMAS["susy"]
    assert (susy.tree("WZ", "background"), susy.tree("data15", "data")) == ("WZ_NoSys", "data15")
    assert SCHEMAS["opendata2020"].tree("WZ", "signal") == "mini"
    assert SCHEMAS["opendata2025"].tree("x", "data") == "analysis"
    assert (
        SCHEMAS["nanoaod"].tree("x", "data") == SCHEMAS["nanoaod"].tree("x", "signal") == "Events"
    )


def test_branches_of_nanoaod_belong_to_one_collection_each():
    nano = SCHEMAS["nanoaod"]
    found = {nano.collection(n) for c in nano.columns for n in identifiers(c.expression)}
    assert found == {*nano.collections, ""}
    assert nano.collection("Electron_pt") == "Electron"
    assert nano.collection("Electrons") == nano.collection("MET_pt") == ""
    assert SCHEMAS["susy"].collection("lepPt") == ""


# --- a further format is a table, and nothing else ------------------------------------------------

# Other names, other units, two collections of leptons in one vector, own normalisation.
TABLE = """
FOURTH = Schema(
    name="fourth",
    columns=(
        *(Column(f"lep{what}", f"l_{what}", vector=True) for what in ("Eta", "Phi", "Charge")),
        *(Column(f"lep{what}", f"l_{what}", 0.5, vector=True) for what in ("Pt", "M")),
        Column("lepFlavor", "1 + l_muon", vector=True),
        *(Column(f"jet{what}", f"j_{what}", vector=True) for what in ("Eta", "Phi")),
        *(Column(f"jet{what}", f"j_{what}", 0.5, vector=True) for what in ("Pt", "M")),
        Column("jetBTag", "j_b", vector=True),
        Column("met_Et", "sqrt(mx * mx + my * my)", 0.5),
        Column("met_Phi", "atan2(my, mx)"),
        Column("w", optional=True),
        Column("DatasetNumber", "500001"),
        Column("RunNumber", "r"),
        Column("EventNumber", "n"),
    ),
    weights=("w",),
    simulation_tree="T_{sample}",
    data_tree="D",
    sum_of_weights="facts:total",
)
SCHEMAS["fourth"] = FOURTH
"""

RUN = """
import sys
from analysis import schemas
exec({table!r}, vars(schemas))
import run_rdf
run_rdf.main(sys.argv[1:])
"""


def test_fourth_format_is_only_a_table(ROOT, tmp_path):
    import ntuples
    from test_run import assert_same_results

    events = [ntuples.three_leptons(number=k, met=20.0 + k, met_phi=0.0) for k in range(30)]
    susy = {n: ntuples.SUSY[n] for n in ntuples.SUSY if n not in LACKING}
    fourth = {
        "l_Pt": ("float", lambda e: [2 * x.pt for x in e.leptons]),
        "l_M": ("float", lambda e: [2 * x.m for x in e.leptons]),
        "l_Eta": susy["lepEta"],
        "l_Phi": susy["lepPhi"],
        "l_Charge": susy["lepCharge"],
        "l_muon": ("bool", lambda e: [x.flavour == 2 for x in e.leptons]),
        "j_Pt": ("float", lambda e: [2 * x.pt for x in e.jets]),
        "j_M": ("float", lambda e: [2 * x.m for x in e.jets]),
        "j_Eta": susy["jetEta"],
        "j_Phi": susy["jetPhi"],
        "j_b": ("int", lambda e: [x.dl1r >= 2.195 for x in e.jets]),
        "mx": ("F", lambda e: 2 * e.met),
        "my": ("F", lambda e: 0.0),
        "w": susy["genWeight"],
        "r": susy["RunNumber"],
        "n": susy["EventNumber"],
    }
    made = {"sum_of_weights": 100.0}
    ntuples.write(tmp_path / "susy.root", events, susy, **made)
    names = {"tree": "T_made", "metadata": ("facts", "total")}
    ntuples.write(tmp_path / "fourth.root", events, fourth, **names, **made)
    for name, tree in (("susy", "nominal"), ("fourth", None)):
        sample = {"name": "made", "files": [tmp_path / f"{name}.root"], "schema": name}
        sample |= {"tree": tree, "xsec_pb": 1.0}
        ntuples.samples_file(tmp_path / f"{name}.toml", sample)
    runs = {"susy": (), "fourth": (), "plain": ("--plain",)}
    for name, words in runs.items():
        samples = tmp_path / ("susy.toml" if name == "susy" else "fourth.toml")
        words += ("-r", "SR3L", "SR2L", "-j", "1", "--samples", samples, "-o", tmp_path / name)
        done = subprocess.run(
            [sys.executable, "-c", RUN.format(table=TABLE), *words],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=SAFETY_NET,
        )
        assert done.returncode == 0, done.stderr
    assert_same_results(tmp_path / "susy", tmp_path / "fourth")
    assert_same_results(tmp_path / "susy", tmp_path / "plain")
