"""Bringing weights to this machine: from the mirror, else from the hub, once a node, checked, and noted when they are whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from synthseg.errors import UsageProblem
from synthseg.machine.file_digest import sha256_of
from synthseg.machine.hub import remote
from synthseg.machine.hub.cache import RepoCache, cache_root
from synthseg.machine.hub.catalogue import Weight
from synthseg.machine.hub.manifest import FileRecord, Manifest
from synthseg.machine.hub.mirror import VARIABLE, Mirror, mirror_from_environment
from synthseg.machine.hub.progress import FetchProgress, SilentFetch
from synthseg.machine.hub.selection import select
from synthseg.redaction import redacted
from synthseg.store.disk import full_disk_named

Source = Literal["here", "mirror", "hub"]

LOCK = "synthseg-fetch.lock"
_FIRST_TRY_S = 0.2


@dataclass(frozen=True, slots=True)
class Fetched:
    """Where one weight came from, and what it is."""

    weight: Weight
    source: Source
    folder: Path
    manifest: Manifest


def fetch_weights(weights: Sequence[Weight], progress: FetchProgress | None = None, *, update: bool = False) -> list[Fetched]:
    """Bring all of `weights` into this machine's cache and return where each is.

    One fetch goes on at a time on a machine; another waits and then finds what the first one brought. A revision stays at the commit
    of its first fetch unless `update`. UsageProblem, RunFailure or CorruptData, naming the setting, when one cannot be had.
    """
    progress = progress or SilentFetch()
    mirror = mirror_from_environment()
    with _one_at_a_time(progress):
        return [_fetch_one(weight, mirror, progress, update) for weight in weights]


def fill(fetched: Sequence[Fetched], mirror: Mirror, progress: FetchProgress | None = None) -> int:
    """Copy what was fetched into `mirror`; returns how many files were not there yet."""
    progress = progress or SilentFetch()
    copied = 0
    for one in fetched:
        hub_id, manifest = one.weight.hub_id, one.manifest
        there = mirror.manifest(hub_id)
        same = there is not None and there.commit == manifest.commit
        if there is not None and same and set(manifest.files) <= set(there.files) and manifest.selections <= there.selections:
            continue
        progress.start(f"to {redacted(mirror.root)}: {hub_id}", manifest.num_bytes)
        for name, record in manifest.files.items():
            if same and mirror.holds(hub_id, name, record.num_bytes):
                progress.advance(record.num_bytes)
                continue
            mirror.add_file(hub_id, name, one.folder / name, progress.advance)
            copied += 1
        before = there if there is not None and same else Manifest(manifest.repo, manifest.commit, {})
        mirror.publish(hub_id, before.with_files(manifest.files, manifest.selections, manifest.licence))
        progress.finish()
    return copied


def _fetch_one(weight: Weight, mirror: Mirror | None, progress: FetchProgress, update: bool) -> Fetched:
    hub_id, cache = weight.hub_id, RepoCache(weight.hub_id.repo)
    folder = None if update else cache.find(hub_id, weight.selection.key)
    if folder is not None:
        manifest = cache.manifest(folder.name)
        if manifest is not None:
            return Fetched(weight, "here", folder, manifest)
    pin = "" if update else cache.pin(hub_id.revision)
    offered = mirror.manifest(hub_id) if mirror else None
    if mirror is not None and offered is not None and weight.selection.key in offered.selections:
        if pin and offered.commit != pin:
            raise UsageProblem(
                f"{weight.field}: the mirror has commit {offered.commit} of {hub_id}, this machine is held to {pin}; "
                "fetch with --update to take the mirror's"
            )
        manifest = _from_mirror(weight, mirror, offered, cache, progress)
        source: Source = "mirror"
    else:
        manifest = _from_hub(weight, hub_id.commit or pin or hub_id.revision, cache, progress)
        source = "hub"
    cache.publish(manifest, hub_id.revision)
    return Fetched(weight, source, cache.snapshot(manifest.commit), manifest)


def _from_mirror(weight: Weight, mirror: Mirror, offered: Manifest, cache: RepoCache, progress: FetchProgress) -> Manifest:
    cache.begin(offered.commit)
    folder = cache.snapshot(offered.commit)
    progress.start(f"{weight.hub_id} from {redacted(mirror.root)}", offered.num_bytes)
    for name, record in offered.files.items():
        target = folder / name
        if target.is_file() and target.stat().st_size == record.num_bytes and sha256_of(target) == record.sha256:
            progress.advance(record.num_bytes)
            continue
        with full_disk_named(str(target)):
            mirror.copy_file(weight.hub_id, name, target, offered, progress.advance)
    progress.finish()
    return _added(cache, offered, offered.files, offered.selections)


def _from_hub(weight: Weight, revision: str, cache: RepoCache, progress: FetchProgress) -> Manifest:
    field = weight.field
    repo = remote.list_repo(weight.hub_id, revision, field)
    cache.begin(repo.commit)
    names = select(weight.selection, list(repo.files), lambda name: remote.read_json(repo, name, field), field)
    progress.start(f"{weight.hub_id} from the hub", sum(repo.files[name].num_bytes for name in names))
    records: dict[str, FileRecord] = {}
    with _quiet_hub():
        for name in names:
            cached = (cache.snapshot(repo.commit) / name).is_file()
            records[name] = remote.download(repo, name, field, None if cached else progress.advance)
            if cached:
                progress.advance(records[name].num_bytes)
    progress.finish()
    empty = Manifest(weight.hub_id.repo, repo.commit, {}, licence=repo.licence or weight.licence)
    return _added(cache, empty, records, frozenset({weight.selection.key}))


def _added(cache: RepoCache, empty: Manifest, files: Mapping[str, FileRecord], selections: frozenset[str]) -> Manifest:
    """What this machine has of the commit of `empty`, now that `files` are here."""
    return (cache.manifest(empty.commit) or empty).with_files(files, selections, empty.licence)


@contextmanager
def _one_at_a_time(progress: FetchProgress) -> Iterator[None]:
    """Holds the machine's lock; says so once when it has to wait. The system frees it when its holder dies, however that happens."""
    from filelock import FileLock, Timeout

    folder = cache_root() / ".locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageProblem(f"HF_HOME: {cache_root()} cannot be written ({error.strerror}); set HF_HOME to a folder that can") from error
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=_FIRST_TRY_S)
    except Timeout:
        progress.message("another fetch is going on on this machine; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """The client's own warnings about retries would tear the progress bar; what matters arrives as an error."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def mirror_to_fill(target: str) -> Mirror:
    """The mirror at `target`, which must be writable. UsageProblem otherwise, and when it is the very mirror that is read from."""
    mirror = Mirror(target, "--to")
    mirror.files.prepare()
    reading = mirror_from_environment()
    if reading is not None and reading.files.path("") == mirror.files.path(""):
        raise UsageProblem(f"--to: '{target}' is what {VARIABLE} names, and would be filled from itself; unset {VARIABLE}")
    return mirror
