"""Train the patch classifiers out of fold on Ray Train: the model of fold f never sees a sample of fold f.

One group of data-parallel workers trains all folds that are not finished, one after the other. Batches and augmentation depend on
seed, fold and position alone, and gradients are sums over the global batch, so the number of workers changes nothing but rounding.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray import train
from ray.train.torch import get_device, prepare_model
from safetensors.torch import save
from torch import Tensor, nn

from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem
from synthseg.ids import derive_seed, digest
from synthseg.image_codec import decode_rgb
from synthseg.machine.stacks import stacks_folder
from synthseg.method.labels.folds import fold_of
from synthseg.method.networks.augment import change_looks
from synthseg.method.networks.classifier import Image, PatchClassifier, fold_name, new_classifier, to_batch
from training.data import Samples
from training.loop import (
    FINGERPRINT,
    Curves,
    beat,
    begin,
    earlier_identities,
    epoch_order,
    fingerprint_of,
    identity,
    one_thread_on_cpu,
    read_curves,
    schedule,
    write_whole,
)
from training.trainer import train_workers

REPORT_EVERY = 5
GRADIENT_NORM = 2.0
WARMUP_SHARE = 0.1
HEAD_RATE = 10.0
"""The fresh head learns this much faster than the pre-trained trunk."""
ZOOM = (0.8, 1.2)
SHIFT = 0.1
"""Largest move of the image, as a share of its side: objects stay in view, so labels stay true."""


@dataclass(frozen=True, slots=True)
class ClassifierResult:
    """One checkpoint a fold, what was measured on the way, and the seconds it took this time."""

    checkpoints: list[Path]
    curve: list[dict[str, float]]
    """Lines with fold, iteration, loss (mean of an image) and learning_rate."""
    seconds: float
    precision: tuple[str, ...] = ()
    """What this start's workers computed in, such as "fp32 on cpu"; nothing where every fold was finished."""


def train_classifier(config: RunConfig, samples: Samples, prompt_ids: Sequence[str], out_dir: Path, num_workers: int) -> ClassifierResult:
    """Train `classifier.folds` models and leave `fold-N.safetensors` in `out_dir`, which every worker must see.

    `prompt_ids` are those of `samples`, one each: samples of one prompt are in one fold. A finished fold of the same training is not
    trained again; an unfinished one starts again. Needs a Ray cluster that is up. UsageProblem when a fold has nothing to learn from;
    RunFailure when a worker fails.
    """
    started = time.perf_counter()
    folds = sample_folds(config, samples.labels, prompt_ids)
    section = config.classifier
    fingerprints = training_fingerprints(config, samples, folds)
    out_dir = out_dir.resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    pending = [fold for fold in range(section.folds) if fingerprint_of(checkpoint_path(out_dir, fold)) not in fingerprints]
    precision = _train_folds(config, samples, folds, pending, out_dir, fingerprints[0], num_workers) if pending else ()
    curve = [line for fold in range(section.folds) for line in read_curves(_curve_path(out_dir, fold))]
    checkpoints = [checkpoint_path(out_dir, fold) for fold in range(section.folds)]
    return ClassifierResult(checkpoints, curve, time.perf_counter() - started, precision)


def checkpoint_path(out_dir: Path, fold: int) -> Path:
    """Where the model of `fold` lies."""
    return out_dir / fold_name(fold)


def sample_folds(config: RunConfig, labels: NDArray[np.int8], prompt_ids: Sequence[str]) -> NDArray[np.int64]:
    """The fold (N,) of each sample. UsageProblem where a label has a wrong length or a fold would learn from nothing."""
    if labels.shape[1] != len(config.classes):
        raise UsageProblem(f"classifier: labels have {labels.shape[1]} values for {len(config.classes)} classes; label the samples again")
    num_folds = config.classifier.folds
    folds = np.array([fold_of(prompt_id, num_folds) for prompt_id in prompt_ids], np.int64)
    for fold in range(num_folds):
        if not (folds != fold).any():
            raise UsageProblem(f"classifier.folds: fold {fold} of {num_folds} has nothing to learn from; make more prompts")
    return folds


def training_fingerprints(config: RunConfig, samples: Samples, folds: NDArray[np.int64]) -> list[str]:
    """Identity of a training: settings, images, labels and folds. A checkpoint carries it in its metadata. After it those of earlier
    versions.
    """
    images = [hashes[0] for hashes in samples.content]
    sections = [identity(config.classifier), *earlier_identities(config.classifier)]
    rest = (list(config.classes), config.seed, images, samples.labels.tolist(), folds.tolist())
    return [digest("classifier", section, *rest) for section in sections]


def _train_folds(
    config: RunConfig,
    samples: Samples,
    folds: NDArray[np.int64],
    pending: list[int],
    out_dir: Path,
    fingerprint: str,
    num_workers: int,
) -> tuple[str, ...]:
    num_workers = min(num_workers, config.classifier.batch_size)
    settings = {
        "config": config.model_dump(mode="json"),
        "data": [ray.put((samples, folds))],
        "pending": pending,
        "out_dir": str(out_dir),
        "fingerprint": fingerprint,
    }
    return train_workers(
        "classifier",
        _train_worker,
        settings,
        out_dir,
        num_workers,
        stall_timeout_s=config.execution.stall_timeout_s,
        stacks=stacks_folder(config.fingerprint()),
    )


def _train_worker(settings: dict[str, Any]) -> None:
    """One worker's loop over folds; rank 0 also logs and writes."""
    one_thread_on_cpu()
    config = RunConfig.model_validate(settings["config"])
    samples, folds = ray.get(settings["data"][0])
    context = train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    begin(Path(settings["out_dir"]), rank, config.classifier.precision)
    for fold in settings["pending"]:
        _train_fold(config, samples, np.flatnonzero(folds != fold), fold, Path(settings["out_dir"]), settings["fingerprint"], rank, world)


def _train_fold(
    config: RunConfig, samples: Samples, members: NDArray[np.int64], fold: int, out_dir: Path, fingerprint: str, rank: int, world: int
) -> None:
    """`members` are the samples that this fold's model learns from."""
    section, device = config.classifier, get_device()
    num_iterations = max(1, round(section.epochs * len(members) / section.batch_size))
    torch.manual_seed(derive_seed("classifier", config.seed, fold))
    classifier = new_classifier(config).to(device)
    if section.freeze_stem:
        cast(nn.Module, classifier.trunk.patch_embed).requires_grad_(False)
    optimizer = _optimizer(classifier, config)
    model = prepare_model(_Losses(classifier), parallel_strategy_kwargs={"broadcast_buffers": False, "gradient_as_bucket_view": True})
    curves = Curves(_curve_path(out_dir, fold), 0) if rank == 0 else None
    total = 0.0
    classifier.train()
    for iteration in range(num_iterations):
        factor = schedule(iteration, num_iterations, round(WARMUP_SHARE * num_iterations))
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        images, labels = batch(config, samples, members, fold, iteration, rank, world)
        # Gradients are averaged over workers; this makes them the mean over the global batch even where shares differ.
        loss = model(images.to(device), labels.to(device)).sum() * (world / section.batch_size)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(classifier.parameters(), GRADIENT_NORM)
        optimizer.step()
        beat(out_dir, rank)
        total += float(loss.detach())
        if curves and ((iteration + 1) % REPORT_EVERY == 0 or iteration + 1 == num_iterations):
            count = (iteration % REPORT_EVERY) + 1
            curves.write(fold=fold, iteration=iteration + 1, loss=total / count, learning_rate=section.learning_rate * factor)
            total = 0.0
    if rank == 0:
        state = {name: tensor.detach().contiguous().cpu() for name, tensor in classifier.state_dict().items()}
        write_whole(checkpoint_path(out_dir, fold), save(state, metadata={FINGERPRINT: fingerprint}))


def batch(
    config: RunConfig, samples: Samples, members: NDArray[np.int64], fold: int, iteration: int, rank: int, world: int
) -> tuple[Tensor, Tensor]:
    """Images (B, 3, S, S) and labels (B, K) of this worker's part of a global batch; all parts together never depend on `world`."""
    size, seed = config.classifier.batch_size, config.seed
    order = epoch_order(iteration * size, size, len(members), seed, fold)
    images, labels = [], []
    for position in range(rank, size, world):
        index = int(members[order[position]])
        rng = np.random.default_rng([seed, fold, iteration, position])
        images.append(augmented(decode_rgb(samples.image(index)), rng))
        labels.append(samples.labels[index])
    return to_batch(images, config.classifier.image_size, torch.device("cpu")), torch.from_numpy(np.stack(labels))


def augmented(image: Image, rng: np.random.Generator) -> Image:
    """Mirror, small zoom and shift, other looks; the size stays."""
    height, width = image.shape[:2]
    zoom = float(np.exp(rng.uniform(*np.log(ZOOM))))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    shift_x, shift_y = rng.uniform(-SHIFT, SHIFT, 2) * (width, height)
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    matrix = np.array([[zoom * mirror, 0, center_x - zoom * mirror * center_x + shift_x], [0, zoom, center_y - zoom * center_y + shift_y]])
    moved = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return change_looks(np.asarray(moved, np.uint8), rng)


class _Losses(nn.Module):
    """The classifier's loss as a forward pass, which is what data parallelism wraps."""

    def __init__(self, classifier: PatchClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.classifier.losses(images, labels)


def _optimizer(classifier: PatchClassifier, config: RunConfig) -> torch.optim.AdamW:
    """AdamW: the trunk at `learning_rate`, the head faster, no decay on norms and biases."""
    section = config.classifier
    trunk = [p for p in classifier.trunk.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trunk if p.ndim > 1], "peak": section.learning_rate, "weight_decay": section.weight_decay},
        {"params": [p for p in trunk if p.ndim <= 1], "peak": section.learning_rate, "weight_decay": 0.0},
        {"params": list(classifier.head.parameters()), "peak": section.learning_rate * HEAD_RATE, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=section.learning_rate)


def _curve_path(out_dir: Path, fold: int) -> Path:
    return out_dir / f"fold-{fold}.jsonl"
