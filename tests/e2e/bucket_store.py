"""An object store that needs no network: `bucket://NAME/KEY` is the file NAME/KEY below $BUCKETS, in every process.

It is as strict as the stores that people use: no appending, no folders to make, an object appears when its upload ends, and
listings are remembered unless the caller forbids it.
"""

from __future__ import annotations

import io
import os
import uuid
from pathlib import Path
from typing import Any

from fsspec.spec import AbstractFileSystem

PLUGIN = "bucket_store"


class BucketFileSystem(AbstractFileSystem):
    """What fsspec knows by the name `bucket`."""

    protocol = "bucket"

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        name = self._strip_protocol(path)
        found = self.dircache[name] if name in self.dircache else self._list(name)
        self.dircache[name] = found
        return found if detail else [entry["name"] for entry in found]

    def rm_file(self, path: str) -> None:
        _local(self._strip_protocol(path)).unlink()
        self.dircache.clear()

    def _list(self, name: str) -> list[dict[str, Any]]:
        local = _local(name)
        if not local.exists():
            raise FileNotFoundError(name)
        if local.is_file():
            return [{"name": name, "size": local.stat().st_size, "type": "file"}]
        return [
            {"name": f"{name}/{path.name}".lstrip("/"), "size": path.stat().st_size, "type": "directory" if path.is_dir() else "file"}
            for path in local.iterdir()
        ]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.IOBase:
        local = _local(self._strip_protocol(path))
        if mode == "rb":
            return local.open("rb")
        if mode != "wb":
            raise NotImplementedError(f"an object store knows no mode '{mode}'")
        self.dircache.clear()
        return _Upload(local)


class _Upload(io.BytesIO):
    def __init__(self, target: Path) -> None:
        super().__init__()
        self._target = target

    def close(self) -> None:
        if not self.closed:
            part = _local(f".uploads/{uuid.uuid4().hex}")
            part.parent.mkdir(parents=True, exist_ok=True)
            self._target.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(self.getvalue())
            part.replace(self._target)
        super().close()


def _local(name: str) -> Path:
    return Path(os.environ["BUCKETS"]) / name


def install(folder: Path) -> dict[str, str]:
    """Put this file as an installed fsspec plugin into `folder`; the environment in which every Python process finds it."""
    plugin, buckets = folder / "site", folder / "buckets"
    buckets.mkdir(parents=True)
    facts = plugin / f"{PLUGIN}-1.dist-info"
    facts.mkdir(parents=True)
    (plugin / f"{PLUGIN}.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PLUGIN}\nVersion: 1\n", encoding="utf-8")
    (facts / "entry_points.txt").write_text(f"[fsspec.specs]\nbucket = {PLUGIN}:BucketFileSystem\n", encoding="utf-8")
    return {"PYTHONPATH": str(plugin), "BUCKETS": str(buckets)}
