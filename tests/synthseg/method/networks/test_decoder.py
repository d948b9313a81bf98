from __future__ import annotations

import torch

from synthseg.method.networks.decoder import Decoder


def test_shapes_with_two_encoders_of_different_width() -> None:
    decoder = Decoder([[8, 8], [12, 12, 12]], num_classes=4, width=16, num_blocks=1)
    layers = [[torch.rand(2, 6, 8)] * 2, [torch.rand(2, 6, 12)] * 3]
    logits, fused = decoder(layers, (2, 3))
    assert [x.shape for x in logits] == [(2, 5, 2, 3)] * 2
    assert [x.shape for x in fused] == [(2, 6, 16)] * 2


def test_every_weight_learns() -> None:
    decoder = Decoder([[8, 8]], num_classes=2, width=16, num_blocks=2)
    logits, fused = decoder([[torch.rand(1, 4, 8), torch.rand(1, 4, 8)]], (2, 2))
    (logits[0].square().sum() + fused[0].sum()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in decoder.parameters())


def test_dropout_removes_whole_channels() -> None:
    torch.manual_seed(0)
    fused = Decoder([[8]], 2, 64, 0).entries[0]([torch.rand(1, 9, 8)])
    dropped = (fused == 0).all(dim=1)
    assert dropped.any()
    assert torch.equal(dropped, (fused == 0).any(dim=1))
