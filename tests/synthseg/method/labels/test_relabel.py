from __future__ import annotations

import numpy as np
import pytest

from synthseg.config.schema import RelabelConfig, ScoringConfig
from synthseg.method.labels.relabel import mixed_opinion, relabel

RELABEL = RelabelConfig(present_threshold=0.7, absent_threshold=0.3, drop_threshold=0.05)
SCORING = ScoringConfig(model="embedded", refute_threshold=0.05)


@pytest.mark.parametrize(
    ("pseudo", "classifier", "clip", "asked", "label", "dropped"),
    [
        (-1, 0.8, 0.3, False, 1, False),  # the classifier settles what the pseudo-label left open
        (-1, 0.2, 0.3, False, 0, False),
        (0, 0.8, 0.1, False, -1, False),  # one voice of three
        (1, 0.2, 0.9, False, 0, False),
        (1, 0.5, 0.9, False, -1, False),
        (-1, 0.5, 0.9, False, -1, False),
        (0, 0.5, 0.1, False, 0, False),  # in doubt an absence stands
        (1, 0.2, 0.01, True, 1, False),  # asked for, only doubted
        (1, 0.01, 0.2, True, 1, False),  # CLIP still sees it
        (1, 0.01, 0.01, True, 0, True),
        (0, 0.01, 0.01, False, 0, False),
    ],
)
def test_rule(pseudo, classifier, clip, asked, label, dropped):
    found = relabel(np.array([[pseudo]], np.int8), np.array([[classifier]]), np.array([[clip]]), np.array([[asked]]), RELABEL, SCORING)
    assert found.label.tolist() == [[label]]
    assert found.label.dtype == np.int8
    assert found.dropped.tolist() == [dropped]


def test_probabilities_are_the_classifiers_and_one_refuted_class_drops_the_image():
    classifier = np.array([[0.9, 0.01], [0.9, 0.4]], np.float32)
    found = relabel(np.ones((2, 2), np.int8), classifier, np.full((2, 2), 0.01), np.ones((2, 2), bool), RELABEL, SCORING)
    np.testing.assert_array_equal(found.probs, classifier)
    assert found.dropped.tolist() == [True, False]


def test_clip_weight_mixes_log_odds():
    classifier, clip = np.array([[0.9, 0.9]]), np.array([[0.9, 0.1]])
    assert mixed_opinion(classifier, clip, 0.0) == pytest.approx(classifier)
    assert mixed_opinion(classifier, clip, 0.5) == pytest.approx(np.array([[0.9, 0.5]]))
