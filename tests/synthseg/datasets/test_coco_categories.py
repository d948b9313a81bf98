from __future__ import annotations

import pytest

from synthseg.datasets.coco_categories import check_categories, class_id
from synthseg.errors import CorruptData
from synthseg.taxonomy import taxonomy
from tests.synthseg.datasets.coco_files import categories


def renamed(number: int, name: str) -> list[dict]:
    return [{**category, "name": name} if category["id"] == number else category for category in categories()]


def test_category_ids_close_their_gaps():
    ids = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    assert [class_id(i) for i in ids] == list(range(1, 81))
    assert taxonomy("coco").by_id(class_id(18)).name == "dog"
    assert taxonomy("coco").by_id(class_id(90)).name == "toothbrush"
    for wrong in (-1, 0, 12, 83, 91):
        with pytest.raises(ValueError, match=f"category id {wrong}"):
            class_id(wrong)


def test_coco_s_own_categories_are_the_taxonomy_s():
    assert len(categories()) == 80
    check_categories(categories(), range(1, 12), "file")


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (4, "motorbike"),
        (5, "aeroplane"),
        (63, "sofa"),
        (64, "pottedplant"),
        (67, "diningtable"),
        (72, "tvmonitor"),
        (72, "TV"),
        (10, "traffic_light"),
        (77, "cellphone"),
        (89, "hair dryer"),
    ],
)
def test_other_spellings_of_one_name_are_fine(number, name):
    check_categories(renamed(number, name), [number], "file")


@pytest.mark.parametrize(
    ("number", "name", "wanted"), [(1, "bus", "person"), (4, "bicycle", "motorcycle"), (72, "sofa", "tv"), (90, "", "toothbrush")]
)
def test_another_name_is_refused_with_id_found_and_wanted(number, name, wanted):
    # Also where no annotation uses it: such a file counts from another list.
    with pytest.raises(CorruptData, match=f"^file: category {number} is '{name}', in COCO it is '{wanted}'"):
        check_categories(renamed(number, name), [], "file")


def test_ids_without_gaps_are_refused():
    counted = [{"id": i, "name": info.name} for i, info in enumerate(taxonomy("coco").classes, start=1)]
    with pytest.raises(CorruptData, match="category 13 is 'parking meter', in COCO it is 'stop sign'"):
        check_categories(counted, [1], "file")


def test_categories_besides_coco_s_are_fine_until_one_is_annotated():
    more = [*categories(), {"id": 92, "name": "banner"}, {"id": 12, "name": "street sign"}]
    check_categories(more, [1, 90], "file")
    for number in (92, 12):
        with pytest.raises(CorruptData, match=f"category {number} is annotated and none of COCO's"):
            check_categories(more, [1, number], "file")


def test_an_annotated_category_must_be_listed():
    few = categories()[:3]
    check_categories(few, [1, 3], "file")
    with pytest.raises(CorruptData, match="category 18 is annotated and not listed"):
        check_categories(few, [1, 18], "file")


@pytest.mark.parametrize(
    "broken", [None, [], {}, "person", ["person"], [{"id": "1", "name": "person"}], [{"id": 1}], [{"id": True, "name": "person"}], [None]]
)
def test_broken_categories_are_refused(broken):
    with pytest.raises(CorruptData, match=r"^file: "):
        check_categories(broken, [], "file")
