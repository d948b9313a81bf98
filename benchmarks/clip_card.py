"""Measures a CLIP on the field split and writes its model card: `python benchmarks/clip_card.py [--weights FOLDER] [--images N] [--write]`.

Prints zero-shot accuracy on field images of one class alone, multi-label mAP on the mixed field split, and the mIoU of plain seeds with
true tags; `--write` puts the card beside the weights.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import safe_open

from synthseg.embedded.scenes.field import field_split
from synthseg.engines.open_clip.engine import OpenClipScorer
from synthseg.evaluation.average_precision import average_precision
from synthseg.evaluation.confusion import ConfusionMatrix
from synthseg.machine.packaged import EMBEDDED_CLIP
from synthseg.method.networks.clip_loading import EMBEDDED_NAME
from synthseg.taxonomy import BACKGROUND_ID, VOID_ID, taxonomy

VOC = taxonomy("voc")
TEMPLATE = "a photo of a {}"
MIN_SHARE = 0.004
"""A class counts as visible from this share of the pixels on."""
SEED_THRESHOLDS = (0.5, 0.6, 0.7)
"""Background where no present class reaches this value of its min-max map; the per-class table is of the first."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the card reports; per-class vectors follow the VOC classes."""

    accuracy: NDArray[np.float64]
    num_single: int
    """Images of each class alone."""
    precision: NDArray[np.float64]
    seed_iou: NDArray[np.float64]
    """(thresholds, 1 + classes), background first."""
    num_images: int


def visible_classes(mask: NDArray[np.uint8]) -> list[int]:
    """VOC ids with enough pixels."""
    ids, counts = np.unique(mask[(mask != BACKGROUND_ID) & (mask != VOID_ID)], return_counts=True)
    return [int(i) for i, n in zip(ids, counts, strict=True) if n >= MIN_SHARE * mask.size]


@torch.no_grad()
def patch_maps(scorer: OpenClipScorer, image: NDArray[np.uint8], texts: torch.Tensor) -> NDArray[np.float32]:
    """Cosines of each class (K, H, W): the projected patches against the class texts, brought to the image's size."""
    visual = scorer.loaded.model.visual
    prepared = scorer.prepare([image])
    tokens = F.normalize(visual.head(visual.trunk.forward_features(prepared)), dim=-1)
    side = round(tokens.shape[1] ** 0.5)
    maps = (tokens @ texts.T)[0].T.reshape(1, -1, side, side)
    return F.interpolate(maps, size=image.shape[:2], mode="bilinear", align_corners=False)[0].numpy()


def seed_labels(maps: NDArray[np.float32], present: list[int], threshold: float) -> NDArray[np.uint8]:
    """Mask (H, W) from min-max maps of the present classes."""
    chosen = maps[[c - 1 for c in present]]
    low, high = chosen.min(axis=(1, 2), keepdims=True), chosen.max(axis=(1, 2), keepdims=True)
    scaled = (chosen - low) / np.maximum(high - low, 1e-6)
    ids = np.array(present, np.uint8)[scaled.argmax(axis=0)]
    return np.where(scaled.max(axis=0) >= threshold, ids, np.uint8(BACKGROUND_ID))


def measure(scorer: OpenClipScorer, num_images: int) -> Measured:
    """All numbers of the card, from `num_images` mixed images and as many of one class alone."""
    class_ids = [c.class_id for c in VOC.classes]
    texts = scorer.embed_texts([TEMPLATE.format(c.display) for c in VOC.classes])
    num_single = max(1, num_images // VOC.num_classes)
    accuracy = np.zeros(VOC.num_classes)
    for k, class_id in enumerate(class_ids):
        alone = scorer.embed_images([s.image for s in field_split(num_single, [class_id])]) @ texts.T
        accuracy[k] = (alone.argmax(axis=1) == k).mean()
    samples = list(field_split(num_images, class_ids))
    scores = scorer.embed_images([s.image for s in samples]) @ texts.T
    truth = np.zeros(scores.shape, bool)
    confusions = [ConfusionMatrix(VOC.num_classes) for _ in SEED_THRESHOLDS]
    for row, sample in zip(truth, samples, strict=True):
        present = visible_classes(sample.mask)
        row[[i - 1 for i in present]] = True
        if present:
            maps = patch_maps(scorer, sample.image, torch.from_numpy(texts))
            for confusion, threshold in zip(confusions, SEED_THRESHOLDS, strict=True):
                confusion.update(sample.mask, seed_labels(maps, present, threshold))
    precision = np.array([average_precision(scores[:, k], truth[:, k]) for k in range(VOC.num_classes)])
    return Measured(accuracy, num_single, precision, np.stack([c.iou() for c in confusions]), len(samples))


def summary(found: Measured) -> str:
    """One line."""
    num_single = found.num_single * VOC.num_classes
    seeds = ", ".join(f"{np.nanmean(iou):.3f} at {t}" for t, iou in zip(SEED_THRESHOLDS, found.seed_iou, strict=True))
    return (
        f"zero-shot accuracy {found.accuracy.mean():.3f} (chance 0.050, {num_single} images of one class), "
        f"mAP {np.nanmean(found.precision):.3f} and seed mIoU {seeds} ({found.num_images} mixed images)"
    )


def card(found: Measured, folder: Path) -> str:
    """The model card in Markdown."""
    weights = folder / "model.safetensors"
    with safe_open(weights, "pt") as stored:
        facts = stored.metadata()
        shapes = {name: int(np.prod(stored.get_slice(name).get_shape())) for name in stored.keys()}  # noqa: SIM118  not a dict
    visual, text = (sum(n for name, n in shapes.items() if name.startswith(part)) for part in ("visual.", "text."))
    table = "\n".join(
        f"| {c.display} | {found.accuracy[k]:.2f} | {found.precision[k]:.2f} | {found.seed_iou[0, k + 1]:.2f} |"
        for k, c in enumerate(VOC.classes)
    )
    samples, seconds = int(facts["samples"]), int(facts["seconds"])
    return f"""# Embedded CLIP

A small open_clip model for the embedded world: it scores, labels and seeds what the procedural painter makes, so that the whole
pipeline runs without a download. It knows painted scenes and nothing else; use a real CLIP for real photographs.

## Architecture

- Image tower `synthseg_hybrid_s8` (synthseg/method/networks/hybrid_vit.py): residual convolutions to stride 8, three attention blocks of
  width 192, average pooling, linear head; {visual / 1e6:.2f} M weights. 128 x 128 pixels give 16 x 16 patches; other multiples of 8 work.
  The mean of the projected patches is the image embedding, so patches live in the text space.
- Text tower: open_clip's transformer, width 128, 3 layers, 48 tokens, CLIP's BPE vocabulary; {text / 1e6:.2f} M weights.
- Joint space of 192 dimensions, sigmoid scale and bias (`logit_scale`, `logit_bias`). File: {weights.stat().st_size / 1e6:.1f} MB, float16.

## Data and recipe

{int(facts["images"]):,} scenes of the training world, painted by `synthseg.embedded.scenes` with image-level labels and captions; no masks.
No field image was trained on. Pairwise sigmoid losses (training/clip_objective.py): class texts against
pooled patches and against the best patches, by quarter in mosaics of four; negations; places; captions. {samples:,} samples seen in
{seconds:,} s by two single-thread workers in bfloat16 on two CPU cores shared with other work. Repeat: `make embedded-clip`.
{facts.get("note", "")}

## Measured on the field split

Written by `python benchmarks/clip_card.py --images {found.num_images} --write` (text: "{TEMPLATE}").
{summary(found)}.
Seeds: cosine maps of the patches, min-max per true class, background below the threshold, no refinement. The table has the
seeds of threshold {SEED_THRESHOLDS[0]}; their background IoU is {found.seed_iou[0, 0]:.2f}.

| class | accuracy ({found.num_single} images of it alone) | average precision | seed IoU |
|---|---|---|---|
{table}
"""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", default="", help="folder with open_clip_config.json and model.safetensors; default the packaged one")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    folder = Path(arguments.weights) if arguments.weights else EMBEDDED_CLIP
    scorer = OpenClipScorer(f"local-dir:{folder}" if arguments.weights else EMBEDDED_NAME, device="cpu")
    found = measure(scorer, arguments.images)
    print(summary(found))
    for k, info in enumerate(VOC.classes):
        print(f"{info.name:12s} accuracy {found.accuracy[k]:.2f}  AP {found.precision[k]:.2f}  seed IoU {found.seed_iou[0, k + 1]:.2f}")
    print(f"{'background':12s} seed IoU {found.seed_iou[0, 0]:.2f}")
    if arguments.write:
        (folder / "MODEL_CARD.md").write_text(card(found, folder), encoding="utf-8")


if __name__ == "__main__":
    main()
