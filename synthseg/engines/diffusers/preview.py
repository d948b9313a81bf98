"""Unfinished pictures: the latents of a step, made small and decoded."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

MAX_LATENT_SIDE: Final = 32
"""Latents are averaged down to this before they are decoded, which costs a small part of decoding the whole."""


def preview_steps(num_steps: int, num_previews: int) -> tuple[int, ...]:
    """Indices of the steps after which a preview is shown: evenly spread, never the last step, which the image itself follows."""
    return tuple(sorted({num_steps * (k + 1) // (num_previews + 1) - 1 for k in range(num_previews)} - {-1, num_steps - 1}))


@torch.no_grad()
def decode_preview(pipe: Any, latents: Tensor, width: int, height: int) -> NDArray[np.uint8] | None:
    """(H, W, 3) RGB of one sample's latents (1, ...); None where this pipeline's latents are not understood or no numbers."""
    vae = getattr(pipe, "vae", None)
    scaling = getattr(getattr(vae, "config", None), "scaling_factor", None)
    if vae is None or not scaling:
        return None
    if latents.ndim == 3 and hasattr(pipe, "_unpack_latents"):  # FLUX packs 2 x 2 latents into a token
        latents = pipe._unpack_latents(latents, height, width, pipe.vae_scale_factor)  # noqa: SLF001 - no other way to it
    if latents.ndim != 4:
        return None
    stride = -(-max(latents.shape[-2:]) // MAX_LATENT_SIDE)
    small = F.avg_pool2d(latents.float(), stride) if stride > 1 else latents.float()
    small = small / scaling + (getattr(vae.config, "shift_factor", None) or 0.0)
    parameter = next(vae.parameters())
    pixels = vae.decode(small.to(parameter.device, parameter.dtype), return_dict=False)[0][0].float()
    if not torch.isfinite(pixels).all():
        return None
    image = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
