"""The record that flows: one `Sample` an image, and one `PromptCandidate` a prompt that was ever considered.

A sample grows by sections; each section is a struct column written once by one stage. Schemas are fixed and versioned, never inferred.
A column that came later reads as null in older files; one that is gone or of another type is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from synthseg.errors import CorruptData

SCHEMA_VERSION: Final = 1
_VERSION_KEY: Final = b"synthseg.schema_version"

PRESENT: Final = 1
ABSENT: Final = 0
UNKNOWN: Final = -1
"""Label values: every loss ignores UNKNOWN."""

SectionName = Literal["key", "prompt", "image", "score", "labels", "mask", "outcome"]
Status = Literal["ok", "dropped", "failed"]
Kind = Literal["target", "context", "bare"]
"""What a prompt asks for: its class, the usual surroundings of the class without it, or the class without them."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """An accepted prompt, as the sample carries it."""

    prompt_id: str
    text: str
    round: int
    parent_id: str
    """The prompt that it was refined from; empty for one that was written anew."""
    quality: float
    class_similarity: float | None
    neighbour_similarity: float | None
    """Cosine to the nearest prompt in the memory; None for the first."""
    engine: str
    """Digest of the text engine."""


@dataclass(frozen=True, slots=True)
class Image:
    """An encoded image (PNG, WebP or JPEG) and what it was made with."""

    encoded: bytes
    """Column `bytes`."""
    width: int
    height: int
    sha256: str
    engine: str
    """Digest of the image engine."""
    parameters: str
    """Canonical JSON of `sample_plan.image_parameters`."""


@dataclass(frozen=True, slots=True)
class Score:
    """What the frozen CLIP says of the image and of its prompt."""

    clip_score: float
    """Cosine of image and prompt."""
    image_probs: tuple[float, ...]
    """(K,)."""
    prompt_probs: tuple[float, ...]
    """(K,)."""
    safety: str
    kept: bool
    reason: str
    """Why it was not kept; empty where it was."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Image-level labels (K,) and the probabilities that they were made from."""

    label: tuple[int, ...]
    """PRESENT, ABSENT or UNKNOWN of each class."""
    probs: tuple[float, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Mask:
    """Class indices of the image's pixels, as a PNG of one channel: 0 background, 1..K the run's classes, 255 unknown."""

    encoded: bytes
    """Column `bytes`."""
    sha256: str
    source: str
    """What it was grown from, such as `labels, seeds, cda, par`."""
    parameters: str
    """Canonical JSON of the settings that it depends on."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a sample left a stage."""

    status: Status
    stage: str
    reason: str = ""
    error: str = ""
    retryable: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Sample:
    """One image of a run, as far as its stages have come: a section that no stage has written is None.

    Where only some columns were read, the others raise AttributeError.
    """

    sample_id: str
    class_ids: tuple[int, ...]
    """Taxonomy ids of the classes that were asked for, the prompt's own first."""
    ordinal: int
    seed: int
    prompt: Prompt
    image: Image | None = None
    score: Score | None = None
    labels: Labels | None = None
    mask: Mask | None = None
    outcome: Outcome | None = None

    def __repr__(self) -> str:
        """Only what was read."""
        read = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if hasattr(self, field.name))
        return f"Sample({', '.join(read)})"

    def grown(self, **sections: Any) -> Sample:
        """The sample with more `sections` than it was read with."""
        read = {field.name: getattr(self, field.name) for field in fields(self) if hasattr(self, field.name)}
        return _record(Sample, {**read, **sections})

    @property
    def is_ok(self) -> bool:
        """Whether it left its stage well."""
        return self.outcome is not None and self.outcome.status == "ok"


@dataclass(frozen=True, slots=True)
class PromptCandidate:
    """One prompt that the agent considered."""

    prompt_id: str
    class_ids: tuple[int, ...]
    """Empty for context prompts."""
    kind: Kind
    text: str
    round: int
    slot: int
    parent_id: str
    request_seed: int
    fluency: float | None
    realism: float | None
    visibility: float | None
    quality: float | None
    class_similarity: float | None
    neighbour_similarity: float | None
    engine: str
    accepted: bool
    reason: str
    """Why it was refused; empty for an accepted one."""


KEY_FIELDS: Final = (
    pa.field("sample_id", pa.string(), nullable=False),
    pa.field("class_ids", pa.list_(pa.int16()), nullable=False),
    pa.field("ordinal", pa.int32(), nullable=False),
    pa.field("seed", pa.int64(), nullable=False),
)

_SECTIONS: Final[Mapping[str, tuple[type, pa.StructType]]] = {
    "prompt": (
        Prompt,
        pa.struct(
            [
                ("prompt_id", pa.string()),
                ("text", pa.string()),
                ("round", pa.int16()),
                ("parent_id", pa.string()),
                ("quality", pa.float32()),
                ("class_similarity", pa.float32()),
                ("neighbour_similarity", pa.float32()),
                ("engine", pa.string()),
            ]
        ),
    ),
    "image": (
        Image,
        pa.struct(
            [
                ("bytes", pa.large_binary()),
                ("width", pa.int32()),
                ("height", pa.int32()),
                ("sha256", pa.string()),
                ("engine", pa.string()),
                ("parameters", pa.string()),
            ]
        ),
    ),
    "score": (
        Score,
        pa.struct(
            [
                ("clip_score", pa.float32()),
                ("image_probs", pa.list_(pa.float32())),
                ("prompt_probs", pa.list_(pa.float32())),
                ("safety", pa.string()),
                ("kept", pa.bool_()),
                ("reason", pa.string()),
            ]
        ),
    ),
    "labels": (Labels, pa.struct([("label", pa.list_(pa.int8())), ("probs", pa.list_(pa.float32())), ("source", pa.string())])),
    "mask": (
        Mask,
        pa.struct([("bytes", pa.large_binary()), ("sha256", pa.string()), ("source", pa.string()), ("parameters", pa.string())]),
    ),
    "outcome": (
        Outcome,
        pa.struct(
            [("status", pa.string()), ("stage", pa.string()), ("reason", pa.string()), ("error", pa.string()), ("retryable", pa.bool_())]
        ),
    ),
}

CANDIDATE_SCHEMA: Final = pa.schema(
    [
        pa.field("prompt_id", pa.string(), nullable=False),
        ("class_ids", pa.list_(pa.int16())),
        ("kind", pa.string()),
        ("text", pa.string()),
        ("round", pa.int16()),
        ("slot", pa.int32()),
        ("parent_id", pa.string()),
        ("request_seed", pa.int64()),
        ("fluency", pa.float32()),
        ("realism", pa.float32()),
        ("visibility", pa.float32()),
        ("quality", pa.float32()),
        ("class_similarity", pa.float32()),
        ("neighbour_similarity", pa.float32()),
        ("engine", pa.string()),
        ("accepted", pa.bool_()),
        ("reason", pa.string()),
    ],
    metadata={_VERSION_KEY: str(SCHEMA_VERSION)},
)

_COLUMNS: Final = {"encoded": "bytes"}
"""Columns that go by another name than their field here."""
_FIELDS: Final = {column: name for name, column in _COLUMNS.items()}
_CAME_LATER: Final[frozenset[str]] = frozenset()
"""Columns, such as `score.safety`, that files of earlier versions lack."""

Record = TypeVar("Record")


def sample_schema(*sections: SectionName) -> pa.Schema:
    """Schema of samples that carry the key and `sections`, in the record's own order."""
    columns = list(KEY_FIELDS)
    columns += [pa.field(name, dtype) for name, (_, dtype) in _SECTIONS.items() if name in sections]
    return pa.schema(columns, metadata={_VERSION_KEY: str(SCHEMA_VERSION)})


def to_table(samples: Iterable[Sample], *sections: SectionName) -> pa.Table:
    """Table of `samples` in the fixed schema, cut to the key and `sections`."""
    schema = sample_schema(*sections)
    return pa.Table.from_pylist([_row(sample, schema.names) for sample in samples], schema=schema)


def from_table(table: pa.Table) -> list[Sample]:
    """The samples in `table`, which may hold some columns only (as `part_of` names them)."""
    return [_sample(row) for row in table.to_pylist()]


def candidates_to_table(candidates: Iterable[PromptCandidate]) -> pa.Table:
    """Table of `candidates` in the fixed schema."""
    return pa.Table.from_pylist([_row(candidate, CANDIDATE_SCHEMA.names) for candidate in candidates], schema=CANDIDATE_SCHEMA)


def candidates_from_table(table: pa.Table) -> list[PromptCandidate]:
    """The prompt candidates in `table`."""
    return [_record(PromptCandidate, row) for row in table.to_pylist()]


def present(section: Record | None) -> Record:
    """A section that a stage has written. CorruptData where it is null."""
    if section is None:
        raise CorruptData("a sample lacks a section that its stage writes; synthseg verify OUT names the shard")
    return section


def outcome_stats(samples: Iterable[Sample]) -> dict[str, dict[str, int]]:
    """How many samples left a stage how (`outcomes`), and for which reasons they were dropped (`reasons`)."""
    ended = [sample.outcome for sample in samples if sample.outcome is not None]
    return {
        "outcomes": dict(Counter(outcome.status for outcome in ended)),
        "reasons": dict(Counter(outcome.reason for outcome in ended if outcome.reason)),
    }


def part_of(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    """What `columns` name of `schema`, in its order: a whole column such as `image`, or one field of a section, `image.sha256`."""
    found = []
    for column in schema:
        inner = [name.partition(".")[2] for name in columns if name.partition(".")[0] == column.name]
        if inner:
            found.append(column.with_type(pa.struct([f for f in column.type if f.name in inner])) if all(inner) else column)
    return pa.schema(found, metadata=schema.metadata)


def check_schema(found: pa.Schema, expected: pa.Schema, source: str) -> None:
    """CorruptData names `source` where its version differs, where `found` has a column or a type that is not the record's, and where it
    lacks one that earlier versions had as well.
    """
    version = (found.metadata or {}).get(_VERSION_KEY, b"none").decode()
    if version != str(SCHEMA_VERSION):
        raise CorruptData(f"{source}: record schema version {version}, this program reads {SCHEMA_VERSION}; run the version that wrote it")
    if wrong := sorted(_strangers(found, expected)):
        way_out = "run the version that wrote it, or delete the shard and run again"
        raise CorruptData(f"{source}: columns {', '.join(wrong)} are not the record's; {way_out}")


def completed(table: pa.Table, expected: pa.Schema) -> pa.Table:
    """`table` with the columns of `expected` that came after it was written as nulls."""
    columns = [
        _completed(table.column(column.name).combine_chunks(), column.type)
        if column.name in table.column_names
        else pa.nulls(table.num_rows, column.type)
        for column in expected
    ]
    return pa.Table.from_arrays(columns, schema=expected)


def _row(record: Any, names: Iterable[str]) -> dict[str, Any]:
    row = {}
    for name in names:
        value = getattr(record, name)
        if name in _SECTIONS and value is not None:
            value = {_COLUMNS.get(field.name, field.name): getattr(value, field.name) for field in fields(value)}
        row[name] = value
    return row


def _sample(row: dict[str, Any]) -> Sample:
    sections: dict[str, Any] = {
        name: _record(_SECTIONS[name][0], value) for name, value in row.items() if name in _SECTIONS and value is not None
    }
    return _record(Sample, {**row, **sections})


def _record(kind: type[Record], values: Mapping[str, Any]) -> Record:
    """A record of which only `values` are set."""
    record = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(record, _FIELDS.get(name, name), tuple(value) if isinstance(value, list) else value)
    return record


def _strangers(found: Iterable[pa.Field], expected: Iterable[pa.Field], prefix: str = "") -> Iterable[str]:
    """What is in one of both and not, or of another type, in the other; fields of a struct after the struct's name."""
    ours, theirs = ({column.name: column.type for column in columns} for columns in (expected, found))
    for name in theirs.keys() - ours.keys():
        yield f"{prefix}{name}"
    for name, dtype in ours.items():
        full = f"{prefix}{name}"
        if name not in theirs:
            if full not in _CAME_LATER:
                yield full
        elif pa.types.is_struct(dtype) and pa.types.is_struct(theirs[name]):
            yield from _strangers(theirs[name], dtype, f"{full}.")
        elif not theirs[name].equals(dtype):
            yield f"{full} ({theirs[name]})"


def _completed(array: pa.Array, dtype: pa.DataType) -> pa.Array:
    if array.type.equals(dtype):
        return array
    names = {field.name for field in array.type}
    children = [
        _completed(pc.struct_field(array, field.name), field.type) if field.name in names else pa.nulls(len(array), field.type)
        for field in dtype
    ]
    return pa.StructArray.from_arrays(children, fields=list(dtype), mask=array.is_null())
