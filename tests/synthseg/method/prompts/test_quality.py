from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from synthseg.method.prompts.profiles import profile
from synthseg.method.prompts.quality import ClassSpace, Mentions, class_prototypes, place_fault, rating_share
from synthseg.taxonomy import taxonomy

VOC = taxonomy("voc")
HORSE, TABLE, TRAIN = VOC.by_id(13), VOC.by_id(11), VOC.by_id(19)


def test_mentions_by_noun_plural_and_synonym() -> None:
    mentions = Mentions(VOC.classes)
    assert mentions.of("Two ponies and a woman beside a dining table") == [13, 15, 11]
    assert mentions.of("a horseshoe and a carpet") == []


@pytest.mark.parametrize(
    ("text", "kind", "fault"),
    [
        ("A horse by a lake", "target", ""),
        ("Three mares by a lake", "target", ""),
        ("A lake at dusk", "target", "class_missing"),
        ("A meadow without any horse in it", "target", "negated"),
        ("A horse beside a fence", "bare", "context_present"),
        ("A horse on a beach", "bare", ""),
        ("A field with a dog", "context", "class_present"),
        ("A field with a fence", "context", ""),
    ],
)
def test_fault_of_what_is_named(text: str, kind: Any, fault: str) -> None:
    assert Mentions(VOC.classes).fault(text, HORSE.class_id, kind, profile(HORSE)) == fault


def test_place_must_stay() -> None:
    assert place_fault("An empty railway track at dawn", "an empty railway track") == ""
    assert place_fault("A quiet village square", "an empty railway track") == "off_class"


def test_space_prefers_its_class(scorer: Any) -> None:
    draws = scorer.embed_texts(["a photo of a horse in snow", "a photo of a horse at dusk"])
    space = ClassSpace.build(VOC.classes, HORSE, class_prototypes(VOC.classes, scorer), draws)
    horse, dog = scorer.embed_texts(["a horse grazing", "a dog running"])
    own, other = space.margins(np.stack([horse, dog]))
    assert own > 0.2 > other
    assert space.fault(horse, own, 0.0, ()) == ""
    assert space.fault(dog, other, 0.0, ()) in {"off_class", "other_class_dominates"}
    assert space.fault(dog, other, -1.0, ()) == "other_class_dominates"
    assert space.fault(dog, other, -1.0, (11,)) == ""
    assert space.quality((5, 5, 5), own, 0.5) == pytest.approx(1.0)
    assert space.quality((1, 1, 1), own, 0.5) == pytest.approx(0.5)
    assert space.quality((5, 5, 5), -1.0, 0.5) == pytest.approx(0.5)


def test_rating_share() -> None:
    assert [rating_share(m) for m in ((1, 1, 1), (3, 3, 3), (5, 5, 5))] == [0.0, 0.5, 1.0]
