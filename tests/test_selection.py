"""What is declared: the cuts of the definitions. Their effect is tested in test_run.py."""

import pytest

from analysis import selection
from analysis.plan import identifiers
from analysis.schemas import SCHEMAS


def test_regions_of_the_thesis_are_open_and_the_search_is_blind():
    found = {r.name: (r.tag, r.blind, r.role) for r in selection.REGIONS}
    assert found["SR3L"] == ("3lep", False, "signal")
    assert found["SR2L"] == ("2lep", False, "signal")
    assert found["SR_search"] == ("SR_search", True, "signal")
    assert selection.DEFAULT_REGION == "SR3L"


def test_control_and_validation_regions_are_open():
    roles = {r.name: r.role for r in selection.REGIONS if not r.blind}
    assert {name for name, role in roles.items() if role == "control"} == {
        *("CR_WZ", "CR_ttbar", "CR_fake"),
    }
    assert {name for name, role in roles.items() if role == "validation"} == {
        *("VR_WZ", "VR_ttbar", "VR_fake"),
    }


def test_each_cut_is_named_once_in_its_region():
    for region in selection.REGIONS:
        names = [cut.name for cut in region.cuts]
        assert len(names) == len(set(names)) > 0


def test_tags_tell_the_tables_of_regions_apart():
    tags = [region.tag for region in selection.REGIONS]
    assert len(tags) == len(set(tags))


@pytest.mark.parametrize("declared", selection.OBJECTS, ids=lambda declared: declared.name)
def test_cuts_of_an_object_are_of_its_own_arrays(declared):
    """Of columns that some input format carries, and of objects of the same arrays."""
    known = {column.name for schema in SCHEMAS.values() for column in schema.columns}
    objects = {other.name for other in selection.OBJECTS if other.of == declared.of}
    assert f"{declared.of}Pt" in known
    for cut in declared.cuts:
        names = set(identifiers(cut))
        assert names and names - objects <= {n for n in known if n.startswith(declared.of)}, cut
