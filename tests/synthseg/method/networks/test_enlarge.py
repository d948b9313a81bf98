from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from synthseg.method.networks.enlarge import enlarge


@pytest.mark.parametrize("size", [(128, 128), (40, 24), (5, 7)])
def test_the_numbers_and_gradients_of_interpolate(size: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    found = []
    for resized in (enlarge(maps, size), F.interpolate(maps, size=size, mode="bilinear", align_corners=False)):
        (gradient,) = torch.autograd.grad((resized * weight).sum(), maps)
        found.append((resized.detach(), gradient))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
