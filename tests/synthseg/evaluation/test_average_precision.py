from __future__ import annotations

import numpy as np
import pytest

from synthseg.evaluation.average_precision import average_precision, mean_average_precision


def test_hand_made_ranking():
    scores, truth = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert average_precision(scores, truth) == pytest.approx((1 + 2 / 3) / 2)


def test_ties_do_not_depend_on_order():
    scores = np.full(4, 0.5)
    assert average_precision(scores, np.array([True, False, False, False])) == 0.25
    assert average_precision(scores, np.array([False, False, False, True])) == 0.25


def test_mean_leaves_out_classes_without_a_positive():
    probs = np.array([[0.9, 0.1, 0.5], [0.1, 0.9, 0.5]])
    assert mean_average_precision(probs, np.array([[1, 1, 0], [0, 0, 0]], bool)) == pytest.approx((1 + 0.5) / 2)
    assert np.isnan(mean_average_precision(probs, np.zeros((2, 3), bool)))
