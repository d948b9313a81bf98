from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pytest

from synthseg.errors import UsageProblem
from synthseg.method.masks.prototypes import build_prototypes, enrich, kmeans, unit
from synthseg.taxonomy import taxonomy

VOC = taxonomy("voc")
CLASSES = VOC.select(["cat", "dog"])


def embed(texts: Sequence[str]) -> np.ndarray:
    rows = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(16) for text in texts]
    return unit(np.array(rows, dtype=np.float32))


def test_templates_alone_give_classes_then_background_words() -> None:
    found = build_prototypes(CLASSES, ("grass", "cat", "sky"), ("a {}.", "one {}"), embed)
    assert found.num_classes == 2
    assert found.vectors.shape == (4, 16)  # "cat" is a class here, so no background word
    mean = embed(["a cat."]) + embed(["one cat"])
    np.testing.assert_allclose(found.vectors[0], unit(mean)[0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-6)


def test_descriptors_change_the_classes_and_leave_the_background() -> None:
    texts = {"cat": ["whiskers", "pointed ears", "soft fur"], "dog": ["floppy ears", "long snout"]}
    plain = build_prototypes(CLASSES, ("grass",), ("a {}.",), embed)
    rich = build_prototypes(CLASSES, ("grass",), ("a {}.",), embed, texts, 3, np.random.default_rng(0))
    assert not np.allclose(plain.vectors[:2], rich.vectors[:2])
    np.testing.assert_array_equal(plain.vectors[2], rich.vectors[2])


def test_enrich_pulls_a_class_to_its_own_attribute_most() -> None:
    classes = np.eye(4, dtype=np.float32)[:2]
    attributes = unit(np.array([[1, 0, 0.5, 0], [0, 1, 0, 0.5]], dtype=np.float32))
    found = enrich(classes, attributes)
    assert found[0, 2] > found[0, 3]
    assert found[1, 3] > found[1, 2]


def test_kmeans_finds_separate_clusters() -> None:
    rng = np.random.default_rng(0)
    axes = np.eye(3, dtype=np.float32)
    points = unit(np.repeat(axes, 20, axis=0) + rng.normal(0, 0.05, (60, 3)).astype(np.float32))
    centers = kmeans(points, 3, np.random.default_rng(1))
    assert {int(np.argmax(c)) for c in centers} == {0, 1, 2} or (points @ centers.T).max(axis=1).min() > 0.6


def test_template_without_slot_is_refused() -> None:
    with pytest.raises(UsageProblem, match="text_templates"):
        build_prototypes(CLASSES, (), ("a photo",), embed)
