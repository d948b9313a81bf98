"""All frozen parts of the segmenter at once: the CLIP encoder, DINOv2 where the mode asks for it, and the prototypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthseg.config.schema import RunConfig, SegmenterConfig
from synthseg.engines.scorer import Embeddings
from synthseg.errors import UsageProblem
from synthseg.ids import derive_seed
from synthseg.method.masks.prototypes import Prototypes, build_prototypes
from synthseg.method.masks.pseudo_masks import PseudoMasker
from synthseg.method.networks.clip_loading import LoadedClip, load_open_clip
from synthseg.method.networks.encoder import IMAGENET_MEAN, IMAGENET_STD, FrozenClipEncoder, FrozenEncoder
from synthseg.method.networks.text_cache import cached_embeddings
from synthseg.method.networks.timm_loading import load_timm
from synthseg.method.networks.tower import Grid, TimmTower
from synthseg.taxonomy import taxonomy

TEXT_BATCH = 256
"""Texts embedded at once: descriptors are thousands."""


@dataclass(frozen=True, slots=True)
class FrozenParts:
    """What never learns. `clip_model` keeps the text tower and the logit scale for image tags."""

    clip: FrozenClipEncoder
    dino: FrozenEncoder | None
    prototypes: Prototypes
    clip_model: nn.Module

    @property
    def stride(self) -> int:
        """Pixels a patch, each way; image sides must be multiples of it."""
        return self.clip.stride

    def layer_widths(self) -> list[list[int]]:
        """Widths of each encoder's layers, as the decoder wants them."""
        return [e.layer_widths for e in (self.clip, self.dino) if e is not None]

    def layers(self, images: Tensor) -> tuple[list[list[Tensor]], Grid]:
        """Tokens of each encoder's layers for images (B, 3, H, W) in [0, 1], all on CLIP's grid."""
        tokens, grid = self.clip.layers(images)
        if self.dino is None:
            return [tokens], grid
        size = (grid[0] * self.dino.stride, grid[1] * self.dino.stride)
        other, _ = self.dino.layers(F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True))
        return [tokens, other], grid

    def masker(self, config: SegmenterConfig) -> PseudoMasker:
        """Pseudo masks by these parts."""
        return PseudoMasker(self.clip, self.prototypes, config)


def load_frozen(
    config: RunConfig,
    device: torch.device,
    loaded: LoadedClip | None = None,
    descriptors: Mapping[str, Sequence[str]] | None = None,
) -> FrozenParts:
    """What `config.segmenter` names, on `device`, in evaluation mode.

    `loaded` saves loading the CLIP again; `descriptors` are texts about a class's looks per canonical name.
    """
    section = config.segmenter
    is_given = loaded is not None
    loaded = loaded or load_open_clip(section.clip_model, section.clip_weights, field="segmenter.clip_model")
    model = loaded.model.to(device).eval().requires_grad_(False)
    clip: Any = model

    @torch.no_grad()
    def embed(texts: Sequence[str]) -> Embeddings:
        rows = [
            clip.encode_text(loaded.tokenizer(list(texts[start : start + TEXT_BATCH])).to(device))
            for start in range(0, len(texts), TEXT_BATCH)
        ]
        return F.normalize(torch.cat(rows).float(), dim=-1).cpu().numpy()

    def embed_once(texts: Sequence[str]) -> Embeddings:
        # The digest of a model that was handed over may stand for less than its weights.
        return embed(texts) if is_given else cached_embeddings(embed, loaded.digest, device.type, texts)

    prototypes = build_prototypes(
        config.class_infos(),
        taxonomy(config.taxonomy).background_words,
        section.text_templates,
        embed_once,
        descriptors,
        section.num_attributes,
        np.random.default_rng(derive_seed("attributes", config.seed)),
    )
    encoder = FrozenClipEncoder(model, section.seed_blocks, section.affinity_blocks, section.normalization, section.precision).to(device)
    return FrozenParts(encoder, _load_dino(section, device) if section.mode == "clip_dino" else None, prototypes, model)


def _load_dino(section: SegmenterConfig, device: torch.device) -> FrozenEncoder:
    if not section.dino_model:
        raise UsageProblem("segmenter.dino_model: mode clip_dino needs a timm model name, such as vit_base_patch14_dinov2.lvd142m")
    trunk: Any = load_timm(section.dino_model, section.dino_weights, "segmenter.dino_model")
    tower = TimmTower(trunk, trunk.pretrained_cfg["input_size"][-1])
    return FrozenEncoder(tower, trunk, IMAGENET_MEAN, IMAGENET_STD, section.precision).to(device)
