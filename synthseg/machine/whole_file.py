"""Local files that are there whole or not at all, even after a kill or a power cut."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

TEMPORARY: Final = ".tmp-"
"""How the name of a file begins that is not whole yet."""


@contextmanager
def whole(target: Path, *, mode: int = 0o666, durable: bool = True) -> Iterator[Path]:
    """A new empty file beside `target`, made with `mode`, to be filled in the block. When that ends well, it takes the place of `target`.

    A reader sees the old file or the new one. `durable` has it on the disk by then. Folders are made. OSError as it comes; whatever
    is raised, `target` stays as it was and nothing is left beside it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    try:
        yield temporary
        if durable:
            _flush(temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(target: Path, content: bytes) -> None:
    """Write a file at once, as `whole` does."""
    with whole(target) as temporary:
        temporary.write_bytes(content)


def sweep(folder: Path) -> int:
    """Delete what killed writers have left in `folder`; returns how many files."""
    left = list(folder.glob(f"{TEMPORARY}*"))
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
