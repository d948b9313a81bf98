"""The scorer on any open_clip model, the embedded one included."""

from __future__ import annotations

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
from synthseg.models.clip_loading import LoadedClip, load_open_clip

BATCH_SIZE = 64


class OpenClipScorer:
    """Embeds texts and images with a frozen CLIP.

    Softmax models have `logit_bias` None: class probabilities are softmax(logit_scale * cos). Sigmoid models (the embedded CLIP,
    SigLIP) have one: each class has the probability sigmoid(logit_scale * cos + logit_bias) of its own.
    """

    def __init__(self, model: str, weights: str = "", device: str = "cpu") -> None:
        self.loaded: LoadedClip = load_open_clip(model, weights, device)
        self.digest = self.loaded.digest
        self._device = device
        self._clip = cast(Any, self.loaded.model)
        self.logit_scale = float(self._clip.logit_scale.exp())
        bias = self._clip.logit_bias
        self.logit_bias: float | None = None if bias is None else float(bias)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Unit embeddings (N, D) of `texts`; what does not fit the context is cut off."""
        rows = []
        for start in range(0, len(texts), BATCH_SIZE):
            tokens = self.loaded.tokenizer(list(texts[start : start + BATCH_SIZE])).to(self._device)
            rows.append(self._clip.encode_text(tokens))
        return self._finish(rows)

    @torch.no_grad()
    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> Embeddings:
        """Unit embeddings (N, D) of RGB images (H, W, 3), each resized to the model's size. UsageProblem for another shape or type."""
        rows = []
        for start in range(0, len(images), BATCH_SIZE):
            rows.append(self._clip.encode_image(self.prepare(images[start : start + BATCH_SIZE])))
        return self._finish(rows)

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """(N, 3, H, W), normalised by the model's own mean and standard deviation."""
        height, width = self.loaded.image_size
        batch = np.empty((len(images), height, width, 3), np.float32)
        for row, image in zip(batch, images, strict=True):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise UsageProblem(f"image: expected RGB uint8 (H, W, 3), got {image.dtype} {image.shape}; convert it first")
            shrinks = image.shape[0] > height or image.shape[1] > width
            same = image.shape[:2] == (height, width)
            row[:] = image if same else cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        mean, std = np.asarray(self.loaded.mean, np.float32), np.asarray(self.loaded.std, np.float32)
        return torch.from_numpy((batch / np.float32(255) - mean) / std).permute(0, 3, 1, 2).to(self._device)

    def _finish(self, rows: Sequence[Tensor]) -> Embeddings:
        if not rows:
            return self.embed_texts([""])[:0]
        return cast(Embeddings, F.normalize(torch.cat(list(rows)).float(), dim=-1).cpu().numpy())
