from __future__ import annotations

import numpy as np
import torch

from synthseg.method.networks.decoder import Decoder, draw_dropout


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
    keep = torch.from_numpy(draw_dropout(1, 64, np.random.default_rng(0)))
    decoder, tokens = Decoder([[8]], 2, 64, 0), [[torch.rand(1, 9, 8)]]
    whole, fused = decoder(tokens, (3, 3))[1][0], decoder(tokens, (3, 3), keep[None])[1][0]
    dropped = (fused == 0).all(dim=1)
    assert 0 < dropped.sum() < 32
    assert torch.equal(dropped[0], keep[0] == 0)
    torch.testing.assert_close(fused[:, :, ~dropped[0]], whole[:, :, ~dropped[0]] / 0.9)
