from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from synthseg.embedded.scenes.field import field_split
from synthseg.errors import UsageProblem
from synthseg.taxonomy import VOID_ID

CLASSES = (3, 8, 12, 13, 15)


def test_masks_hold_only_asked_classes_background_and_void() -> None:
    for sample in field_split(25, CLASSES, size=96):
        assert sample.image.shape == (96, 96, 3)
        assert sample.mask.shape == (96, 96)
        assert set(np.unique(sample.mask).tolist()) <= {0, VOID_ID, *CLASSES}


def test_classes_are_balanced_and_each_turn_shows_its_class() -> None:
    seen: Counter[int] = Counter()
    first_shown = 0
    for index, sample in enumerate(field_split(25, CLASSES, size=96)):
        present = set(np.unique(sample.mask).tolist()) - {0, VOID_ID}
        seen.update(present)
        first_shown += sorted(CLASSES)[index % len(CLASSES)] in present
    assert first_shown >= 24
    assert min(seen[c] for c in CLASSES) >= 5


def test_split_is_reproducible_and_a_prefix_of_a_longer_one() -> None:
    short, long = list(field_split(3, CLASSES, size=64)), list(field_split(6, CLASSES, size=64))
    for a, b in zip(short, long, strict=False):
        assert a.name == b.name
        assert a.prompt == b.prompt
        assert a.image.tobytes() == b.image.tobytes()
        assert a.mask.tobytes() == b.mask.tobytes()
    assert short[0].image.tobytes() != next(field_split(1, CLASSES, size=64, seed=1)).image.tobytes()


def test_void_is_a_thin_border_of_objects() -> None:
    for sample in field_split(10, CLASSES, size=96):
        void = sample.mask == VOID_ID
        inside = (sample.mask > 0) & ~void
        near = np.zeros_like(void)
        padded = np.pad(void | inside, 1)
        for dy in range(3):
            for dx in range(3):
                near |= ~padded[dy : dy + 96, dx : dx + 96]
        assert void.any()
        assert void.mean() < 0.2
        assert not (inside & near)[1:-1, 1:-1].any()


@pytest.mark.parametrize("class_ids", [(), (0,), (21,)])
def test_bad_class_ids_are_refused(class_ids: tuple[int, ...]) -> None:
    with pytest.raises(UsageProblem, match="class_ids"):
        next(field_split(1, class_ids))
