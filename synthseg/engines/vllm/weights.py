"""The weights that vLLM is given: where they lie on this machine, and what they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem
from synthseg.ids import digest
from synthseg.machine.hub.snapshot import local_snapshot

_HASHED_WHOLE_BYTES = 16 << 20
_HASHED_END_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LocalModel:
    """Weights on this machine."""

    path: Path
    lora: Path | None = None


def local_model(config: RunConfig) -> LocalModel:
    """The weights of `config`'s vLLM model and adapter. UsageProblem when they are not on this machine."""
    prompts = config.prompts
    try:
        path = local_snapshot(prompts.model, "prompts.model", prompts.revision)
    except UsageProblem as problem:
        if not prompts.revision or prompts.model.startswith(("/", ".", "~")):
            raise
        # Whoever sets another model keeps the preset's revision, which that model does not have.
        raise UsageProblem(f"{problem} (prompts.revision asks for {prompts.revision}; empty takes what is there)") from problem
    return LocalModel(path, local_snapshot(prompts.lora, "prompts.lora") if prompts.lora else None)


def weights_digest(config: RunConfig, model: LocalModel, version: str) -> str:
    """Identity of the engine: vLLM's `version`, the files of model and adapter, and the type that they are computed in."""
    files = [list(_file_marks(folder)) for folder in (model.path, model.lora) if folder is not None]
    return digest("vllm", version, config.prompts.dtype, files)


def _file_marks(folder: Path) -> Iterator[list[Any]]:
    """Name, size and hash of each file; of a large one its first and last bytes, since a start should not read all weights twice."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        num_bytes = path.stat().st_size
        hasher = hashlib.blake2b(digest_size=16)
        with path.open("rb") as file:
            if num_bytes <= _HASHED_WHOLE_BYTES:
                hasher.update(file.read())
            else:
                hasher.update(file.read(_HASHED_END_BYTES))
                file.seek(-_HASHED_END_BYTES, 2)
                hasher.update(file.read())
        yield [path.relative_to(folder).as_posix(), num_bytes, hasher.hexdigest()]
