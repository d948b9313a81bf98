"""Embeddings of fixed texts, such as class words in their templates, kept on this machine for every process that needs the same ones.

A run has many processes that all start from the same few thousand texts. The first embeds them under a lock, the others read.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np

from synthseg.engines.scorer import Embeddings
from synthseg.ids import digest
from synthseg.machine.cache import cache_folder, locked
from synthseg.machine.whole_file import write_whole

KIND = "texts"
EmbedTexts = Callable[[Sequence[str]], Embeddings]


def cached_embeddings(embed: EmbedTexts, model_digest: str, device: str, texts: Sequence[str]) -> Embeddings:
    """`embed(texts)`, or what an earlier call kept of the same texts, model and kind of device.

    A folder that cannot be written is no fault: the texts are then embedded here. A file that cannot be read is made anew.
    """
    versions = [version("torch"), version("open_clip_torch")]
    name = digest("texts", model_digest, device, versions, list(texts), num_bytes=20)
    file = cache_folder(KIND) / f"{name}.npy"
    if (found := _read(file, len(texts))) is not None:
        return found
    with locked(file):
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
    with suppress(OSError):
        write_whole(file, content.getvalue())
