"""Weights as rows, for tables and for programs."""

from __future__ import annotations

from typing import Any

from synthseg.machine.hub.cache import RepoCache
from synthseg.machine.hub.catalogue import Weight
from synthseg.machine.hub.fetch import Fetched
from synthseg.machine.hub.snapshot import find_snapshot

_STATES = {"here": "was here", "mirror": "from the mirror", "hub": "from the hub"}


def listed(weight: Weight) -> dict[str, Any]:
    """What is known of `weight` without a network: sizes and licences as documented, the commit once it was fetched."""
    here = find_snapshot(weight.hub_id, weight.selection.key) is not None
    commit = weight.hub_id.commit or RepoCache(weight.hub_id.repo).pin(weight.hub_id.revision)
    return _row(weight, commit, weight.licence, weight.num_bytes, "here" if here else "missing")


def listed_after(fetched: Fetched) -> dict[str, Any]:
    """What a fetch found out."""
    manifest = fetched.manifest
    state = _STATES[fetched.source]
    return _row(fetched.weight, manifest.commit, manifest.licence, manifest.num_bytes, state) | {"path": str(fetched.folder)}


def _row(weight: Weight, commit: str, licence: str, num_bytes: int, state: str) -> dict[str, Any]:
    return {
        "field": weight.field,
        "model": str(weight.hub_id),
        "files": weight.selection.key,
        "commit": commit,
        "licence": licence,
        "bytes": num_bytes,
        "state": state,
    }
