"""Train the segmenter's decoder on Ray Train: N data-parallel workers, each with its part of every batch.

The encoders are frozen and the pseudo masks are published: what is trained is the decoder alone. What a batch holds, how its images are
changed and which channels fall out depends on iteration and position alone, and every loss is a ratio of sums over the whole batch. So the
number of workers changes nothing but rounding. A killed training goes on from its last state.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import ray
import torch
import torch.distributed as dist
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
from synthseg.method.masks.pseudo_masks import Mask, to_batch
from synthseg.method.networks.augment import Pair, augment
from synthseg.method.networks.decoder import Decoder, draw_dropout
from synthseg.method.networks.enlarge import enlarge
from synthseg.method.networks.frozen import FrozenParts, load_frozen
from synthseg.method.networks.losses import Losses, LossWeights, decoder_losses, mean_of, own_labels
from synthseg.method.networks.segmenter import build_decoder
from synthseg.records import ABSENT, PRESENT
from training.data import Samples
from training.loop import (
    FINGERPRINT,
    Curves,
    beat,
    begin,
    epoch_order,
    fingerprint_of,
    identity,
    load_state,
    one_thread_on_cpu,
    read_curves,
    save_state,
    schedule,
    write_whole,
)
from training.trainer import train_workers

CHECKPOINT = "decoder.safetensors"
STATE = "state.pt"
CURVES = "curves.jsonl"
REPORT_EVERY = 10
GRADIENT_NORM = 1.0
REFERENCE_BATCH = 4
"""Batch size that `learning_rate` is meant for; it grows with the square root of the batch."""

LoadParts = Callable[[RunConfig, torch.device], FrozenParts]


@dataclass(frozen=True, slots=True)
class SegmenterResult:
    """Where the trained decoder lies, what was measured on the way, and the seconds it took this time."""

    checkpoint: Path
    curves: list[dict[str, float]]
    seconds: float
    precision: tuple[str, ...] = ()
    """What this start's workers computed in, such as "fp32 on cpu"; nothing where the training was finished."""


def train_segmenter(
    config: RunConfig,
    samples: Samples,
    out_dir: Path,
    num_workers: int,
    *,
    checkpoint_every: int = 100,
    load_parts: LoadParts = load_frozen,
) -> SegmenterResult:
    """Train on `samples` and leave `decoder.safetensors` (the moving average) and `curves.jsonl` in `out_dir`.

    `out_dir` must be visible to every worker. An earlier state of the same training in it is continued, a finished one
    returned. Needs a Ray cluster that is up. UsageProblem without samples or with a wrong label length; RunFailure when a worker fails.
    """
    check_samples(config, samples.labels)
    num_workers = min(num_workers, config.segmenter.batch_size)
    started = time.perf_counter()
    out_dir = out_dir.resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    fingerprint = training_fingerprint(config, samples)
    if fingerprint_of(out_dir / CHECKPOINT) == fingerprint:
        return SegmenterResult(out_dir / CHECKPOINT, read_curves(out_dir / CURVES), 0.0)
    settings = {
        "config": config.model_dump(mode="json"),
        "samples": [ray.put(samples)],
        "fingerprint": fingerprint,
        "out_dir": str(out_dir),
        "checkpoint_every": checkpoint_every,
    }
    precision = train_workers(
        "segmenter",
        partial(_train_worker, load_parts),
        settings,
        out_dir,
        num_workers,
        stall_timeout_s=config.execution.stall_timeout_s,
        stacks=stacks_folder(config.fingerprint()),
    )
    return SegmenterResult(out_dir / CHECKPOINT, read_curves(out_dir / CURVES), time.perf_counter() - started, precision)


def check_samples(config: RunConfig, labels: NDArray[np.int8]) -> None:
    """UsageProblem where nothing can be trained from samples of these labels (N, K)."""
    if not len(labels):
        raise UsageProblem("segmenter: no kept images to train on; lower scoring.min_class_score or make more images")
    if labels.shape[1] != len(config.classes):
        raise UsageProblem(f"segmenter: labels have {labels.shape[1]} values for {len(config.classes)} classes; relabel the samples")
    if not (labels == PRESENT).any():
        raise UsageProblem("segmenter: no image has a present class; lower relabel.present_threshold")


def training_fingerprint(config: RunConfig, samples: Samples) -> str:
    """Identity of a training: settings, images, masks and labels. A finished decoder carries it in its metadata."""
    return digest("segmenter", identity(config.segmenter), list(config.classes), config.seed, samples.content, samples.labels.tolist())


@dataclass(frozen=True, slots=True)
class Batch:
    """One worker's part of a global batch."""

    images: Tensor
    """(B, 3, S, S) in [0, 1]."""
    target: Tensor
    """(B, S, S): class indices, 255 unknown."""
    allowed: Tensor
    """(B, K + 1): false for classes that are known to be absent."""
    keep: Tensor
    """(B, E, width): the decoder's dropout."""

    def to(self, device: torch.device) -> Batch:
        """The same on `device`."""
        return Batch(self.images.to(device), self.target.to(device), self.allowed.to(device), self.keep.to(device))


def batch(config: RunConfig, samples: Samples, num_encoders: int, iteration: int, rank: int, world: int) -> Batch:
    """This worker's part of the batch of `iteration`; all parts together never depend on `world`."""
    section, seed = config.segmenter, config.seed
    order = epoch_order(iteration * section.batch_size, section.batch_size, len(samples.labels), seed)
    pairs, allowed, keep = [], [], []
    for position in range(rank, section.batch_size, world):
        rng = np.random.default_rng([seed, iteration, position])
        indices = [order[position]]
        if rng.random() < section.mosaic_probability:
            indices += rng.integers(len(samples.labels), size=int(rng.integers(1, 4))).tolist()
        pairs.append(augment([_pair(samples, index) for index in indices], section.crop_size, rng))
        allowed.append(np.concatenate([[True], (samples.labels[indices] != ABSENT).any(axis=0)]))
        keep.append(draw_dropout(num_encoders, section.decoder_width, rng))
    target = torch.from_numpy(np.stack([mask for _, mask in pairs])).long()
    images = to_batch([image for image, _ in pairs], torch.device("cpu"))
    return Batch(images, target, torch.from_numpy(np.stack(allowed)), torch.from_numpy(np.stack(keep)))


def _pair(samples: Samples, index: int) -> Pair:
    return decode_rgb(samples.image(index)), decode_mask(samples.mask(index))


def decode_mask(encoded: bytes) -> Mask:
    """The mask (H, W) that `encode_png` wrote."""
    return np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def over_workers(sums: Tensor) -> Tensor:
    """The sum over all workers' `sums`, as each of them gets it; its gradient is that of this worker's own share."""
    if not dist.is_initialized():
        return sums
    total = sums.detach().clone()
    dist.all_reduce(total)
    return sums + (total - sums.detach())


def _train_worker(load_parts: LoadParts, settings: dict[str, Any]) -> None:
    """What each Ray Train worker does."""
    one_thread_on_cpu()
    context = train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    config = RunConfig.model_validate(settings["config"])
    device, out_dir = get_device(), Path(settings["out_dir"])
    begin(out_dir, rank, config.segmenter.precision)
    parts = load_parts(config, device)
    samples: Samples = ray.get(settings["samples"][0])
    trainer = _Trainer(config, parts, device, settings["fingerprint"], out_dir, world)
    num_encoders = len(parts.layer_widths())
    curves = Curves(out_dir / CURVES, trainer.iteration) if rank == 0 else None
    started = time.perf_counter()
    while trainer.iteration < config.segmenter.iterations:
        losses = trainer.step(batch(config, samples, num_encoders, trainer.iteration, rank, world).to(device))
        beat(out_dir, rank)
        done = trainer.iteration == config.segmenter.iterations
        if curves and (done or trainer.iteration % REPORT_EVERY == 0):
            values = {name: float(getattr(losses, name)) for name in ("total", "cross_entropy", "dice", "affinity", "consistency")}
            values["elapsed_s"] = time.perf_counter() - started
            curves.write(iteration=trainer.iteration, learning_rate=trainer.learning_rate, **values)
        if rank == 0 and (done or trainer.iteration % settings["checkpoint_every"] == 0):
            trainer.save()
    if rank == 0:
        trainer.export()


class _Trainer:
    """Decoder, its moving average, optimizer and iteration: all that a state holds."""

    def __init__(
        self, config: RunConfig, parts: FrozenParts, device: torch.device, fingerprint: str, out_dir: Path, num_workers: int = 1
    ) -> None:
        self._section, self._parts, self._device = config.segmenter, parts, device
        self._fingerprint, self._out_dir, self._num_workers = fingerprint, out_dir, num_workers
        torch.manual_seed(derive_seed("decoder", config.seed))
        self._decoder: Decoder = build_decoder(parts, config).to(device)
        self._average = copy.deepcopy(self._decoder).eval().requires_grad_(False)
        self._base_rate = self._section.learning_rate * (self._section.batch_size / REFERENCE_BATCH) ** 0.5
        self._optimizer = torch.optim.AdamW(
            self._decoder.parameters(), lr=self._base_rate, weight_decay=self._section.weight_decay, fused=True
        )
        self.iteration = 0
        if state := load_state(out_dir / STATE, [fingerprint]):
            self._decoder.load_state_dict(state["decoder"])
            self._average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.iteration = state["iteration"]
        # Gradients that are not copied into buckets and back: a fifteenth of a step on two CPUs.
        self._model: nn.Module = prepare_model(self._decoder, parallel_strategy_kwargs={"gradient_as_bucket_view": True})
        section = self._section
        self._weights = LossWeights(section.affinity_loss_weight, section.consistency_loss_weight, section.affinity_radius)

    @property
    def learning_rate(self) -> float:
        """Rate of the next step."""
        rate: float = self._base_rate * schedule(self.iteration, self._section.iterations, self._section.warmup_iterations)
        return rate

    def step(self, part: Batch) -> Losses:
        """One optimizer step on this worker's part of the batch; the losses are those of the whole batch."""
        section, target = self._section, part.target
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate
        layers, grid = self._parts.layers(part.images)
        self._model.train()
        with self._parts.clip.autocast():
            logits, fused = self._model(layers, grid, part.keep)
        logits = [enlarge(x.float(), target.shape[-2:]) for x in logits]
        if self.iteration >= section.self_training_start * section.iterations:
            target = own_labels(mean_of(logits), target, part.allowed, section.self_training_confidence)
        losses = decoder_losses(logits, fused, target, self._weights, over_workers)
        self._optimizer.zero_grad(set_to_none=True)
        # Gradients are averaged over workers; that of the whole batch is the sum of theirs.
        (losses.total * self._num_workers).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._decoder.parameters(), GRADIENT_NORM)
        self._optimizer.step()
        self.iteration += 1
        # A young average follows fast, else the random start would weigh in for long.
        decay = min(section.ema_decay, (1 + self.iteration) / (10 + self.iteration))
        with torch.no_grad():
            torch._foreach_lerp_(list(self._average.parameters()), list(self._decoder.parameters()), 1 - decay)
        return losses

    def save(self) -> None:
        """Write the state that a killed training continues from."""
        state = {"decoder": self._decoder.state_dict(), "average": self._average.state_dict(), "optimizer": self._optimizer.state_dict()}
        save_state(self._out_dir / STATE, {**state, "iteration": self.iteration, "fingerprint": self._fingerprint})

    def export(self) -> None:
        """Write the averaged weights, whole or not at all."""
        state = {name: tensor.contiguous().cpu() for name, tensor in self._average.state_dict().items()}
        write_whole(self._out_dir / CHECKPOINT, save(state, metadata={FINGERPRINT: self._fingerprint}))
