"""What a run has left in its folder so far, for those who watch it. Everything here but `remove` only reads."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthseg.errors import SynthSegError
from synthseg.records import ABSENT, KEY_FIELDS, PRESENT, UNKNOWN, Sample, from_table
from synthseg.report.status import read_status
from synthseg.sample_plan import CONTEXT
from synthseg.store.run_folder import EVENTS, RunFolder
from synthseg.store.verify import stage_schema

REPORT: Final = "report/index.html"
_STATES: Final = {PRESENT: "present", UNKNOWN: "unknown", ABSENT: "absent"}
_CACHED_SHARDS: Final = 256
_WITHOUT_BYTES: Final = [
    *(field.name for field in KEY_FIELDS), "prompt", "image.width", "image.height", "image.sha256", "score", "labels", "outcome",
]  # fmt: skip


class EventTail:
    """The lines of a run's events.jsonl, each given out once. The file need not exist yet."""

    def __init__(self, out: str) -> None:
        self._folder = RunFolder(out)
        self._position = 0

    def read(self) -> list[dict[str, Any]]:
        """Whole lines that were written since the last call; what is no JSON (a kill cut it short) is skipped."""
        content = self._new_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        self._position += len(whole)
        events = []
        for line in whole.decode(errors="replace").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                events.append(event)
        return events

    def _new_bytes(self) -> bytes:
        files = self._folder.files
        try:
            if files.local_root is None:
                return files.read(EVENTS)[self._position :]
            with Path(files.path(EVENTS)).open("rb") as stream:
                stream.seek(self._position)
                return stream.read()
        except FileNotFoundError:
            return b""


def progress(out: str) -> dict[str, Any] | None:
    """`synthseg status --json` of the run, without its place; None before it has begun."""
    try:
        status = read_status(out).to_json()
    except SynthSegError:
        return None
    status.pop("out")
    return status


def gallery(out: str, offset: int, limit: int) -> list[dict[str, Any]]:
    """Kept samples `offset` to `offset + limit` in order of shard, without image bytes; none before the first shard is published.

    `labels` is class -> present, unknown or absent, after relabelling where that is done. A sample that relabelling drops leaves the list.
    """
    found: list[dict[str, Any]] = []
    for shard in _shards(out):
        for sample in shard:
            if sample["kept"]:
                found.append({key: value for key, value in sample.items() if key != "kept"})
        if len(found) >= offset + limit:
            break
    return found[offset : offset + limit]


def image(out: str, sample_id: str) -> bytes:
    """Encoded image of one sample, kept or not. KeyError when the run has none of this id."""
    folder = RunFolder(out)
    for name, marker in folder.shards.markers("images").items():
        if sample_id in _ids(out, marker.data):
            table = folder.shards.read("images", name, stage_schema("images"), ["sample_id", "image.bytes"])
            found = from_table(table.filter(pc.field("sample_id") == sample_id))[0].image
            if found is not None and found.encoded:
                return found.encoded
    raise KeyError(sample_id)


def report(out: str) -> bytes:
    """The run's page. KeyError before the run has written it."""
    try:
        return RunFolder(out).files.read(REPORT)
    except FileNotFoundError:
        raise KeyError(REPORT) from None


def num_bytes(out: str) -> int:
    """Size of the run's folder; 0 before it has begun. OSError when a file goes while they are counted."""
    return RunFolder(out).files.total_bytes()


def remove(out: str) -> None:
    """Remove the run's folder with all in it, if it is there. OSError says why it cannot be."""
    with contextlib.suppress(FileNotFoundError):  # another gateway does the same
        RunFolder(out).files.delete_all()


def _shards(out: str) -> Iterator[tuple[dict[str, Any], ...]]:
    """Samples of each published images shard."""
    shards = RunFolder(out).shards
    labels = shards.markers("labels")
    for name, marker in shards.markers("images").items():
        yield _samples(out, name, marker.data, labels[name].data if name in labels else "")


@lru_cache(maxsize=_CACHED_SHARDS)
def _ids(out: str, images_data: str) -> frozenset[str]:
    """Ids of one shard's samples. Their column is read alone: the pictures beside it are a thousand times as large."""
    with RunFolder(out).files.open(f"images/{images_data}") as source:
        return frozenset(pq.read_table(source, columns=["sample_id"], use_threads=False).column("sample_id").to_pylist())


@lru_cache(maxsize=_CACHED_SHARDS)
def _samples(out: str, name: str, images_data: str, labels_data: str) -> tuple[dict[str, Any], ...]:  # noqa: ARG001 (part of the key)
    """Samples of one shard without their bytes. File names carry the content's hash, so a name is always the same rows."""
    folder = RunFolder(out)
    config = folder.config()
    names = {info.class_id: info.name for info in config.class_infos()}
    relabelled: dict[str, Sample] = {}
    if labels_data:
        found = from_table(folder.shards.read("labels", name, stage_schema("labels")))
        relabelled = {sample.sample_id: sample for sample in found}
    made = from_table(folder.shards.read("images", name, stage_schema("images"), _WITHOUT_BYTES))
    return tuple(_told(sample, relabelled.get(sample.sample_id), names) for sample in made)


def _told(sample: Sample, relabelled: Sample | None, names: dict[int, str]) -> dict[str, Any]:
    labels, image = (relabelled or sample).labels, sample.image
    states = zip(names.values(), labels.label if labels else (), strict=False)
    return {
        "sample_id": sample.sample_id,
        "prompt": sample.prompt.text,
        "owner": names.get(sample.class_ids[0], CONTEXT) if sample.class_ids else CONTEXT,
        "classes": [names[class_id] for class_id in sample.class_ids if class_id in names],
        "seed": sample.seed,
        "width": image.width if image else None,
        "height": image.height if image else None,
        "sha256": image.sha256 if image else None,
        "clip_score": _finite(sample.score.clip_score if sample.score else None),
        "quality": _finite(sample.prompt.quality),
        "class_similarity": _finite(sample.prompt.class_similarity),
        "neighbour_similarity": _finite(sample.prompt.neighbour_similarity),
        "labels": {name: _STATES[value] for name, value in states},
        "relabelled": relabelled is not None,
        "kept": (relabelled or sample).is_ok,
    }


def _finite(value: float | None) -> float:
    return float(value) if value is not None and math.isfinite(value) else 0.0
