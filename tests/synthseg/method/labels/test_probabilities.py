from __future__ import annotations

import numpy as np
import pytest

from synthseg.method.labels.probabilities import ClassHead
from synthseg.taxonomy import taxonomy

WORDS = ("airplane", "bicycle", "grass", "sky")


class WordScorer:
    """Embeds a text as the axes of the words in it."""

    digest = "words"
    logit_scale = 10.0

    def __init__(self, logit_bias: float | None) -> None:
        self.logit_bias = logit_bias
        self.asked: list[str] = []

    def embed_texts(self, texts):
        self.asked += texts
        rows = np.array([[word in text for word in WORDS] for text in texts], np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)

    def embed_fixed_texts(self, texts):
        return self.embed_texts(texts)

    def embed_images(self, images):
        raise NotImplementedError


def head(bias: float | None, words=("grass", "sky")) -> ClassHead:
    return ClassHead(WordScorer(bias), taxonomy("voc").classes[:2], words)


def test_sigmoid_scorer_gives_each_class_its_own_calibrated_probability():
    both = np.array([[1, 1, 0, 0]], np.float32) / np.sqrt(2)
    found = head(-5.0).probabilities(np.concatenate([both, np.eye(4, dtype=np.float32)[2:3]]))
    assert found.shape == (2, 2)
    assert found.dtype == np.float32
    expected = 1 / (1 + np.exp(-(10 / np.sqrt(2) - 5)))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    np.testing.assert_allclose(found[1], 1 / (1 + np.exp(5)), rtol=1e-5)


def test_softmax_scorer_shares_the_mass_with_other_classes_and_the_background():
    x = np.eye(4, dtype=np.float32)[:1]
    with_background = head(None).probabilities(x)[0]
    np.testing.assert_allclose(with_background[0], np.exp(10) / (np.exp(10) + 3), rtol=1e-5)
    assert with_background[0] < head(None, ()).probabilities(x)[0, 0]
    assert head(None).probabilities(np.eye(4, dtype=np.float32)[3:])[0].max() < 0.01


def test_background_word_that_is_a_class_is_left_out():
    scorer = WordScorer(None)
    ClassHead(scorer, taxonomy("voc").classes[:2], ("bicycle", "grass"))
    assert sum(text == "bicycle" for text in scorer.asked) == 1


@pytest.mark.parametrize("bias", [None, -300.0])
def test_extreme_logits_stay_finite(bias):
    found = head(bias).probabilities(1000 * np.eye(4, dtype=np.float32))
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()
