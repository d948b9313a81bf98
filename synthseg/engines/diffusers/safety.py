"""The safety verdict on an image. The image itself is never changed: pipelines that judge their own images blacken them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from synthseg.engines.image import SAFE, UNCHECKED

NSFW: Final = "nsfw"
"""The one category of Stable Diffusion's checker: near to one of the concepts that its makers chose and did not name."""


class SafetyChecker:
    """Stable Diffusion's safety checker: a CLIP image encoder and the concepts no image may come near to (arXiv 2210.04610)."""

    def __init__(self, model: Any, extractor: Any, device: torch.device) -> None:
        self._model = model.to(device).eval()
        self._extractor = extractor
        self._device = device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> SafetyChecker:
        """The checker in a folder of its own."""
        from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
        from transformers import CLIPImageProcessor

        model = StableDiffusionSafetyChecker.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        return cls(model, CLIPImageProcessor.from_pretrained(folder, local_files_only=True), device)

    @torch.no_grad()
    def verdicts(self, images: Sequence[NDArray[np.uint8]]) -> list[str]:
        """A verdict on each RGB image (H, W, 3)."""
        if not images:
            return []
        pixels = self._extractor(list(images), return_tensors="pt").pixel_values
        # What the checker blackens is this stand-in.
        scratch = torch.zeros(len(images), 1)
        _, flagged = self._model(clip_input=pixels.to(self._device, self._model.dtype), images=scratch)
        return [NSFW if flag else SAFE for flag in flagged]


class NoChecker:
    """Where there is no checker."""

    def verdicts(self, images: Sequence[NDArray[np.uint8]]) -> list[str]:
        """`unchecked` for each image."""
        return [UNCHECKED] * len(images)
