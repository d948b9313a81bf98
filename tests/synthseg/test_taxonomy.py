from __future__ import annotations

import pytest

from synthseg.config import load_config
from synthseg.errors import UsageProblem
from synthseg.taxonomy import taxonomy

VOC, COCO = taxonomy("voc"), taxonomy("coco")


@pytest.mark.parametrize(
    ("word", "voc", "coco"),
    [
        ("couch", "sofa", "couch"), ("Couches", "sofa", "couch"), ("settee", "sofa", "couch"),
        ("tv", "tvmonitor", "tv"), ("TVs", "tvmonitor", "tv"), ("television", "tvmonitor", "tv"), ("monitor", "tvmonitor", "tv"),
        ("tv_monitor", "tvmonitor", "tv"), ("people", "person", "person"), ("man", "person", "person"), ("Women", "person", "person"),
        ("persons", "person", "person"), ("human", "person", "person"), ("children", "person", "person"), ("firemen", "", ""),
        ("plane", "aeroplane", "airplane"), ("airplanes", "aeroplane", "airplane"), ("aeroplane", "aeroplane", "airplane"),
        ("motorcycle", "motorbike", "motorcycle"), ("motor-bike", "motorbike", "motorcycle"), ("plant", "pottedplant", "potted plant"),
        ("potted_plants", "pottedplant", "potted plant"), ("table", "diningtable", "dining table"),
        ("Dining  Table", "diningtable", "dining table"),
        ("bike", "bicycle", "bicycle"), ("buses", "bus", "bus"), ("SHEEP", "sheep", "sheep"), ("cattle", "cow", "cow"),
        ("fridge", "", "refrigerator"), ("cellphone", "", "cell phone"), ("mice", "", "mouse"), ("knives", "", "knife"),
        ("doughnuts", "", "donut"), ("hairdryer", "", "hair drier"), ("necktie", "", "tie"), ("ski", "", "skis"), ("skis", "", "skis"),
        ("scissors", "", "scissors"), ("teddybears", "", "teddy bear"), ("wine glasses", "", "wine glass"), ("lorries", "", "truck"),
    ],
)  # fmt: skip
def test_a_synonym_is_taken_in_any_spelling(word: str, voc: str, coco: str) -> None:
    for known, name in ((VOC, voc), (COCO, coco)):
        if name:
            assert [c.name for c in known.select([word])] == [name]
        else:
            with pytest.raises(UsageProblem):
                known.select([word])


@pytest.mark.parametrize("known", [VOC, COCO], ids=lambda t: t.name)
def test_every_name_and_its_plural_mean_their_own_class(known: object) -> None:
    for info in known.classes:  # type: ignore[attr-defined]
        for word in (info.name, info.display, info.name.upper(), f"{info.name}s", info.name.replace(" ", "_")):
            assert known.select([word]) == (info,)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("kitten", "did you mean 'cat'?"),
        ("helicopters", "did you mean 'aeroplane'?"),
        ("lamb", "did you mean 'sheep'?"),
        ("screen", "did you mean 'tvmonitor'?"),
        ("hrose", "did you mean 'horse'?"),
        ("cta", "did you mean 'cat'?"),
        ("cuoch", "did you mean 'sofa'?"),
        ("unicorn", "its classes are aeroplane, bicycle,"),
        ("refrigerator", "its classes are aeroplane, bicycle,"),
        ("人", "its classes are aeroplane, bicycle,"),
    ],
)
def test_an_unknown_name_gets_a_sensible_suggestion_or_the_list(word: str, says: str) -> None:
    with pytest.raises(UsageProblem) as raised:
        VOC.select([word])
    assert str(raised.value).startswith(f"classes: '{word}' is not a class of voc; {says}")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["couch", "dog", "sofa"], "'couch' and 'sofa' are both sofa"),
        (["cat", "cat"], "'cat' is given twice"),
        (["cat", "cats"], "are both cat"),
    ],
)
def test_one_class_named_twice_is_one_line(names: list[str], says: str) -> None:
    with pytest.raises(UsageProblem, match=f"^classes: .*{says}; name each class once$"):
        VOC.select(names)


def test_synonyms_make_the_same_run() -> None:
    by_synonyms = load_config("embedded", classes=["couch", "TV", "people"])
    assert by_synonyms.classes == ("person", "sofa", "tvmonitor")
    assert by_synonyms.fingerprint() == load_config("embedded", classes=["person", "sofa", "tvmonitor"]).fingerprint()
