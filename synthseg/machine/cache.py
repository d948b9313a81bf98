"""Files that any process of this machine can make again, kept for the next one. All of it may be deleted at any time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

VARIABLE: Final = "SYNTHSEG_CACHE"
"""Environment variable that names the folder; default ~/.cache/synthseg (XDG_CACHE_HOME is heeded)."""


def cache_folder(kind: str) -> Path:
    """Where this machine keeps files of a kind."""
    if named := os.environ.get(VARIABLE):
        return Path(named) / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synthseg" / kind


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """One process at a time makes `file`; the lock is let go with the process. No lock where the folder cannot be written."""
    path = file.with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w", encoding="utf-8")
    except OSError:
        yield
        return
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
