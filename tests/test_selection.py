"""What is declared: the cuts of the definitions. Their effect is tested in test_run.py."""

from analysis import selection


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


def test_objects_select_from_arrays_that_exist():
    assert {declared.of for declared in selection.OBJECTS} == {"lep", "jet", "pho"}
    by_name = {declared.name: declared for declared in selection.OBJECTS}
    assert {"ele_BL", "muo_BL", "ele_SG", "muo_SG", "jet_SG", "bjet_SG"} <= set(by_name)
    assert "ele_BL" in by_name["ele_SG"].cuts and "muo_BL" in by_name["muo_SG"].cuts
