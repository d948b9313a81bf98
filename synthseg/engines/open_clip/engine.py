"""The scorer on any open_clip model, the embedded one included."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from synthseg.engines.scorer import Embeddings
from synthseg.errors import UsageProblem
from synthseg.machine.precision import Setting, autocast
from synthseg.method.networks.clip_loading import LoadedClip, load_open_clip
from synthseg.method.networks.text_cache import cached_embeddings
from synthseg.prefetch import prefetched

BATCH_SIZE = 64
AHEAD = 2
"""Batches that are resized while one is in the model."""
MAX_THREADS = 4


class OpenClipScorer:
    """Embeds texts and images with a frozen CLIP.

    Softmax models have `logit_bias` None: class probabilities are softmax(logit_scale * cos). Sigmoid models (the embedded CLIP,
    SigLIP) have one: each class has the probability sigmoid(logit_scale * cos + logit_bias) of its own.

    `precision` is that of the image tower. Texts are always embedded in float32: they are few, and thresholds on their cosines decide
    which prompts a run accepts, which should not hang on the machine's kind.
    """

    def __init__(self, model: str, weights: str = "", device: str = "", precision: Setting = "auto") -> None:
        """`device` empty takes the GPU where there is one."""
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.loaded: LoadedClip = load_open_clip(model, weights, str(self._device))
        self.digest = self.loaded.digest
        self._precision = precision
        self._clip = cast(Any, self.loaded.model)
        self.logit_scale = float(self._clip.logit_scale.exp())
        bias = self._clip.logit_bias
        self.logit_bias: float | None = None if bias is None else float(bias)
        self._threads = min(MAX_THREADS, len(os.sched_getaffinity(0)))
        shape = (1, 1, 1, 3)
        self._mean = torch.tensor(self.loaded.mean, dtype=torch.float32, device=self._device).view(shape)
        self._std = torch.tensor(self.loaded.std, dtype=torch.float32, device=self._device).view(shape)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Unit embeddings (N, D) of `texts`; what does not fit the context is cut off."""
        rows = []
        for start in range(0, len(texts), BATCH_SIZE):
            tokens = self.loaded.tokenizer(list(texts[start : start + BATCH_SIZE])).to(self._device)
            rows.append(self._clip.encode_text(tokens))
        return self._finish(rows)

    def embed_fixed_texts(self, texts: Sequence[str]) -> Embeddings:
        """As `embed_texts`, once a machine: for texts that every process of a run starts from."""
        return cached_embeddings(self.embed_texts, self.digest, self._device.type, texts)

    @torch.no_grad()
    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> Embeddings:
        """Unit embeddings (N, D) of RGB images (H, W, 3), each resized to the model's size. UsageProblem for another shape or type.

        Threads resize the next batches while the model has one.
        """
        batches = [images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE)]
        rows = []
        for pixels in prefetched(self._resized, batches, self._threads, AHEAD):
            with autocast(self._precision, self._device):
                rows.append(self._clip.encode_image(self._normalised(pixels)))
        return self._finish(rows)

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """(N, 3, H, W), normalised by the model's own mean and standard deviation."""
        return self._normalised(self._resized(images))

    def _resized(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """(N, H, W, 3) uint8 at the model's size, in host memory that a GPU can read beside other work."""
        height, width = self.loaded.image_size
        pixels = torch.empty((len(images), height, width, 3), dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        for row, image in zip(pixels.numpy(), images, strict=True):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise UsageProblem(f"image: expected RGB uint8 (H, W, 3), got {image.dtype} {image.shape}; convert it first")
            shrinks = image.shape[0] > height or image.shape[1] > width
            same = image.shape[:2] == (height, width)
            row[:] = image if same else cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        return pixels

    def _normalised(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) on the device. Bytes cross over, a quarter of what floats would be."""
        moved = pixels.to(self._device, non_blocking=True).float()
        return moved.div_(255).sub_(self._mean).div_(self._std).permute(0, 3, 1, 2)

    def _finish(self, rows: Sequence[Tensor]) -> Embeddings:
        if not rows:
            return self.embed_texts([""])[:0]
        return cast(Embeddings, F.normalize(torch.cat(list(rows)).float(), dim=-1).cpu().numpy())
