from __future__ import annotations

import numpy as np
import pytest

from synthseg.prompts.diversity import calibrate_diversity, mean_neighbour_similarity


def circle(*degrees: float) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_mean_of_each_rows_nearest_other_row() -> None:
    expected = (2 * np.cos(np.deg2rad(10)) + np.cos(np.deg2rad(50))) / 3
    assert mean_neighbour_similarity(circle(0, 10, 60)) == pytest.approx(expected, abs=1e-6)


def test_one_prompt_has_no_neighbour() -> None:
    assert mean_neighbour_similarity(circle(0)) == 0.0


def test_delta_passes_the_asked_share_and_no_smaller_one_does() -> None:
    rows = circle(0, 2, 40, 43, 90, 91, 150, 151)
    delta = calibrate_diversity(rows, 0.5)
    assert np.cos(np.deg2rad(40)) < delta < np.cos(np.deg2rad(3))
    assert calibrate_diversity(rows, 0.9) > np.cos(np.deg2rad(2))
    assert calibrate_diversity(rows, 0.5) == delta
