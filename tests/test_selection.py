"""What is declared: the cuts of the definitions. Their effect is tested in test_run.py."""

import pytest

from analysis import selection
from analysis.plan import identifiers
from analysis.schemas import SCHEMAS


def test_regions_are_sr3l_and_sr2l_and_open():
    assert [(r.name, r.tag, r.blind) for r in selection.REGIONS] == [
        ("SR3L", "3lep", False),
        ("SR2L", "2lep", False),
    ]
    assert selection.DEFAULT_REGION == "SR3L"


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
