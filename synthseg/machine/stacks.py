"""Where is everybody? Each worker leaves a handle by which the driver can make it write down its Python stacks, and signs of life."""

from __future__ import annotations

import faulthandler
import os
import signal
import tempfile
import time
from pathlib import Path

from synthseg.machine import heartbeat

_SIGNAL = signal.SIGUSR2
_WRITE_WAIT_S = 1.0


def stacks_folder(run_fingerprint: str) -> Path:
    """The folder on this machine where the workers of a run register."""
    return Path(tempfile.gettempdir()) / f"synthseg-stacks-{os.getuid()}-{run_fingerprint}"


def register(folder: Path) -> None:
    """Let `collect` ask this process for its stacks from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    stream = (folder / f"{os.getpid()}.txt").open("w", encoding="utf-8")
    faulthandler.register(_SIGNAL, file=stream, all_threads=True)


def collect(folder: Path) -> str:
    """The stacks of every registered process on this machine that is still alive."""
    alive = []
    for path in sorted(folder.glob("*.txt")):
        try:
            os.kill(int(path.stem), _SIGNAL)
        except (ProcessLookupError, PermissionError):
            path.unlink(missing_ok=True)
            continue
        alive.append(path)
    time.sleep(_WRITE_WAIT_S)
    return "\n\n".join(f"process {path.stem}\n{path.read_text(errors='replace', encoding='utf-8')}" for path in alive)


def beat(folder: Path) -> None:
    """Say that this process gets on with a shard that takes long."""
    heartbeat.beat(folder, os.getpid())


def clear(folder: Path) -> None:
    """Forget the registrations of an earlier run, so that no reused process id is signalled, and its signs of life."""
    for path in folder.glob("*.txt"):
        path.unlink(missing_ok=True)
    heartbeat.forget(folder)
