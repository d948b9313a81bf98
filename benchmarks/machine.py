"""What a benchmark ran on, for its results file."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import resource
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def machine(*packages: str) -> dict[str, Any]:
    """Date, processor, threads, GPU and the versions of `packages`, as far as they are installed."""
    found = {distribution.metadata["Name"]: distribution.version for distribution in metadata.distributions()}
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "cpu": _cpu(),
        "num_cpus": len(os.sched_getaffinity(0)),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS", ""),
        "gpu": _gpu(),
        "python": platform.python_version(),
        "versions": {package: found[package] for package in packages if package in found},
    }


def peak_memory_bytes() -> int:
    """The most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write_results(name: str, results: dict[str, Any]) -> Path:
    """Write `results` to benchmarks/results/NAME.json."""
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return path


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    widest = next((flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in flags), "")
    return f"{names[0] if names else platform.machine()} {widest}".strip()


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""
