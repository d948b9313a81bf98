"""Trains the embedded CLIP on painted scenes: `python -m training.clip --out runs/clip`. The same command resumes.

Two single-thread workers under Ray Train (gloo), bfloat16 arithmetic where the CPU has it, AdamW, an average of the weights over time.
Most samples are seen small (96 pixels), the last ones at the native 128: convolutions and interpolated positions carry over.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import ray
import torch
import torch.distributed as dist
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from synthseg.machine.packaged import EMBEDDED_CLIP
from synthseg.machine.precision import Setting
from synthseg.machine.whole_file import whole
from training.clip_data import ClipData, ClipSampler, render_images
from training.clip_objective import ClipObjective, LossWeights

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "model.safetensors"
STATE_NAME = "state.safetensors"
LOG_NAME = "train.jsonl"


@dataclass(frozen=True)
class ClipTrainingConfig:
    """The recipe. Sizes in pixels, counts over all workers."""

    out: str
    data: str = ""
    """Folder of the rendered images; empty means `data` under `out`."""
    num_images: int = 22_000
    num_samples: int = 350_000
    batch_size: int = 128
    size: int = 96
    final_size: int = 128
    final_share: float = 0.35
    """Share of the samples seen at `final_size`, at the end."""
    first_strength: float = 0.25
    """Share of the augmentation and the mosaics at the first step; all of it from `ramp_share` of the training on."""
    ramp_share: float = 0.45
    learning_rate: float = 1.2e-3
    text_learning_rate: float = 7e-4
    weight_decay: float = 0.05
    warmup_steps: int = 200
    ema_decay: float = 0.998
    checkpoint_s: float = 300.0
    workers: int = 2
    precision: Setting = "auto"
    seed: int = 2012
    loss: LossWeights = field(default_factory=LossWeights)

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return math.ceil(self.num_samples / self.batch_size)

    @property
    def data_folder(self) -> Path:
        """Where the rendered images are."""
        return Path(self.data) if self.data else Path(self.out) / "data"


def train_clip(config: ClipTrainingConfig) -> Path:
    """Render what is missing, train or resume, and return the weights' path (float16 safetensors, average over time)."""
    out = Path(config.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    # Ray Train asks a State API whether its controller lives. This cluster has none; left alone, Ray finds that of another cluster on
    # the machine, which does not know the controller, and removes the workers. An address without a server keeps it to itself.
    os.environ.setdefault("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    ray.init(address="local", num_cpus=config.workers + 1, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    try:
        render_images(config.data_folder.resolve(), config.num_images, config.seed, config.workers)
        settings = asdict(config) | {"out": str(out), "data": str(config.data_folder.resolve())}
        trainer = TorchTrainer(
            train_worker,
            train_loop_config=settings,
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ScalingConfig(num_workers=config.workers, resources_per_worker={"CPU": 1}),
            # Lost workers start again from the last state.
            run_config=RunConfig(name="clip", storage_path=str(out / "ray"), failure_config=FailureConfig(max_failures=3)),
        )
        trainer.fit()
    finally:
        ray.shutdown()
    return out / WEIGHTS_NAME


def train_worker(settings: dict[str, Any]) -> None:
    """One worker's loop; rank 0 also averages, logs and writes."""
    config = ClipTrainingConfig(**(settings | {"loss": LossWeights(**settings["loss"])}))
    torch.set_num_threads(1)
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(config.seed)
    objective = ClipObjective(new_clip(), config.loss, precision=config.precision)
    optimizer = build_optimizer(objective, config)
    average = {name: tensor.detach().clone() for name, tensor in objective.state_dict().items()}
    state_path = Path(config.out) / STATE_NAME
    step, spent_s = load_state(state_path, objective, optimizer, average) if state_path.exists() else (0, 0.0)
    parallel = DistributedDataParallel(objective, broadcast_buffers=False) if dist.is_initialized() else objective
    sampler = ClipSampler(ClipData(Path(config.data)), config.seed)
    log = TrainingLog(Path(config.out) / LOG_NAME, config.batch_size)
    saved_s = time.monotonic()
    began_s = saved_s - spent_s
    objective.train()
    while step < config.num_steps:
        set_learning_rates(optimizer, config, step)
        size = config.size if step < (1 - config.final_share) * config.num_steps else config.final_size
        share = min(1.0, config.first_strength + (1 - config.first_strength) * step / (config.ramp_share * config.num_steps))
        batch = sampler.batch(step * world + rank, config.batch_size // world, size, share)
        loss, parts = parallel(batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(objective.parameters(), 2.0)
        optimizer.step()
        step += 1
        if rank == 0:
            if step % 4 == 0:
                update_average(average, objective, min(config.ema_decay, step / (step + 40)) ** 4)
            log.add(step, size, loss.detach(), parts)
            if step == config.num_steps or time.monotonic() - saved_s > config.checkpoint_s:
                saved_s = time.monotonic()
                save_state(state_path, objective, optimizer, average, step, saved_s - began_s)
                facts = {"samples": step * config.batch_size, "seconds": round(saved_s - began_s), "images": len(sampler)}
                export_weights(Path(config.out), average, facts)


def new_clip() -> nn.Module:
    """The embedded architecture with fresh weights."""
    import open_clip

    import synthseg.method.networks.hybrid_vit  # noqa: F401  registers the image tower

    return cast(nn.Module, open_clip.create_model(f"local-dir:{EMBEDDED_CLIP}", load_weights=False))


def build_optimizer(objective: ClipObjective, config: ClipTrainingConfig) -> torch.optim.AdamW:
    """AdamW with one group for each tower, and one without decay for norms, biases and scales."""
    groups: dict[str, list[nn.Parameter]] = {"image": [], "text": [], "plain": []}
    for name, parameter in objective.named_parameters():
        plain = parameter.ndim < 2 or "pos" in name
        groups["plain" if plain else "text" if name.startswith("clip.text") else "image"].append(parameter)
    rates = {"image": config.learning_rate, "text": config.text_learning_rate, "plain": config.learning_rate}
    decay = {"image": config.weight_decay, "text": 0.01, "plain": 0.0}
    return torch.optim.AdamW(
        [{"params": parameters, "peak": rates[key], "weight_decay": decay[key]} for key, parameters in groups.items()],
        lr=config.learning_rate, betas=(0.9, 0.98),
    )  # fmt: skip


def set_learning_rates(optimizer: torch.optim.Optimizer, config: ClipTrainingConfig, step: int) -> None:
    """Linear warm-up, then half a cosine down to 1 % at the planned number of samples."""
    warm = min(1.0, (step + 1) / config.warmup_steps)
    cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.num_steps)))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * warm * cosine


@torch.no_grad()
def update_average(average: dict[str, Tensor], objective: nn.Module, decay: float) -> None:
    """Exponential average of weights and normalisation statistics; counters are copied."""
    for name, tensor in objective.state_dict().items():
        if tensor.is_floating_point():
            average[name].lerp_(tensor, 1 - decay)
        else:
            average[name].copy_(tensor)


def save_state(
    path: Path, objective: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor], step: int, spent_s: float
) -> None:
    """Everything a resumed training needs, in one safetensors file that appears at once."""
    tensors = {f"model.{name}": tensor for name, tensor in objective.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
    for name, parameter in objective.named_parameters():
        moments = optimizer.state[parameter]
        tensors |= {f"first.{name}": moments["exp_avg"], f"second.{name}": moments["exp_avg_sq"]}
    write_tensors(path, tensors | {"step": torch.tensor(step), "spent_s": torch.tensor(spent_s)})


def load_state(path: Path, objective: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor]) -> tuple[int, float]:
    """Fill model, optimizer and average from `path`; returns the step to go on with and the seconds spent so far."""
    tensors = load_file(path)
    step = int(tensors["step"])
    objective.load_state_dict({name: tensors[f"model.{name}"] for name in average})
    for name in average:
        average[name] = tensors[f"average.{name}"]
    for name, parameter in objective.named_parameters():
        optimizer.state[parameter] = {
            "step": torch.tensor(float(step)), "exp_avg": tensors[f"first.{name}"], "exp_avg_sq": tensors[f"second.{name}"],
        }  # fmt: skip
    return step, float(tensors["spent_s"])


def export_weights(folder: Path, average: dict[str, Tensor], facts: dict[str, int]) -> None:
    """Write the averaged model as open_clip reads it: float16 weights beside their config; `facts` go into the file's metadata."""
    model = {name.removeprefix("clip."): tensor for name, tensor in average.items() if name.startswith("clip.")}
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in model.items()}
    write_tensors(folder / WEIGHTS_NAME, half, {name: str(value) for name, value in facts.items()})
    shutil.copyfile(EMBEDDED_CLIP / CONFIG_NAME, folder / CONFIG_NAME)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Safetensors, whole or not at all."""
    with whole(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)


class TrainingLog:
    """One JSON line each 25 steps: step, images a second, loss and its parts (means since the last line)."""

    def __init__(self, path: Path, batch_size: int, every: int = 25) -> None:
        self._path = path
        self._batch_size = batch_size
        self._every = every
        self._sums: dict[str, float] = {}
        self._steps = 0
        self._started_s = time.monotonic()

    def add(self, step: int, size: int, loss: Tensor, parts: dict[str, Tensor]) -> None:
        """Count one step in."""
        for name, value in {"loss": loss, **parts}.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._steps += 1
        if step % self._every:
            return
        now_s = time.monotonic()
        line = {name: round(total / self._steps, 4) for name, total in self._sums.items()}
        rate = self._steps * self._batch_size / (now_s - self._started_s)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, "size": size, "images_per_s": round(rate, 1), **line}) + "\n")
        self._sums, self._steps, self._started_s = {}, 0, now_s


def main() -> None:
    """Command line: every field of the recipe that a run may want to change."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--data", default="")
    parser.add_argument("--num-images", type=int, default=ClipTrainingConfig.num_images)
    parser.add_argument("--num-samples", type=int, default=ClipTrainingConfig.num_samples)
    parser.add_argument("--workers", type=int, default=ClipTrainingConfig.workers)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default=ClipTrainingConfig.precision)
    parser.add_argument("--publish", action="store_true", help="put the finished weights into the package")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    weights = train_clip(
        ClipTrainingConfig(
            out=arguments.out,
            data=arguments.data,
            num_images=arguments.num_images,
            num_samples=arguments.num_samples,
            workers=arguments.workers,
            precision=arguments.precision,
        )
    )
    if arguments.publish:
        shutil.copyfile(weights, EMBEDDED_CLIP / WEIGHTS_NAME)


if __name__ == "__main__":
    main()
