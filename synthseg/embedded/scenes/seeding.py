"""The one source of chance behind a painting."""

from __future__ import annotations

import hashlib

import numpy as np


def painting_rng(text: str, negative: str, seed: int, width: int, height: int) -> np.random.Generator:
    """Generator that depends on what is asked for alone."""
    key = "\x1f".join((text, negative, str(seed), str(width), str(height)))
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "little"))
