from __future__ import annotations

import json

import numpy as np
import pytest

from synthseg.config.loading import load_config
from synthseg.embedded.scenes.painter import paint
from synthseg.evaluation.label_quality import label_quality, painted_labels
from synthseg.records import from_table
from tests.rows import samples


def test_micro_scores_count_an_unknown_as_no_positive():
    labels = np.array([[1, -1, 0], [1, 1, -1]], np.int8)
    truth = np.array([[True, True, False], [False, True, False]])
    found = label_quality(labels, truth)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["unknown_share"] == pytest.approx(2 / 6)


def test_no_positive_at_all_is_zero():
    assert label_quality(np.zeros((2, 2), np.int8), np.ones((2, 2), bool))["f1"] == 0


def test_painted_labels_are_what_the_painter_says_of_the_same_picture():
    config = load_config("embedded", classes=["cat", "horse"])
    rows = []
    for seed, text in enumerate(("a horse in a meadow", "an empty meadow", "a large cat on a sofa")):
        image = {"width": 128, "height": 128, "parameters": json.dumps({"negative_prompt": "person"})}
        rows.append({"sample_id": str(seed), "class_ids": [], "ordinal": 0, "seed": seed, "prompt": {"text": text}, "image": image})
    painted = from_table(samples(rows, "key", "prompt", "image"))
    found = painted_labels(config, painted)
    expected = [paint(sample.prompt.text, sample.seed, negative_prompt="person").class_ids for sample in painted]
    assert found.tolist() == [[8 in ids, 13 in ids] for ids in expected]
    assert found.any()
    assert not found[1].any()
