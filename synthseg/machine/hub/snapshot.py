"""Where the files of a model lie on this machine. Nothing here downloads: `synthseg fetch` does, once a node."""

from __future__ import annotations

from pathlib import Path

from synthseg.errors import UsageProblem
from synthseg.machine.hub.cache import RepoCache
from synthseg.machine.hub.ids import DEFAULT_REVISION, HubId, is_local, parse_hub_id
from synthseg.machine.hub.mirror import mirror_from_environment

FETCH = "synthseg fetch PRESET"


def local_snapshot(model: str, field: str, revision: str = "") -> Path:
    """Folder or file of `model`: a local path as it is, else what was fetched of that hub id.

    A hub id is ORG/REPO, or ORG/REPO/FILE for one file, either with @REVISION; `revision` holds where it names none. It is looked
    for in this machine's cache, then in the mirror of SYNTHSEG_WEIGHTS if that is a folder. Files of a download that did not end count
    for nothing. `field` is the setting that names the model. UsageProblem when it is not on this machine.
    """
    if is_local(model):
        path = Path(model).expanduser()
        if path.exists():
            return path
        raise UsageProblem(f"{field}: {model} does not exist")
    hub_id = parse_hub_id(model, field, revision)
    folder = find_snapshot(hub_id)
    if folder is None:
        raise UsageProblem(f"{field}: the weights of '{hub_id}' are not on this machine; run: {FETCH}")
    if not hub_id.file:
        return folder
    if not (folder / hub_id.file).is_file():
        raise UsageProblem(f"{field}: '{hub_id.file}' of {hub_id.repo} is not on this machine; run: {FETCH}")
    return folder / hub_id.file


def find_snapshot(hub_id: HubId, selection: str = "") -> Path | None:
    """Folder that holds `hub_id` whole (with the files of `selection`, if one is asked for), or None. Never asks the network."""
    found = RepoCache(hub_id.repo).find(hub_id, selection)
    if found is None and (mirror := mirror_from_environment()):
        found = mirror.find(hub_id, selection)
    return found or _downloaded_otherwise(hub_id)


def _downloaded_otherwise(hub_id: HubId) -> Path | None:
    """What `hf download` brought, where the hub's own client holds it complete and no fetch of ours had a part in it."""
    cache = RepoCache(hub_id.repo)
    if not (cache.folder / "snapshots").is_dir():
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    revision = None if hub_id.revision == DEFAULT_REVISION else hub_id.revision
    try:
        wanted = [hub_id.file] if hub_id.file else None
        folder = Path(snapshot_download(hub_id.repo, revision=revision, local_files_only=True, allow_patterns=wanted))
    except LocalEntryNotFoundError:
        return None
    return None if cache.is_ours(folder.name) else folder
