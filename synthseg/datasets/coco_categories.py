"""COCO's categories: their ids with gaps, and whether a file means by them what the taxonomy does."""

from __future__ import annotations

from collections.abc import Iterable
from reprlib import repr as shown
from typing import Any

from synthseg import class_words
from synthseg.errors import CorruptData
from synthseg.taxonomy import taxonomy

MISSING_CATEGORIES = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Category ids below 90 that COCO never used."""


def class_id(category_id: int) -> int:
    """Taxonomy id 1..80 of a COCO category id 1..90. ValueError for an id that COCO does not have."""
    if category_id in MISSING_CATEGORIES or not 1 <= category_id <= taxonomy("coco").num_classes + len(MISSING_CATEGORIES):
        raise ValueError(f"category id {category_id} is none of COCO's")
    return category_id - sum(missing < category_id for missing in MISSING_CATEGORIES)


def check_categories(categories: Any, used: Iterable[int], source: object) -> None:
    """CorruptData, with `source`, where `categories` (an annotation file's list) and the taxonomy differ at an id.

    Names may be in any usual spelling: copies of 2014 and 2017 have VOC's or COCO's (`motorbike`, `motorcycle`). Categories besides
    COCO's are fine as long as no annotation uses them; every id in `used` must be COCO's and must be listed.
    """
    if not isinstance(categories, list) or not categories:
        raise CorruptData(f"{source}: has no list of categories, so that its ids mean nothing; use COCO's instance annotations")
    listed: set[int] = set()
    for category in categories:
        number, name = (category.get("id"), category.get("name")) if isinstance(category, dict) else (None, None)
        if type(number) is not int or not isinstance(name, str):
            raise CorruptData(f"{source}: category {shown(category)} needs a whole number as id and a name; restore the file")
        listed.add(number)
        wanted = _name_of(number)
        if wanted and class_words.normal(name) not in set(class_words.spellings(wanted)):
            raise CorruptData(f"{source}: category {number} is {shown(name)}, in COCO it is '{wanted}'; use COCO's own ids")
    for number in sorted(set(used)):
        if not _name_of(number):
            raise CorruptData(f"{source}: category {number} is annotated and none of COCO's; use COCO's own ids")
        if number not in listed:
            raise CorruptData(f"{source}: category {number} is annotated and not listed under categories; restore the file")


def _name_of(category_id: int) -> str:
    """COCO's name of a category; empty for an id that COCO does not have."""
    try:
        return taxonomy("coco").by_id(class_id(category_id)).name
    except ValueError:
        return ""
