"""The adapter tables: the same columns in GeV behind each format."""

import pytest

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


def scales(name):
    return {column.name: column.scale for column in SCHEMAS[name].columns}


def test_units_belong_to_the_format_and_to_energies_only():
    assert set(scales("susy").values()) == {1.0}
    assert set(scales("opendata2025").values()) == {1.0}
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
