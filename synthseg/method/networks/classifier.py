"""The image classifier with patch classes (paper, Fig. 4; ViT-PCM, arXiv 2210.17400): every patch token has class probabilities, and
the image has the mean of its best patches'. It never sees more than image-level labels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import timm
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

import synthseg.method.networks.hybrid_vit  # noqa: F401  registers the embedded trunk with timm
from synthseg.config.schema import ClassifierConfig, RunConfig
from synthseg.engines.scorer import Embeddings
from synthseg.errors import CorruptData, UsageProblem
from synthseg.machine.packaged import EMBEDDED_CLIP
from synthseg.machine.precision import autocast, cpu_has_bf16
from synthseg.method.labels.probabilities import TEMPLATES
from synthseg.method.masks.prototypes import build_prototypes
from synthseg.method.networks.clip_loading import LoadedClip, load_open_clip
from synthseg.method.networks.patch_contrast import patch_contrast
from synthseg.method.networks.timm_loading import bare_timm, load_timm
from synthseg.records import UNKNOWN

EMBEDDED = "embedded"
CHECKPOINTS = "fold-*.safetensors"
"""Names of the trained classifiers below OUT/classifier, one a fold."""
BATCH = 16
PRIOR = 0.05
"""Probability that a fresh head gives every class in every patch."""
MIN_PROBABILITY = 1e-5

Image = NDArray[np.uint8]
"""RGB, (H, W, 3)."""


def fold_name(fold: int) -> str:
    """Name of the trained model of `fold`; `CHECKPOINTS` is the pattern of all."""
    return f"fold-{fold}.safetensors"


class PatchClassifier(nn.Module):
    """A timm vision transformer without its class token, and one linear layer over its patch tokens."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, trunk: VisionTransformer, num_classes: int, config: ClassifierConfig, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(trunk.embed_dim, num_classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.constant_(self.head.bias, float(np.log(PRIOR / (1 - PRIOR))))
        self.config = config
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255, persistent=False)

    def train(self, mode: bool = True) -> PatchClassifier:
        """As usual, but batch norms keep their statistics: the batches of fine-tuning are too small for their own."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Patch tokens (B, N, C) and their class probabilities (B, N, K), float32, for RGB images (B, 3, S, S) in 0..255."""
        images = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with autocast(self.config.precision, images.device):
            tokens = self.trunk.forward_features(images)[:, self.trunk.num_prefix_tokens :]
        tokens = tokens.float()
        return tokens, self.head(tokens).sigmoid()

    def pool(self, patch_probs: Tensor) -> Tensor:
        """Image probabilities (B, K) from patch probabilities (B, N, K), by `config.pooling`."""
        if self.config.pooling == "adaptive_k":
            # Which patches count is a choice, not something to learn through.
            best = patch_probs.detach().amax(dim=1, keepdim=True)
            chosen = (patch_probs.detach() >= self.config.adaptive_ratio * best).float()
            return (patch_probs * chosen).sum(dim=1) / chosen.sum(dim=1)
        return patch_probs.topk(min(self.config.top_k, patch_probs.shape[1]), dim=1).values.mean(dim=1)

    def losses(self, images: Tensor, labels: Tensor) -> Tensor:
        """Loss (B,) of each image for `labels` (B, K): binary cross entropy summed over known classes, plus the patch contrastive error."""
        tokens, patch_probs = self(images)
        loss = classification_loss(self.pool(patch_probs), labels)
        if self.config.contrast_weight:
            loss = loss + self.config.contrast_weight * patch_contrast(tokens, patch_probs, labels, self.config.contrast_confidence)
        return loss

    @torch.no_grad()
    def probabilities(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Class probabilities (N, K) of RGB images of any size, judged at `opinion_scale`: the mean of each image and its mirror image."""
        self.eval()
        patch = int(cast(Any, self.trunk.patch_embed).feat_ratio(as_scalar=True))
        size = patch * max(1, round(self.config.image_size * self.config.opinion_scale / patch))
        found = [np.zeros((0, self.head.out_features), np.float32)]
        for start in range(0, len(images), BATCH):
            batch = to_batch(images[start : start + BATCH], size, self.mean.device)
            both = self.pool(self(torch.cat([batch, batch.flip(-1)]))[1])
            found.append(((both[: len(batch)] + both[len(batch) :]) / 2).cpu().numpy())
        return np.concatenate(found)


def classification_loss(probs: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy (B,) of probabilities (B, K) against labels (B, K), summed over classes; unknown ones count nothing."""
    bounded = probs.clamp(MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    errors = F.binary_cross_entropy(bounded, labels.clamp(min=0).float(), reduction="none")
    return (errors * (labels != UNKNOWN)).sum(dim=1)


def to_batch(images: Sequence[Image], size: int, device: torch.device) -> Tensor:
    """Float batch (B, 3, size, size) in 0..255 of RGB images, squashed to a square."""
    fitted = [image if image.shape[:2] == (size, size) else _resized(image, size) for image in images]
    return torch.from_numpy(np.stack(fitted)).to(device).permute(0, 3, 1, 2).float()


def new_classifier(config: RunConfig) -> PatchClassifier:
    """A classifier with the pre-trained trunk that `classifier.model` and `weights` name, and a fresh head.

    UsageProblem for an unknown model, a model that is no vision transformer, or weights that cannot be had.
    """
    section = config.classifier
    if section.model != EMBEDDED:
        return _timm_classifier(config, pretrained=True)
    classifier = _embedded_classifier(config)
    loaded = load_open_clip(EMBEDDED, section.weights, field="classifier.model")
    classifier.trunk.load_state_dict(cast(Any, loaded.model).visual.trunk.state_dict())
    _start_head_from_texts(classifier, loaded, config)
    return classifier


@torch.no_grad()
def _start_head_from_texts(classifier: PatchClassifier, loaded: LoadedClip, config: RunConfig) -> None:
    """Start the head as CLIP's own zero-shot head, projection and class texts in one matrix, so that little data suffices.

    CLIP scales cosines; here the tokens keep their length, so the factor is divided by the length expected of a projected token.
    """
    clip = cast(Any, loaded.model)

    def embed(texts: Sequence[str]) -> Embeddings:
        return cast(Embeddings, F.normalize(clip.encode_text(loaded.tokenizer(list(texts))), dim=-1).numpy())

    prototypes = torch.from_numpy(build_prototypes(config.class_infos(), (), TEMPLATES, embed).vectors)
    width = classifier.trunk.embed_dim
    offset = clip.visual.head(torch.zeros(1, width))
    projection = clip.visual.head(torch.eye(width)) - offset  # (C, D)
    norm = cast(nn.LayerNorm, classifier.trunk.norm)
    spread = (projection * norm.weight[:, None]).square().sum()
    length = (spread + (norm.bias @ projection + offset).square().sum()).sqrt()
    factor = clip.logit_scale.exp() / length
    classifier.head.weight.copy_(factor * prototypes @ projection.T)
    classifier.head.bias.copy_(factor * (prototypes @ offset[0]) + clip.logit_bias)


def load_classifier(path: Path, config: RunConfig, device: torch.device) -> PatchClassifier:
    """The trained classifier in `path` (safetensors) on `device`, for evaluation. UsageProblem or CorruptData when it cannot be read."""
    if not path.is_file():
        raise UsageProblem(f"classifier: {path} is missing; run the classifier stage first")
    classifier = _embedded_classifier(config) if config.classifier.model == EMBEDDED else _timm_classifier(config, pretrained=False)
    try:
        classifier.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise CorruptData(f"{path}: is not a classifier of this configuration; delete it and run again") from error
    return classifier.to(device).eval()


def _embedded_classifier(config: RunConfig) -> PatchClassifier:
    settings = json.loads((EMBEDDED_CLIP / "open_clip_config.json").read_text(encoding="utf-8"))
    name = settings["model_cfg"]["vision_cfg"]["timm_model_name"]
    trunk = cast(VisionTransformer, timm.create_model(name))  # fits its positions to any size it meets
    for block in trunk.blocks:
        # In fp32 (AVX2) the fused kernel trains as fast as plain products and takes half their time on the 576 tokens of an opinion.
        cast(Any, block).attn.fused_attn = not cpu_has_bf16()
    preprocessing = settings["preprocess_cfg"]
    return PatchClassifier(trunk, len(config.classes), config.classifier, preprocessing["mean"], preprocessing["std"])


def _timm_classifier(config: RunConfig, *, pretrained: bool) -> PatchClassifier:
    section = config.classifier
    settings: dict[str, Any] = {"img_size": section.image_size, "dynamic_img_size": True}  # opinions may be formed at another size
    if pretrained:
        trunk = load_timm(section.model, section.weights, "classifier.model", **settings)
    else:
        trunk = bare_timm(section.model, "classifier.model", **settings)
    if not isinstance(trunk, VisionTransformer):
        raise UsageProblem(f"classifier.model: '{section.model}' is no plain vision transformer; name a timm vit_* or deit_* model")
    statistics = cast(dict[str, Any], trunk.pretrained_cfg)
    return PatchClassifier(trunk, len(config.classes), section, statistics["mean"], statistics["std"])


def _resized(image: Image, size: int) -> Image:
    shrinks = image.shape[0] > size or image.shape[1] > size
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8)
