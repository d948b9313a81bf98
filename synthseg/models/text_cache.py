"""Embeddings of fixed texts, such as class words in their templates, kept on this machine for every process that needs the same ones.

A run has many processes that all start from the same few thousand texts. The first embeds them under a lock, the others read.
"""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from synthseg.engines.scorer import Embeddings
from synthseg.ids import digest

VARIABLE: Final = "SYNTHSEG_CACHE"
"""Environment variable that names the folder; default ~/.cache/synthseg (XDG_CACHE_HOME is heeded). It may be deleted at any time."""

EmbedTexts = Callable[[Sequence[str]], Embeddings]


def cache_folder() -> Path:
    """Where this machine keeps embeddings."""
    if named := os.environ.get(VARIABLE):
        return Path(named) / "texts"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synthseg" / "texts"


def cached_embeddings(embed: EmbedTexts, model_digest: str, device: str, texts: Sequence[str]) -> Embeddings:
    """`embed(texts)`, or what an earlier call kept of the same texts, model and kind of device.

    A folder that cannot be written is no fault: the texts are then embedded here. A file that cannot be read is made anew.
    """
    versions = [version("torch"), version("open_clip_torch")]
    name = digest("texts", model_digest, device, versions, list(texts), num_bytes=20)
    folder = cache_folder()
    file = folder / f"{name}.npy"
    if (found := _read(file, len(texts))) is not None:
        return found
    with _lock(folder / f"{name}.lock"):
        if (found := _read(file, len(texts))) is not None:
            return found
        embedded = embed(texts)
        _write(file, embedded)
    return embedded


def _read(file: Path, num_texts: int) -> Embeddings | None:
    try:
        rows = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.ndim == 2 and len(rows) == num_texts and rows.dtype == np.float32 else None


def _write(file: Path, rows: Embeddings) -> None:
    content = io.BytesIO()
    np.save(content, rows, allow_pickle=False)
    part = file.with_suffix(f".{os.getpid()}.part")
    with suppress(OSError):
        try:
            part.write_bytes(content.getvalue())
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Held by one process at a time, and let go with it; no lock where the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w", encoding="utf-8")
    except OSError:
        yield
        return
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
        path.unlink(missing_ok=True)
