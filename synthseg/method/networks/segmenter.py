"""The trained segmenter at work: images in, class masks out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from synthseg.config.schema import RunConfig
from synthseg.errors import CorruptData
from synthseg.method.masks.par import refine
from synthseg.method.masks.pseudo_masks import Image, Mask, resize_to_stride, same_size_batches, to_batch
from synthseg.method.networks.decoder import Decoder
from synthseg.method.networks.frozen import FrozenParts, load_frozen


def build_decoder(parts: FrozenParts, config: RunConfig) -> Decoder:
    """The decoder that `config` describes, with fresh weights."""
    section = config.segmenter
    return Decoder(parts.layer_widths(), len(config.classes), section.decoder_width, section.decoder_blocks)


class Segmenter:
    """Frozen encoders and a trained decoder."""

    def __init__(self, parts: FrozenParts, decoder: Decoder, config: RunConfig) -> None:
        self._parts, self._config = parts, config
        self._device = parts.clip.mean.device
        self._decoder = decoder.to(self._device).eval()

    @classmethod
    def load(cls, checkpoint: Path, config: RunConfig, device: torch.device, parts: FrozenParts | None = None) -> Segmenter:
        """From a checkpoint of `train_segmenter`. CorruptData where it does not fit the configuration."""
        parts = parts or load_frozen(config, device)
        decoder = build_decoder(parts, config)
        try:
            decoder.load_state_dict(load_file(checkpoint))
        except (OSError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise CorruptData(f"{checkpoint}: not a checkpoint of this configuration ({reason}); train again") from error
        return cls(parts, decoder, config)

    def predict(self, images: Sequence[Image], scales: Sequence[float] | None = None, flip: bool | None = None) -> list[Mask]:
        """One mask (H, W) an image, class indices 0..K; `scales` and `flip` default to the evaluation section's."""
        scales = self._config.evaluation.scales if scales is None else scales
        flip = self._config.evaluation.flip if flip is None else flip
        section = self._config.segmenter
        found: dict[int, Mask] = {}
        for chunk in same_size_batches(images, self._parts.stride / max(scales)):
            batch = to_batch([images[i] for i in chunk], self._device)
            logits = self.logits(batch, scales, flip)
            if section.test_par:
                logits = refine(batch, logits.softmax(dim=1), section.par_iterations, section.par_stride)
            found.update(zip(chunk, logits.argmax(dim=1).to(torch.uint8).cpu().numpy(), strict=True))
        return [found[i] for i in range(len(images))]

    @torch.no_grad()
    def logits(self, images: Tensor, scales: Sequence[float], flip: bool) -> Tensor:
        """Mean logits (B, K + 1, H, W) over scales and flips of images (B, 3, H, W) in [0, 1]."""
        total: Tensor | None = None
        for scale in scales:
            scaled = resize_to_stride(images, scale, self._parts.stride)
            for flipped in (False, True) if flip else (False,):
                layers, grid = self._parts.layers(scaled.flip(-1) if flipped else scaled)
                with self._parts.clip.autocast():
                    each, _ = self._decoder(layers, grid)
                mean = torch.stack(each).float().mean(dim=0)
                mean = F.interpolate(mean.flip(-1) if flipped else mean, size=images.shape[-2:], mode="bilinear", align_corners=False)
                total = mean if total is None else total + mean
        if total is None:
            raise ValueError("evaluation.scales is empty")
        return total / (len(scales) * (2 if flip else 1))
