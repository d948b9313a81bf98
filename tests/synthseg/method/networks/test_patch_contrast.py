from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from synthseg.method.networks.patch_contrast import patch_contrast


def pairwise(tokens, probs, labels, confidence):
    """The formula, pair by pair."""
    errors = []
    for classes, x in zip(zip(probs.unbind(-1), labels, strict=True), [tokens] * len(labels), strict=False):
        z, label = classes
        if label != 1:
            continue
        unit = F.normalize(x, dim=-1)
        similarity = (1 + unit @ unit.T) / 2
        high, low = torch.where(z > confidence)[0].tolist(), torch.where(z < 1 - confidence)[0].tolist()
        pairs = list(itertools.permutations(high, 2))
        error = sum(1 - similarity[a, b] for a, b in pairs) / len(pairs) if pairs else 0
        cross = list(itertools.product(high, low))
        errors.append(error + (sum(similarity[a, b] for a, b in cross) / len(cross) if cross else 0))
    return sum(errors) / len(errors)


def test_equals_the_sum_over_pairs():
    torch.manual_seed(0)
    tokens, probs = torch.randn(2, 12, 5), torch.rand(2, 12, 3)
    labels = torch.tensor([[1, 0, 1], [-1, 1, 0]])
    found = patch_contrast(tokens, probs, labels, 0.7)
    expected = [float(pairwise(tokens[b], probs[b].T.T, labels[b].tolist(), 0.7)) for b in range(2)]
    assert found.tolist() == pytest.approx(expected, abs=1e-5)


def test_only_present_classes_count():
    torch.manual_seed(1)
    tokens, probs = torch.randn(1, 8, 4), torch.rand(1, 8, 2)
    assert patch_contrast(tokens, probs, torch.tensor([[0, -1]]), 0.6).item() == 0
    assert patch_contrast(tokens, torch.full((1, 8, 2), 0.5), torch.tensor([[1, 1]]), 0.6).item() == 0


def test_descent_pulls_high_patches_together_and_away_from_low_ones():
    torch.manual_seed(2)
    tokens = torch.randn(1, 6, 4, requires_grad=True)
    probs = torch.tensor([[[0.9]] * 3 + [[0.05]] * 3]).reshape(1, 6, 1)
    labels = torch.tensor([[1]])
    before = patch_contrast(tokens, probs, labels, 0.85)
    before.backward()
    after = patch_contrast(tokens.detach() - tokens.grad, probs, labels, 0.85)
    assert after.item() < before.item()
