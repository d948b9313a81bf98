from __future__ import annotations

import numpy as np
import pytest

from synthseg.config.schema import ScoringConfig
from synthseg.method.labels.selection import CLASS_INTRUDED, CLASS_REFUTED, LOW_CLIP_SCORE, NOT_IN_TOP_K, REASONS, class_scores, select

CONFIG = ScoringConfig(model="embedded", keep_per_prompt=2, present_threshold=0.5, refute_threshold=0.05, min_class_score=0.0)


def reasons(prompts, scores, probs, asked, config=CONFIG):
    return select(prompts, np.array(scores), np.array(probs, np.float32), np.array(asked, bool), config)


def test_keeps_the_best_k_of_each_prompt():
    good, asked = [[0.9, 0.1, 0.1]] * 5, [[1, 0, 0]] * 5
    assert reasons(["a", "a", "a", "b", "a"], [0.1, 0.4, 0.3, 0.0, 0.2], good, asked) == [NOT_IN_TOP_K, "", "", "", NOT_IN_TOP_K]


def test_refuted_and_weak_images_leave_their_place_to_others():
    probs = [[0.01, 0.9, 0.1], [0.2, 0.9, 0.3], [0.8, 0.1, 0.1], [0.7, 0.1, 0.1]]
    assert reasons(["a"] * 4, [0.9, 0.8, 0.2, 0.1], probs, [[1, 0, 0]] * 4) == [CLASS_REFUTED, LOW_CLIP_SCORE, "", ""]


def test_every_asked_class_counts():
    probs = [[0.9, 0.8, 0.1], [0.9, 0.01, 0.1]]
    assert reasons(["a"] * 2, [0.5, 0.5], probs, [[1, 1, 0]] * 2) == ["", CLASS_REFUTED]


def test_context_images_must_show_no_class():
    assert reasons(["a", "b"], [0.1, 0.1], [[0.6, 0.1, 0.1], [0.3, 0.1, 0.1]], [[0, 0, 0]] * 2) == [CLASS_INTRUDED, ""]


def test_a_single_class_is_not_compared_with_itself():
    assert reasons(["a", "b"], [0.1, 0.1], [[0.4], [0.01]], [[1]] * 2) == ["", CLASS_REFUTED]


@pytest.mark.parametrize("seed", range(5))
def test_shards_and_order_play_no_part(seed):
    rng = np.random.default_rng(seed)
    prompts = [f"p{i // 4}" for i in range(40)]
    scores, probs = rng.random(40), rng.random((40, 5)).astype(np.float32)
    asked = np.repeat(rng.random((10, 5)) < 0.3, 4, axis=0)
    whole = select(prompts, scores, probs, asked, CONFIG)
    assert set(whole) - {""} <= set(REASONS)
    assert len(set(whole)) >= 4
    order = np.concatenate([4 * p + rng.permutation(4) for p in rng.permutation(10)])
    parts = []
    for chunk in (order[:12], order[12:]):
        parts += select([prompts[i] for i in chunk], scores[chunk], probs[chunk], asked[chunk], CONFIG)
    assert parts == [whole[i] for i in order]


def test_class_scores_are_z_scores_of_logits():
    found = class_scores(np.array([[0.9, 0.1, 0.1], [0.4, 0.4, 0.4]]))
    np.testing.assert_allclose(found[0], [np.sqrt(2), -1 / np.sqrt(2), -1 / np.sqrt(2)], rtol=1e-6)
    assert (found[1] == 0).all()
