"""The NVIDIA GPUs of this machine, found without torch."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_QUERY: Final = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")
_TIMEOUT_S: Final = 20.0
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `num_bytes` of memory is 0 where only its device file is seen, as in some containers."""

    name: str
    num_bytes: int
    driver: str = ""


def gpus() -> tuple[Gpu, ...]:
    """What nvidia-smi lists, else one entry a device file."""
    if found := _listed():
        return found
    devices = list(Path("/proc/driver/nvidia/gpus").glob("*")) or list(Path("/dev").glob("nvidia[0-9]*"))
    return tuple(Gpu("NVIDIA GPU", 0) for _ in devices)


def _listed() -> tuple[Gpu, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        answer = subprocess.run([program, *_QUERY], capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(parse_listing(answer.stdout))


def parse_listing(text: str) -> list[Gpu]:
    """GPUs in the CSV of nvidia-smi: name, MiB, driver. A card that does not tell its memory has 0."""
    found = []
    for line in text.strip().splitlines():
        name, memory, driver = (part.strip() for part in line.rsplit(",", 2))
        found.append(Gpu(name, int(memory) * _MIB if memory.isdigit() else 0, driver))
    return found
