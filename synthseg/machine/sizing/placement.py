"""What the stages of a run, and the deployments of a server, take of a Ray cluster at once. Run, server, doctor and plan all ask here.

Engine replicas and the stage workers that feed them hold their shares side by side: where the sum does not fit, Ray lets the
worker wait for ever. Beside engines a worker holds CLIP alone and takes a small share of a GPU; where no engine is deployed it takes
a whole one, as training does, which would else go to the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from synthseg.config.schema import RunConfig
from synthseg.stages import Stage

REPLICA_CPUS: Final = 0.25
"""Logical CPUs of an engine replica, which computes on one thread; vLLM's are a setting."""
WORKER_CPUS: Final = 0.25
"""Logical CPUs of a stage worker. With `workers` replicas of 0.25 and the driver's own work this fits `workers` CPUs."""
MAX_VLLM_MEMORY: Final = 0.9
"""Share of a device's memory that vLLM may fill when it has the device to itself."""
_ROUNDING: Final = 1e-6

Deployment = Literal["gateway", "prompt_agent", "text", "image"]
Bundle = Mapping[str, float]
"""Resources by Ray's names, taken in one piece."""


@dataclass(frozen=True, slots=True)
class Wish:
    """`count` processes or groups of processes that each take all of `bundles`."""

    name: str
    count: int
    bundles: tuple[Bundle, ...]

    @property
    def each(self) -> dict[str, float]:
        """Resources of one of them."""
        return total_of(self.bundles)

    def of(self, resource: str) -> str:
        """For messages: how many there are and what each takes of `resource`; empty where it takes none."""
        amount = self.each.get(resource, 0.0)
        return f"{self.count} {self.name}{'s' if self.count > 1 else ''} of {amount:g}" if amount else ""


def stage_wishes(config: RunConfig, stage: Stage) -> tuple[Wish, ...]:
    """What `stage` holds at once, the replicas of its engine first and its workers last; nothing for the report."""
    execution = config.execution
    if stage is Stage.report:
        return ()
    if stage in (Stage.classifier, Stage.relabel, Stage.masks, Stage.segmenter, Stage.evaluate):
        whole = 1.0 if execution.num_gpus_per_replica > 0 else 0.0
        return (Wish("worker", execution.workers, ({"CPU": WORKER_CPUS, "GPU": whole},)),)
    if stage is Stage.images:
        replica = Wish("image replica", execution.workers, ({"CPU": REPLICA_CPUS, "GPU": image_gpus(config)},))
    elif config.prompts.engine == "vllm":
        replica = Wish("text replica", execution.workers, ({"CPU": execution.vllm.num_cpus}, *vllm_bundles(config)))
    else:
        replica = Wish("text replica", execution.workers, ({"CPU": REPLICA_CPUS, "GPU": 0.0},))
    # A run that counts no GPUs takes the first one there is, for CLIP as for all else.
    has_gpus = execution.num_gpus_per_replica > 0 or replica.each.get("GPU", 0.0) > 0
    beside = execution.num_gpus_per_worker if has_gpus else 0.0
    return replica, Wish("worker", execution.workers, ({"CPU": WORKER_CPUS, "GPU": beside},))


def server_wishes(config: RunConfig, *, at_most: bool = False) -> tuple[Wish, ...]:
    """What the deployments of `synthseg serve` hold when it starts, or with `at_most` after autoscaling."""
    names: tuple[Deployment, ...] = ("gateway", "prompt_agent", "text", "image")
    found = []
    for name in names:
        section = getattr(config.serving, name)
        bundles: tuple[Bundle, ...] = ({"CPU": section.num_cpus, "GPU": deployment_gpus(config, name)},)
        if name == "text" and config.prompts.engine == "vllm":
            bundles = ({"CPU": config.execution.vllm.num_cpus}, *vllm_bundles(config))
        count = section.num_replicas
        if section.max_replicas:
            count = section.max_replicas if at_most else min(max(count, section.min_replicas), section.max_replicas)
        found.append(Wish(f"serving.{name} replica", count, bundles))
    return tuple(found)


def deployment_gpus(config: RunConfig, name: Deployment) -> float:
    """GPUs of one replica of a deployment of the server: its own setting, else the share that a run gives the same work.

    vLLM's are in its bundles; at an endpoint they are the endpoint's.
    """
    section, execution = getattr(config.serving, name), config.execution
    if name == "text" and config.prompts.engine in ("vllm", "openai"):
        return 0.0
    if name == "image":
        return section.num_gpus or image_gpus(config)
    if name == "prompt_agent" and execution.num_gpus_per_replica > 0:
        return section.num_gpus or execution.num_gpus_per_worker
    return float(section.num_gpus)


def image_gpus(config: RunConfig) -> float:
    """GPUs of one image replica; the painter has no use for any."""
    return config.execution.num_gpus_per_replica if config.images.engine == "diffusers" else 0.0


def vllm_bundles(config: RunConfig) -> tuple[Bundle, ...]:
    """Resources of each worker of one vLLM replica: `execution.vllm.bundles`, else a replica's share of a GPU for each device."""
    vllm, share = config.execution.vllm, config.execution.num_gpus_per_replica
    if vllm.bundles:
        return vllm.bundles
    # Two small shares may be of one GPU, and tensor parallelism needs as many GPUs as it has workers.
    is_whole = not 0 < share < 1 or (vllm.tensor_parallel_size > 1 and share <= 0.5)
    return tuple({"GPU": 1.0 if is_whole else share} for _ in range(vllm.tensor_parallel_size))


def vllm_memory(config: RunConfig) -> float:
    """Share of a device's memory for vLLM: `execution.vllm.gpu_memory_utilization`, else its share of the GPU, MAX_VLLM_MEMORY at most."""
    given = [bundle["GPU"] for bundle in vllm_bundles(config) if bundle.get("GPU")]
    return config.execution.vllm.gpu_memory_utilization or min([MAX_VLLM_MEMORY, *given])


def whole_gpus(wishes: Sequence[Wish]) -> int:
    """GPUs that hold all shares of `wishes`: what is less than one GPU has to be free on one, as Ray counts."""
    free: list[float] = []
    taken = (bundle.get("GPU", 0.0) for wish in wishes for _ in range(wish.count) for bundle in wish.bundles)
    for share in sorted(taken, reverse=True):
        if share >= 1:
            free += [0.0] * math.ceil(share)
        elif share > 0:
            fitting = next((i for i, left in enumerate(free) if left >= share - _ROUNDING), None)
            if fitting is None:
                free.append(1 - share)
            else:
                free[fitting] -= share
    return len(free)


def needed(wishes: Sequence[Wish]) -> dict[str, float]:
    """Resources that must be there for all of `wishes` at once; GPUs are whole ones."""
    total = total_of(bundle for wish in wishes for bundle in wish.bundles for _ in range(wish.count))
    return {**total, "GPU": float(whole_gpus(wishes))}


def shortage(wishes: Sequence[Wish], room: Mapping[str, float], what: str, settings: str) -> str:
    """One line when `room` can never hold `wishes`: `what` they are for, the numbers, and the `settings` to lower; else empty."""
    for name, amount in needed(wishes).items():
        if amount > room.get(name, 0.0) + _ROUNDING:
            return (
                f"{what} needs {amount:g} {name} at once ({shares(wishes, name)}) and there are {room.get(name, 0.0):g}; "
                f"lower {settings}, or use a larger cluster"
            )
    return ""


def shares(wishes: Sequence[Wish], resource: str) -> str:
    """For messages: what each of `wishes` takes of `resource`."""
    return " + ".join(part for wish in wishes if (part := wish.of(resource)))


def stage_shortage(config: RunConfig, stage: Stage, room: Mapping[str, float]) -> str:
    """`shortage` for a stage of a run."""
    settings = "execution.workers"
    if stage in (Stage.prompts, Stage.images):
        settings += ", execution.num_gpus_per_replica or execution.num_gpus_per_worker"
    if stage is Stage.prompts and config.prompts.engine == "vllm" and config.execution.vllm.bundles:
        settings = f"execution.vllm.bundles, {settings}"
    return shortage(stage_wishes(config, stage), room, f"execution.workers = {config.execution.workers}: stage {stage}", settings)


def server_shortage(config: RunConfig, room: Mapping[str, float]) -> str:
    """`shortage` for the deployments of a server at its start."""
    settings = "serving.image.num_gpus, execution.num_gpus_per_replica or the num_replicas of a deployment"
    return shortage(server_wishes(config), room, "serving", settings)


def num_cpus(config: RunConfig) -> int:
    """Logical CPUs of a Ray that is started for `config` alone: what its stages count on, one for each of `execution.workers` at least."""
    return max(config.execution.workers, *(math.ceil(needed(stage_wishes(config, stage)).get("CPU", 0.0)) for stage in Stage))


def widest(config: RunConfig) -> Stage:
    """The first of the stages that need the most GPUs at once."""
    return max(Stage, key=lambda stage: whole_gpus(stage_wishes(config, stage)))


def total_of(bundles: Iterable[Bundle]) -> dict[str, float]:
    """The sum of each resource."""
    total: dict[str, float] = {}
    for bundle in bundles:
        for name, amount in bundle.items():
            total[name] = total.get(name, 0.0) + amount
    return total
