"""The list of what belongs to a snapshot, with sizes and hashes. It is written last, so whoever has it has everything it lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from synthseg.errors import CorruptData


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a snapshot."""

    num_bytes: int
    sha256: str
    """Hex digest of its content."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Files of one repository at one commit."""

    repo: str
    commit: str
    files: Mapping[str, FileRecord]
    selections: frozenset[str] = field(default_factory=frozenset)
    """Keys of the selections whose files are all listed."""
    licence: str = ""

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(record.num_bytes for record in self.files.values())

    def with_files(self, files: Mapping[str, FileRecord], selections: frozenset[str], licence: str) -> Manifest:
        """This manifest after other selections of the same commit."""
        return Manifest(self.repo, self.commit, {**self.files, **files}, self.selections | selections, licence or self.licence)

    def missing_in(self, folder: Path) -> list[str]:
        """Listed files that are not in `folder` or have another size there; their content is not read."""
        return [name for name, record in self.files.items() if _size(folder / name) != record.num_bytes]

    def to_json(self) -> bytes:
        """Readable by `from_json`, and by people."""
        files = {name: {"bytes": record.num_bytes, "sha256": record.sha256} for name, record in sorted(self.files.items())}
        value = {
            "repo": self.repo,
            "commit": self.commit,
            "licence": self.licence,
            "selections": sorted(self.selections),
            "files": files,
        }
        return json.dumps(value, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes, path: str) -> Self:
        """The manifest stored at `path`. CorruptData when it is none."""
        try:
            value: Any = json.loads(content)
            files = {str(name): FileRecord(int(entry["bytes"]), str(entry["sha256"])) for name, entry in value["files"].items()}
            return cls(value["repo"], value["commit"], files, frozenset(value["selections"]), value.get("licence", ""))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptData(f"{path}: is no manifest of weights; delete it and fetch again") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
