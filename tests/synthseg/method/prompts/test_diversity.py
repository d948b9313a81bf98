from __future__ import annotations

import numpy as np
import pytest

from synthseg.method.prompts.diversity import calibrate_diversity, mean_neighbour_similarity


def circle(*degrees: float) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_mean_of_each_rows_nearest_other_row() -> None:
    expected = (2 * np.cos(np.deg2rad(10)) + np.cos(np.deg2rad(50))) / 3
    assert mean_neighbour_similarity(circle(0, 10, 60)) == pytest.approx(expected, abs=1e-6)


def test_one_prompt_has_no_neighbour() -> None:
    assert mean_neighbour_similarity(circle(0)) == 0.0


def num_passing(rows: np.ndarray, delta: float) -> int:
    kept: list[np.ndarray] = []
    for row in rows:
        if all(float(row @ other) < delta for other in kept):
            kept.append(row)
    return len(kept)


@pytest.mark.parametrize("share", [0.2, 0.3, 0.4])
def test_delta_passes_the_asked_share_and_hardly_more(share: float) -> None:
    rows = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    delta = calibrate_diversity(rows, share)
    assert share * 60 <= num_passing(rows, delta) < share * 60 + 5
    assert calibrate_diversity(rows, share) == delta


def test_delta_of_clear_pairs_parts_the_pairs() -> None:
    delta = calibrate_diversity(circle(0, 2, 60, 61, 120, 122), 0.5)
    assert np.cos(np.deg2rad(62)) - 1e-6 < delta <= np.cos(np.deg2rad(2))
