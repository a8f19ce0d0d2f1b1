"""Features and layouts as declared."""

import pytest
import reference

from analysis import features
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
        made = (*features.cells(layout), *features.FEATURES, *features.counts(layout))
        names = [feature.name for feature in made]
        assert len(names) == len(set(names))


def test_the_features_that_were_asked_for_are_there():
    names = {feature.name for feature in features.FEATURES}
    assert names >= {
        *("flcomp", "lepPt_0", "lepPt_1", "lepPt_2", "lepCharge_0", "lepCharge_1", "lepCharge_2"),
        *("m_3l", "m_sfos", "met_significance", "ht_lep", "ht_jet"),
        *("n_jet", "n_bjet", "n_ele", "n_muo"),
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
