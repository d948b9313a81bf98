"""What a file of weights holds, as a hash. Where the hub's cache has hashed it already, its name is taken for it."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

_BLOB: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_CHUNK_BYTES: Final = 1 << 24


def file_digest(path: Path) -> str:
    """Content hash of a file.

    The hub's cache keeps a file under its hash (SHA-256 for weights, git's SHA-1 for small files) and links to it, so nothing is read
    there; elsewhere the file is read once and hashed with SHA-256.
    """
    real = path.resolve()
    if real.parent.name == "blobs" and _BLOB.fullmatch(real.name):
        return real.name
    state = hashlib.sha256()
    with real.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest()


def file_digests(paths: list[Path]) -> list[str]:
    """`file_digest` of each, several files at a time: hashing leaves Python's lock, so it runs as fast as the disk."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(file_digest, paths))
