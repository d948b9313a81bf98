"""Identity by content: ids, seeds and fingerprints. Nothing here knows of workers, batches, order or time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

ID_BYTES = 12
SEED_BITS = 48
"""Seeds stay exact in JSON numbers, in int64 columns and in every generator we call."""


def canonical_json(value: Any) -> str:
    """One spelling for equal values: sorted keys, no spaces, no NaN (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(*parts: Any, num_bytes: int = ID_BYTES) -> str:
    """Hex blake2b of the parts' canonical JSON; parts cannot run into each other."""
    return hashlib.blake2b(canonical_json(list(parts)).encode(), digest_size=num_bytes).hexdigest()


def derive_seed(*parts: Any) -> int:
    """Seed in [0, 2**48) that depends on the parts alone."""
    return int(digest("seed", *parts, num_bytes=SEED_BITS // 8), 16)


def prompt_id(class_ids: Sequence[int], text: str) -> str:
    """Id of a prompt: the same words for the same classes are the same prompt."""
    return digest("prompt", sorted(class_ids), text)


def sample_id(
    fingerprint: str, class_ids: Sequence[int], prompt: str, engine_digest: str, parameters: Mapping[str, Any], ordinal: int
) -> str:
    """Id of the `ordinal`-th image of a prompt, by design section 2."""
    return digest("sample", fingerprint, sorted(class_ids), prompt, engine_digest, dict(parameters), ordinal)


def image_sha256(encoded: bytes) -> str:
    """Hash of the encoded image, as stored."""
    return hashlib.sha256(encoded).hexdigest()
