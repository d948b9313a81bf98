"""A mirror of weights: a folder or URI that is looked in before the hub. Its layout is ROOT/ORG/REPO/REVISION/FILES and a manifest.

The manifest lists every file with size and SHA-256 and is written last; a revision without one does not count.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from synthseg.errors import CorruptData, RunFailure
from synthseg.machine.hub.ids import HubId
from synthseg.machine.hub.manifest import Manifest
from synthseg.store.files import Files, OnBytes

VARIABLE: Final = "SYNTHSEG_WEIGHTS"
MANIFEST: Final = "synthseg-manifest.json"


class Mirror:
    """Weights below one root, local or remote."""

    def __init__(self, root: str, field: str = VARIABLE) -> None:
        """UsageProblem, naming `field`, when no such store can be reached."""
        self.files = Files(root, field)

    @property
    def root(self) -> str:
        """As it was given."""
        return self.files.root

    def manifest(self, hub_id: HubId) -> Manifest | None:
        """What the mirror has of `hub_id`; None when it has nothing whole. RunFailure when it cannot be read."""
        name = f"{_folder(hub_id)}/{MANIFEST}"
        try:
            content = self.files.read(name) if self.files.exists(name) else None
        except OSError as error:
            raise RunFailure(f"{self.files.field}: '{self.root}' cannot be read ({error}); mend that, or unset {VARIABLE}") from error
        return None if content is None else Manifest.from_json(content, self.files.path(name))

    def find(self, hub_id: HubId, selection: str = "") -> Path | None:
        """The folder of `hub_id` itself, where the mirror is a local one and holds it whole (with `selection`, if one is asked for)."""
        root = self.files.local_root
        manifest = self.manifest(hub_id) if root else None
        if root is None or manifest is None or (selection and selection not in manifest.selections):
            return None
        folder = root / _folder(hub_id)
        return None if manifest.missing_in(folder) else folder

    def copy_file(self, hub_id: HubId, name: str, target: Path, manifest: Manifest, on_bytes: OnBytes | None = None) -> None:
        """Copy one file of `manifest` to `target`. CorruptData when it is missing or its content is another than the manifest says."""
        source = f"{_folder(hub_id)}/{name}"
        try:
            found = self.files.download(source, target, on_bytes)
        except FileNotFoundError as error:
            raise CorruptData(f"{self.files.path(source)}: is missing in the mirror; fill it again with synthseg fetch --to") from error
        if found != manifest.files[name].sha256:
            target.unlink(missing_ok=True)
            raise CorruptData(
                f"{self.files.path(source)}: checksum differs from the mirror's manifest; fill it again with synthseg fetch --to"
            )

    def holds(self, hub_id: HubId, name: str, num_bytes: int) -> bool:
        """Whether a file of this name and size is there already."""
        return self.files.size(f"{_folder(hub_id)}/{name}") == num_bytes

    def add_file(self, hub_id: HubId, name: str, source: Path, on_bytes: OnBytes | None = None) -> None:
        """Copy `source` into the mirror."""
        self.files.upload(source, f"{_folder(hub_id)}/{name}", on_bytes)

    def publish(self, hub_id: HubId, manifest: Manifest) -> None:
        """Let the revision count, now that all its files are there."""
        self.files.write(f"{_folder(hub_id)}/{MANIFEST}", manifest.to_json())


def mirror_from_environment() -> Mirror | None:
    """The mirror that SYNTHSEG_WEIGHTS names, if any. UsageProblem when it cannot be reached."""
    root = os.environ.get(VARIABLE, "")
    return Mirror(root) if root else None


def _folder(hub_id: HubId) -> str:
    return f"{hub_id.repo}/{hub_id.revision}"
