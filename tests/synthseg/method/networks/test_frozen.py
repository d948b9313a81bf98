from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import timm
import torch

from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem
from synthseg.method.networks.clip_loading import LoadedClip
from synthseg.method.networks.frozen import FrozenParts, load_frozen


def reloaded(parts: FrozenParts) -> LoadedClip:
    def tokenizer(texts: Sequence[str]) -> torch.Tensor:
        return torch.ones(len(texts), 16, dtype=torch.long)

    return LoadedClip(parts.clip_model, tokenizer, (0.5,) * 3, (0.25,) * 3, (32, 32), "test")


def test_prototypes_are_the_classes_then_the_background(parts: FrozenParts, config: RunConfig) -> None:
    assert parts.prototypes.num_classes == len(config.classes)
    assert len(parts.prototypes.vectors) > len(config.classes)


def test_dino_layers_come_on_the_grid_of_clip(parts: FrozenParts, config: RunConfig, tmp_path: Path) -> None:
    name = "vit_tiny_patch16_224"
    torch.save(timm.create_model(name, num_classes=0).state_dict(), tmp_path / "dino.pth")
    section = config.segmenter.model_copy(update={"mode": "clip_dino", "dino_model": name, "dino_weights": str(tmp_path / "dino.pth")})
    loaded = reloaded(parts)
    both = load_frozen(config.model_copy(update={"segmenter": section}), torch.device("cpu"), loaded)
    layers, grid = both.layers(torch.rand(2, 3, 32, 48))
    assert grid == (4, 6)
    assert [[t.shape[-1] for t in tokens] for tokens in layers] == both.layer_widths()
    assert all(t.shape[:2] == (2, 24) for tokens in layers for t in tokens)


def test_dino_mode_needs_a_model(parts: FrozenParts, config: RunConfig) -> None:
    section = config.segmenter.model_copy(update={"mode": "clip_dino"})
    loaded = reloaded(parts)
    with pytest.raises(UsageProblem, match="dino_model"):
        load_frozen(config.model_copy(update={"segmenter": section}), torch.device("cpu"), loaded)
