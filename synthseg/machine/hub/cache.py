"""This machine's weights, in the hub's own cache layout, where diffusers, transformers, vLLM, open_clip and timm look by themselves.

Beside `blobs`, `refs` and `snapshots` of a repository a folder `synthseg` keeps files of ours: COMMIT.json, the manifest of what
is here and was checked; COMMIT.begun while that is being fetched; pins.json, the commit that each revision stood for at its first fetch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from synthseg.machine.hub.ids import DEFAULT_REVISION, HubId
from synthseg.machine.hub.manifest import Manifest
from synthseg.machine.whole_file import write_whole

_OURS: Final = "synthseg"
_PINS: Final = "pins.json"
_BEGUN: Final = ".begun"


def cache_root() -> Path:
    """The folder that HF_HUB_CACHE or HF_HOME names, as huggingface_hub reads them."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


class RepoCache:
    """What this machine has of one repository."""

    def __init__(self, repo: str, root: Path | None = None) -> None:
        self.repo = repo
        self.root = root or cache_root()
        self.folder = self.root / f"models--{repo.replace('/', '--')}"

    def snapshot(self, commit: str) -> Path:
        """Folder of the files at `commit`."""
        return self.folder / "snapshots" / commit

    def manifest(self, commit: str) -> Manifest | None:
        """What was fetched and checked of `commit`."""
        path = self.folder / _OURS / f"{commit}.json"
        return Manifest.from_json(path.read_bytes(), str(path)) if path.is_file() else None

    def pin(self, revision: str) -> str:
        """The commit that `revision` is held to; empty before its first fetch."""
        return self._pins().get(revision, "")

    def find(self, hub_id: HubId, selection: str = "") -> Path | None:
        """The snapshot of `hub_id`, if it was fetched whole (with `selection`, where one is asked for) and still is."""
        commit = hub_id.commit or self.pin(hub_id.revision)
        manifest = self.manifest(commit) if commit else None
        if manifest is None or (selection and selection not in manifest.selections):
            return None
        folder = self.snapshot(commit)
        return None if manifest.missing_in(folder) else folder

    def begin(self, commit: str) -> None:
        """Note that files of `commit` are about to come, so that what a killed fetch leaves is never taken for all of it."""
        self._write(f"{_OURS}/{commit}{_BEGUN}", b"")

    def is_ours(self, commit: str) -> bool:
        """Whether a fetch of `commit` was begun here; only its manifest then says what is whole."""
        return any((self.folder / _OURS / f"{commit}{suffix}").exists() for suffix in (_BEGUN, ".json"))

    def publish(self, manifest: Manifest, revision: str) -> None:
        """Note that everything in `manifest` is here, and hold `revision` to its commit."""
        self._write(f"{_OURS}/{manifest.commit}.json", manifest.to_json())
        (self.folder / _OURS / f"{manifest.commit}{_BEGUN}").unlink(missing_ok=True)
        if revision == manifest.commit:
            return
        pins = {**self._pins(), revision: manifest.commit}
        self._write(f"{_OURS}/{_PINS}", json.dumps(pins, indent=1).encode() + b"\n")
        # What the libraries go by when they are asked for a branch without a network.
        self._write(f"refs/{revision}", manifest.commit.encode())
        if not (self.folder / "refs" / DEFAULT_REVISION).exists():
            self._write(f"refs/{DEFAULT_REVISION}", manifest.commit.encode())

    def _pins(self) -> dict[str, str]:
        path = self.folder / _OURS / _PINS
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    def _write(self, name: str, content: bytes) -> None:
        write_whole(self.folder / name, content)
