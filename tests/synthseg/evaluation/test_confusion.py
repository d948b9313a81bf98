from __future__ import annotations

import numpy as np
import pytest

from synthseg.evaluation.confusion import ConfusionMatrix


def test_counts_iou_and_mean_over_classes_in_the_truth():
    matrix = ConfusionMatrix(3)
    truth = np.array([[0, 0, 1], [1, 255, 2]], np.uint8)
    matrix.update(truth, np.array([[0, 1, 1], [1, 3, 3]], np.uint8))
    assert matrix.counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    np.testing.assert_allclose(matrix.iou(), [1 / 2, 2 / 3, 0, np.nan])
    assert matrix.miou() == pytest.approx((1 / 2 + 2 / 3) / 3)


def test_one_global_matrix_is_the_merge_of_its_parts():
    rng = np.random.default_rng(0)
    whole, merged = ConfusionMatrix(4), ConfusionMatrix(4)
    for _ in range(3):
        truth, prediction = rng.integers(0, 5, (2, 9, 7)).astype(np.uint8)
        truth[0] = 255
        whole.update(truth, prediction)
        part = ConfusionMatrix(4)
        part.update(truth, prediction)
        merged.merge(np.array(part.counts.tolist()))
    assert (merged.counts == whole.counts).all()
    assert whole.counts.sum() == 3 * 8 * 7
    with pytest.raises(ValueError, match="do not fit"):
        merged.merge(np.zeros((2, 2), np.int64))


def test_nothing_seen_is_no_number():
    assert np.isnan(ConfusionMatrix(2).miou())


@pytest.mark.parametrize(("truth", "prediction", "name"), [(0, 255, "prediction"), (3, 0, "truth")])
def test_values_outside_the_classes_are_refused(truth, prediction, name):
    with pytest.raises(ValueError, match=name):
        ConfusionMatrix(2).update(np.full((2, 2), truth, np.uint8), np.full((2, 2), prediction, np.uint8))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shape"):
        ConfusionMatrix(2).update(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))
