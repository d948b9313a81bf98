"""Shards: the unit of work, of retry and of commit. A Parquet file, then the marker that makes it count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from synthseg.errors import CorruptData
from synthseg.records import check_schema, completed, part_of
from synthseg.store.files import Files

Stage = Literal["prompts", "plan", "images", "labels", "masks"]


@dataclass(frozen=True, slots=True)
class Marker:
    """What is published under a shard's name. Only what a marker names exists for readers."""

    name: str
    data: str
    """File name of the Parquet file, which carries its own content hash."""
    num_rows: int
    num_bytes: int
    sha256: str
    stats: dict[str, Any] = field(default_factory=dict)
    """What the stage measured while it made the shard."""


class ShardStore:
    """The shards of one run, below the run's root."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def publish(self, stage: Stage, name: str, table: pa.Table, stats: Mapping[str, Any] | None = None) -> Marker:
        """Write `table` as shard `name` and then its marker. A shard published twice with equal content is one shard."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        content = sink.getvalue().to_pybytes()
        sha256 = hashlib.sha256(content).hexdigest()
        data = f"{name}-{sha256[:10]}.parquet"
        marker = Marker(name, data, table.num_rows, len(content), sha256, dict(stats or {}))
        self.files.write(f"{stage}/{data}", content)
        self.files.write(f"{stage}/{name}.json", json.dumps(asdict(marker), sort_keys=True).encode())
        return marker

    def marker(self, stage: Stage, name: str) -> Marker | None:
        """The marker of shard `name`, None while it is not published. CorruptData when it cannot be read."""
        source = f"{stage}/{name}.json"
        if not self.files.exists(source):
            return None
        try:
            return _marker(name, json.loads(self.files.read(source)))
        except (ValueError, TypeError, OSError) as error:
            raise CorruptData(f"{source}: not a marker ({error}); delete it and run the same command again") from error

    def markers(self, stage: Stage) -> dict[str, Marker]:
        """Published shards by name, in order of name. CorruptData that names every one that cannot be read."""
        found, problems = self.survey(stage)
        if problems:
            raise CorruptData("; ".join(problems))
        return found

    def survey(self, stage: Stage) -> tuple[dict[str, Marker], list[str]]:
        """`markers` that can be read, and one line for each that cannot."""
        names = [n.removesuffix(".json") for n in self.files.names(stage) if n.endswith(".json")]
        found: dict[str, Marker] = {}
        problems = []
        for name in names:
            try:
                marker = self.marker(stage, name)
            except CorruptData as error:
                problems.append(str(error))
                continue
            if marker is not None:
                found[name] = marker
        return found, problems

    def read(self, stage: Stage, name: str, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
        """Table of a published shard, checked against its marker and the record's schema. CorruptData names what is wrong.

        With `columns` (names as `part_of` takes them) only those are decoded; the checks cover the whole file all the same.
        """
        marker = self.marker(stage, name)
        if marker is None:
            raise CorruptData(f"{stage}/{name}: not published; run the same command again")
        source = f"{stage}/{marker.data}"
        try:
            content = self.files.read(source)
        except FileNotFoundError as error:
            raise CorruptData(f"{source}: missing; delete {stage}/{name}.json and run the same command again") from error
        except OSError as error:
            raise CorruptData(f"{source}: cannot be read ({error}); mend that and run the same command again") from error
        if hashlib.sha256(content).hexdigest() != marker.sha256:
            raise CorruptData(
                f"{source}: {len(content)} bytes do not match the marker ({marker.num_bytes} bytes); "
                f"delete {stage}/{name}.json and run the same command again"
            )
        file = pq.ParquetFile(pa.BufferReader(content))
        check_schema(file.schema_arrow, schema, source)
        # Without Arrow's threads: one that still holds `content` while the interpreter exits aborts the process (apache/arrow#34314).
        return completed(file.read(columns, use_threads=False), _wanted(schema, columns))

    def read_all(self, stage: Stage, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
        """All published rows of a stage, in order of shard name, cut to `columns` as in `read`; an empty table when there are none."""
        tables = [self.read(stage, name, schema, columns) for name in self.markers(stage)]
        return pa.concat_tables(tables) if tables else _wanted(schema, columns).empty_table()

    def discard_unpublished(self, stage: Stage) -> int:
        """Delete data files that no marker names (a writer died between the two); returns how many."""
        published = {marker.data for marker in self.markers(stage).values()}
        orphans = [n for n in self.files.names(stage) if n.endswith(".parquet") and n not in published]
        for name in orphans:
            self.files.delete(f"{stage}/{name}")
        return len(orphans) + self.files.sweep(stage)


def _marker(name: str, record: Any) -> Marker:
    """The marker `record`, found under `name`. ValueError or TypeError when it is none, or a copy of another's."""
    marker = Marker(**record)
    kinds = (str, str, int, int, str, dict)
    if any(type(value) is not kind for value, kind in zip(astuple(marker), kinds, strict=True)):
        raise TypeError("a value of another kind")
    if marker.name != name or "/" in marker.data:
        raise ValueError(f"it is that of '{marker.name}'")
    return marker


def _wanted(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return schema if columns is None else part_of(schema, columns)
