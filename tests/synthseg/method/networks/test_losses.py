from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from synthseg.method.networks.losses import (
    LossWeights,
    affinity_loss,
    balanced_cross_entropy,
    consistency_loss,
    decoder_losses,
    dice_loss,
    own_labels,
)


def perfect(target: torch.Tensor, classes: int = 3) -> torch.Tensor:
    return 50 * F.one_hot(target.clamp_max(classes - 1), classes).permute(0, 3, 1, 2).float()


TARGET = torch.tensor([[[0, 0, 1, 1], [0, 0, 2, 255], [0, 0, 2, 2], [0, 0, 0, 0]]])


def test_perfect_logits_cost_nothing() -> None:
    logits = perfect(TARGET)
    assert balanced_cross_entropy(logits, TARGET) == pytest.approx(0, abs=1e-6)
    assert dice_loss(logits, TARGET) == pytest.approx(0, abs=1e-5)


def test_ignored_pixels_count_nowhere() -> None:
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    changed = logits.clone()
    changed[..., 1, 3] = torch.tensor([9.0, -9.0, 3.0])
    assert balanced_cross_entropy(logits, TARGET) == balanced_cross_entropy(changed, TARGET)
    assert dice_loss(logits, TARGET) == dice_loss(changed, TARGET)
    everything_ignored = torch.full_like(TARGET, 255)
    assert balanced_cross_entropy(logits, everything_ignored) == 0
    assert dice_loss(logits, everything_ignored) == 0


def test_dice_is_two_overlaps_by_both_sizes() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, 6, generator=generator).requires_grad_()
    target = torch.randint(0, 3, (2, 6, 6), generator=generator)  # class 3 does not occur
    target[:, 0] = 255
    valid = (target != 255)[:, None]
    probs = logits.softmax(dim=1) * valid
    truth = F.one_hot(target.clamp_max(3), 4).permute(0, 3, 1, 2) * valid
    overlap, sizes = (probs * truth).sum(dim=(0, 2, 3)), (probs + truth).sum(dim=(0, 2, 3))
    expected = (1 - 2 * overlap / sizes)[:3].mean()
    found = dice_loss(logits, target)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_few_class_pixels_weigh_as_much_as_much_background() -> None:
    target = torch.zeros(1, 10, 10, dtype=torch.long)
    target[0, 0, 0] = 1
    all_background = torch.zeros(1, 2, 10, 10)
    all_background[:, 0] = 4.0
    assert balanced_cross_entropy(all_background, target) == pytest.approx(0.5 * (4.018 + 0.018), abs=1e-2)


def test_affinity_loss_wants_like_patches_alike() -> None:
    target = TARGET.clamp_max(1)
    labels = target.flatten(1).float()
    good = torch.stack([labels * 2 - 1, 1 - labels * 2], dim=-1) * 9
    assert affinity_loss(good, target, 4) < 0.1
    assert affinity_loss(good.flip(1), target, 4) > 0.8


def test_affinity_radius_leaves_far_pairs_out() -> None:
    target = torch.tensor([[[0, 0, 0, 0, 1]]])
    fused = torch.tensor([[[3.0], [3.0], [3.0], [3.0], [3.0]]])
    near, far = affinity_loss(fused, target, 1), affinity_loss(fused * torch.tensor([1, 1, 1, 1, -1.0])[None, :, None], target, 1)
    assert near > 0.9 > far


def test_consistency_is_low_where_both_agree() -> None:
    same = perfect(TARGET)
    assert consistency_loss(same, same) < 1e-3 < consistency_loss(same, same.flip(1))


def test_own_labels_need_confidence_and_a_possible_class() -> None:
    logits = torch.tensor([0.0, 0.0, 9.0]).view(1, 3, 1, 1).expand(1, 3, 1, 2).clone()
    logits[..., 1] = 0.0
    target = torch.tensor([[[255, 1]]])
    assert own_labels(logits, target, torch.tensor([[True, True, True]]), 0.75).tolist() == [[[2, 1]]]
    assert own_labels(logits, target, torch.tensor([[True, True, False]]), 0.75).tolist() == [[[255, 1]]]


def test_total_is_the_weighted_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(1, 3, 4, 4, generator=generator) for _ in range(2)]
    fused = [torch.randn(1, 16, 8, generator=generator) for _ in range(2)]
    found = decoder_losses(logits, fused, TARGET, LossWeights(0.1, 0.2, 2))
    assert found.consistency > 0
    torch.testing.assert_close(found.total, found.cross_entropy + found.dice + 0.1 * found.affinity + 0.2 * found.consistency)
    assert decoder_losses(logits[:1], fused[:1], TARGET, LossWeights(0.1, 0.2, 2)).consistency == 0
