"""What the embedded CLIP is trained to do, as one module that distributed data parallel can wrap.

Pairwise sigmoid losses throughout (SigLIP, Zhai et al., arXiv 2303.15343, eq. 1), on image-level labels only:
- class texts against the mean of the patches, and against the mean of the k best patches (multiple instances), region by region:
  a mosaic of four pictures keeps four label sets, so its patches must tell which quarter holds what;
- negated class texts, with flipped labels; words of places;
- captions against images within the batch; captions against class texts (text to text).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthseg.machine.precision import Setting, autocast

MAX_REGIONS = 4


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Share of each part in the loss; each part is a sum over texts, averaged over regions, images or captions."""

    pooled: float = 1.0
    patches: float = 1.0
    negated: float = 0.05
    places: float = 0.1
    captions: float = 0.3
    texts: float = 0.5


@dataclass(slots=True)
class ClipBatch:
    """B images of S x S with T = (S / 8)**2 tokens each, R regions at most, K classes, W place words, C captions."""

    images: Tensor
    """(B, 3, S, S) uint8."""
    regions: Tensor
    """(B, T) region of each token."""
    labels: Tensor
    """(B, R, K): 1 the region's picture shows the class, 0 it does not."""
    num_regions: Tensor
    """(B,)."""
    places: Tensor
    """(B, R, W): 1, 0, or -1 where nobody knows."""
    class_texts: Tensor
    """(2K, L) two wordings of each class, all classes once, then again."""
    negated_texts: Tensor
    """(K, L)."""
    place_texts: Tensor
    """(W, L)."""
    captions: Tensor
    """(C, L)."""
    caption_images: Tensor
    """(C,) image that each caption belongs to."""
    caption_labels: Tensor
    """(C, K) classes that the caption asks for."""


def encode_short(text: nn.Module, tokens: Tensor) -> Tensor:
    """open_clip's TextTransformer on fewer tokens than its context, unit length (N, D)."""
    tower = cast(Any, text)
    length = tokens.shape[1]
    x = tower.token_embedding(tokens) + tower.positional_embedding[:length]
    x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
    x = tower.ln_final(x)[torch.arange(len(tokens)), tokens.argmax(dim=-1)]
    return F.normalize((x @ tower.text_projection).float(), dim=-1)


class ClipObjective(nn.Module):
    """An open_clip model and its training loss."""

    def __init__(self, clip: nn.Module, weights: LossWeights, top_share: float = 0.06, precision: Setting = "auto") -> None:
        super().__init__()
        self.clip = clip
        self.weights = weights
        self.top_share = top_share
        self.precision = precision
        self.patch_scale = nn.Parameter(torch.tensor(2.5))
        self.patch_bias = nn.Parameter(torch.tensor(-4.0))
        self.caption_scale = nn.Parameter(torch.tensor(2.5))
        self.caption_bias = nn.Parameter(torch.tensor(-6.0))
        settings = cast(Any, clip).visual.preprocess_cfg
        self.register_buffer("mean", torch.tensor(settings["mean"]).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(settings["std"]).view(1, 3, 1, 1) * 255, persistent=False)

    mean: Tensor
    std: Tensor

    def forward(self, batch: ClipBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its parts for the log."""
        clip, num_classes = cast(Any, self.clip), batch.labels.shape[2]
        images = ((batch.images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        short_texts = (batch.class_texts, batch.negated_texts, batch.place_texts)
        short = nn.utils.rnn.pad_sequence([row for part in short_texts for row in part], batch_first=True)
        with autocast(self.precision, images.device):
            tokens = clip.visual.head(clip.visual.trunk.forward_features(images)).float()
            class_texts, negated, places = torch.split(encode_short(clip.text, short), [len(part) for part in short_texts])
            captions = encode_short(clip.text, batch.captions)

        inside = F.one_hot(batch.regions, MAX_REGIONS).float()  # (B, T, R)
        means = torch.einsum("btr,btd->brd", inside, tokens) / inside.sum(dim=1).clamp(min=1).unsqueeze(-1)
        valid = torch.arange(MAX_REGIONS) < batch.num_regions[:, None]
        pooled = F.normalize(means[valid], dim=-1)
        labels, place_labels = batch.labels[valid].float(), batch.places[valid]
        scale, bias = clip.logit_scale.exp(), clip.logit_bias

        twice = labels.repeat(1, 2)
        parts = {"pooled": sigmoid_loss(scale * pooled @ class_texts.T + bias, twice) / 2}
        patch_scale = self.patch_scale.exp()
        patch_logits = patch_scale * F.normalize(tokens, dim=-1) @ class_texts[:num_classes].T + self.patch_bias
        parts["patches"] = sigmoid_loss(self._best(patch_logits, batch.regions)[valid], labels)
        parts["negated"] = sigmoid_loss(scale * pooled @ negated.T + bias, 1 - labels)
        parts["places"] = sigmoid_loss(scale * pooled @ places.T + bias, place_labels.clamp(min=0).float(), place_labels >= 0)
        whole = F.normalize(tokens.mean(dim=1), dim=-1)
        caption_logits = self.caption_scale.exp() * captions @ whole[batch.caption_images].T + self.caption_bias
        parts["captions"] = sigmoid_loss(caption_logits, torch.eye(len(captions)))
        parts["texts"] = sigmoid_loss(scale * captions @ class_texts.T + bias, batch.caption_labels.float().repeat(1, 2)) / 2
        loss = sum((getattr(self.weights, name) * part for name, part in parts.items()), torch.zeros(()))
        return loss, {name: part.detach() for name, part in parts.items()}

    def _best(self, logits: Tensor, regions: Tensor) -> Tensor:
        """Mean of each region's k best patch logits: (B, T, K) to (B, R, K)."""
        k = max(2, round(self.top_share * logits.shape[1]))
        per_region = []
        for region in range(MAX_REGIONS):
            outside = (regions != region).unsqueeze(-1)
            per_region.append(logits.masked_fill(outside, -30.0).topk(k, dim=1).values.mean(dim=1))
        return torch.stack(per_region, dim=1)


def sigmoid_loss(logits: Tensor, labels: Tensor, known: Tensor | None = None) -> Tensor:
    """Binary cross entropy (N, M), summed over the texts and averaged over the rows."""
    losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    if known is not None:
        losses = losses * known
    return losses.sum(dim=1).mean()
