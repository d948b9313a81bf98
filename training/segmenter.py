"""Train the segmenter's decoder on Ray Train: N data-parallel workers, each with its own share of the images.

The encoders are frozen, so a pseudo mask never changes: each worker makes the masks of its share once and keeps them as PNG.
A killed training goes on from its last state; the same samples and configuration always mean the same training.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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
from synthseg.ids import derive_seed, digest, image_sha256
from synthseg.image_codec import decode_rgb, encode_png
from synthseg.machine.stacks import stacks_folder
from synthseg.method.masks.pseudo_masks import Mask, to_batch
from synthseg.method.networks.augment import Pair, augment
from synthseg.method.networks.decoder import Decoder
from synthseg.method.networks.enlarge import enlarge
from synthseg.method.networks.frozen import FrozenParts, load_frozen
from synthseg.method.networks.losses import Losses, LossWeights, decoder_losses, mean_of, own_labels
from synthseg.method.networks.segmenter import build_decoder
from synthseg.records import ABSENT, PRESENT
from training.loop import (
    Curves,
    beat,
    begin,
    earlier_identities,
    epoch_order,
    identity,
    load_state,
    one_thread_on_cpu,
    read_curves,
    save_state,
    schedule,
    share_of_batch,
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
class TrainingSample:
    """One encoded image, its label (K values of 1, 0, -1) and, for the fully supervised twin only, its exact mask (H, W)."""

    encoded: bytes
    label: tuple[int, ...]
    mask: NDArray[np.uint8] | None = None


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
    samples: Sequence[TrainingSample],
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
    check_samples(config, samples)
    num_workers = min(num_workers, len(samples), config.segmenter.batch_size)
    started = time.perf_counter()
    out_dir = out_dir.resolve()
    out_dir.mkdir(parents=True, exist_ok=True)
    fingerprints = training_fingerprints(config, samples, num_workers)
    finished = load_state(out_dir / STATE, fingerprints)
    if finished and finished["iteration"] == config.segmenter.iterations and (out_dir / CHECKPOINT).exists():
        return SegmenterResult(out_dir / CHECKPOINT, read_curves(out_dir / CURVES), 0.0)
    (out_dir / CHECKPOINT).unlink(missing_ok=True)
    settings = {
        "config": config.model_dump(mode="json"),
        "shares": [ray.put(list(samples[rank::num_workers])) for rank in range(num_workers)],
        "fingerprints": fingerprints,
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


def check_samples(config: RunConfig, samples: Sequence[TrainingSample]) -> None:
    """UsageProblem where nothing can be trained from `samples`."""
    if not samples:
        raise UsageProblem("segmenter: no kept images to train on; lower scoring.min_class_score or make more images")
    if wrong := next((s for s in samples if len(s.label) != len(config.classes)), None):
        raise UsageProblem(f"segmenter: a label has {len(wrong.label)} values for {len(config.classes)} classes; relabel the samples")
    if not any(PRESENT in s.label for s in samples):
        raise UsageProblem("segmenter: no image has a present class; lower relabel.present_threshold")


def training_fingerprints(config: RunConfig, samples: Sequence[TrainingSample], num_workers: int) -> list[str]:
    """Identity of a training: settings, images, labels, masks, and how they are shared out. After it those of earlier versions."""
    content = [(image_sha256(s.encoded), s.label, None if s.mask is None else image_sha256(s.mask.tobytes())) for s in samples]
    sections = [identity(config.segmenter), *earlier_identities(config.segmenter)]
    return [digest(section, list(config.classes), config.seed, content, num_workers) for section in sections]


class Share:
    """One worker's images with their masks, decoded on demand."""

    def __init__(
        self, samples: Sequence[TrainingSample], parts: FrozenParts, config: RunConfig, on_block: Callable[[], None] = lambda: None
    ) -> None:
        """`on_block` is called before each block of masks that is made."""
        self._samples = samples
        self._config = config
        self._masks: list[bytes] = []
        masker = parts.masker(config.segmenter)
        block = 64
        for start in range(0, len(samples), block):
            on_block()
            part = samples[start : start + block]
            images = [decode_rgb(s.encoded) for s in part]
            given = [s.mask for s in part]
            labels = np.array([s.label for s in part], dtype=np.int8)
            made = given if all(m is not None for m in given) else masker.masks(images, labels)
            self._masks += [encode_png(m) for g, p in zip(given, made, strict=True) if (m := p if g is None else g) is not None]

    def batch(self, iteration: int, size: int, rank: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, S, S) in [0, 1], targets (B, S, S) and allowed classes (B, K + 1) of one iteration."""
        section, seed = self._config.segmenter, self._config.seed
        rng = np.random.default_rng([seed, rank, iteration])
        pairs, allowed = [], []
        for index in epoch_order(iteration * size, size, len(self._samples), seed, rank):
            indices = [index]
            if rng.random() < section.mosaic_probability:
                indices += rng.integers(len(self._samples), size=int(rng.integers(1, 4))).tolist()
            pairs.append(augment([self._pair(i) for i in indices], section.crop_size, rng))
            labels = np.array([self._samples[i].label for i in indices])
            allowed.append(np.concatenate([[True], (labels != ABSENT).any(axis=0)]))
        target = torch.from_numpy(np.stack([mask for _, mask in pairs])).to(device).long()
        return to_batch([image for image, _ in pairs], device), target, torch.from_numpy(np.stack(allowed)).to(device)

    def _pair(self, index: int) -> Pair:
        return decode_rgb(self._samples[index].encoded), decode_mask(self._masks[index])


def decode_mask(encoded: bytes) -> Mask:
    """The mask (H, W) that `encode_png` wrote."""
    return np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def _train_worker(load_parts: LoadParts, settings: dict[str, Any]) -> None:
    """What each Ray Train worker does."""
    one_thread_on_cpu()
    context = train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    config = RunConfig.model_validate(settings["config"])
    device, out_dir = get_device(), Path(settings["out_dir"])
    begin(out_dir, rank, config.segmenter.precision)
    parts = load_parts(config, device)
    started = time.perf_counter()
    share = Share(ray.get(settings["shares"][rank]), parts, config, lambda: beat(out_dir, rank))
    masks_s = time.perf_counter() - started
    trainer = _Trainer(config, parts, device, settings["fingerprints"], out_dir)
    size = share_of_batch(config.segmenter.batch_size, rank, world)
    curves = Curves(out_dir / CURVES, trainer.iteration) if rank == 0 else None
    started = time.perf_counter()
    while trainer.iteration < config.segmenter.iterations:
        torch.manual_seed(derive_seed("dropout", config.seed, rank, trainer.iteration))
        losses = trainer.step(*share.batch(trainer.iteration, size, rank, device))
        beat(out_dir, rank)
        done = trainer.iteration == config.segmenter.iterations
        if curves and (done or trainer.iteration % REPORT_EVERY == 0):
            values = {name: float(getattr(losses, name)) for name in ("total", "cross_entropy", "dice", "affinity", "consistency")}
            values |= {"pseudo_masks_s": masks_s, "elapsed_s": time.perf_counter() - started}
            curves.write(iteration=trainer.iteration, learning_rate=trainer.learning_rate, **values)
        if rank == 0 and (done or trainer.iteration % settings["checkpoint_every"] == 0):
            trainer.save()
    if rank == 0:
        trainer.export()


class _Trainer:
    """Decoder, its moving average, optimizer and iteration: all that a state holds."""

    def __init__(self, config: RunConfig, parts: FrozenParts, device: torch.device, fingerprints: list[str], out_dir: Path) -> None:
        self._section, self._parts, self._device = config.segmenter, parts, device
        self._fingerprint, self._out_dir = fingerprints[0], out_dir
        torch.manual_seed(derive_seed("decoder", config.seed))
        self._decoder: Decoder = build_decoder(parts, config).to(device)
        self._average = copy.deepcopy(self._decoder).eval().requires_grad_(False)
        self._base_rate = self._section.learning_rate * (self._section.batch_size / REFERENCE_BATCH) ** 0.5
        self._optimizer = torch.optim.AdamW(
            self._decoder.parameters(), lr=self._base_rate, weight_decay=self._section.weight_decay, fused=True
        )
        self.iteration = 0
        if state := load_state(out_dir / STATE, fingerprints):
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

    def step(self, images: Tensor, target: Tensor, allowed: Tensor) -> Losses:
        """One optimizer step on this worker's part of the batch."""
        section = self._section
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate
        layers, grid = self._parts.layers(images)
        self._model.train()
        with self._parts.clip.autocast():
            logits, fused = self._model(layers, grid)
        logits = [enlarge(x.float(), target.shape[-2:]) for x in logits]
        if self.iteration >= section.self_training_start * section.iterations:
            target = own_labels(mean_of(logits), target, allowed, section.self_training_confidence)
        losses = decoder_losses(logits, fused, target, self._weights)
        self._optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
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
        write_whole(self._out_dir / CHECKPOINT, save(state))
