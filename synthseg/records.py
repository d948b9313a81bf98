"""The record that flows: one `Sample` per image, and one `PromptCandidate` per prompt that was ever considered.

A sample grows by sections; each section is a struct column written once by one stage. Schemas are fixed and versioned,
never inferred: a table of another version is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import pyarrow as pa

from synthseg.errors import CorruptData

SCHEMA_VERSION: Final = 1
_VERSION_KEY: Final = b"synthseg.schema_version"

PRESENT: Final = 1
ABSENT: Final = 0
UNKNOWN: Final = -1
"""Label values: every loss ignores UNKNOWN."""

Section = Literal["key", "prompt", "image", "score", "labels", "outcome"]
Status = Literal["ok", "dropped", "failed"]

KEY_FIELDS: Final = (
    pa.field("sample_id", pa.string(), nullable=False),
    pa.field("class_ids", pa.list_(pa.int16()), nullable=False),
    pa.field("ordinal", pa.int32(), nullable=False),
    pa.field("seed", pa.int64(), nullable=False),
)

PROMPT: Final = pa.struct(
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
)

IMAGE: Final = pa.struct(
    [
        ("bytes", pa.large_binary()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.string()),
        ("engine", pa.string()),
        ("parameters", pa.string()),
    ]
)

SCORE: Final = pa.struct(
    [
        ("clip_score", pa.float32()),
        ("image_probs", pa.list_(pa.float32())),
        ("prompt_probs", pa.list_(pa.float32())),
        ("safety", pa.string()),
        ("kept", pa.bool_()),
        ("reason", pa.string()),
    ]
)

LABELS: Final = pa.struct([("label", pa.list_(pa.int8())), ("probs", pa.list_(pa.float32())), ("source", pa.string())])

OUTCOME: Final = pa.struct(
    [("status", pa.string()), ("stage", pa.string()), ("reason", pa.string()), ("error", pa.string()), ("retryable", pa.bool_())]
)

_SECTIONS: Final[Mapping[str, pa.DataType]] = {
    "prompt": PROMPT,
    "image": IMAGE,
    "score": SCORE,
    "labels": LABELS,
    "outcome": OUTCOME,
}

PROMPT_CANDIDATE: Final = pa.schema(
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
"""`kind`: target (asks for the class), context (its usual surroundings without it), bare (it without them).
`class_ids` is empty for context prompts. `reason` is empty for an accepted candidate, else why it was refused."""


def sample_schema(*sections: Section) -> pa.Schema:
    """Schema of samples that carry the key and `sections`, in the record's own order."""
    fields = list(KEY_FIELDS)
    fields += [pa.field(name, dtype) for name, dtype in _SECTIONS.items() if name in sections]
    return pa.schema(fields, metadata={_VERSION_KEY: str(SCHEMA_VERSION)})


def samples(rows: Sequence[Mapping[str, Any]], *sections: Section) -> pa.Table:
    """Table of `rows` (one mapping a sample, a section as a nested mapping) in the fixed schema."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=sample_schema(*sections))


def part_of(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    """What `columns` name of `schema`, in its order: a whole column such as `image`, or one field of a section, `image.sha256`."""
    fields = []
    for field in schema:
        inner = [column.partition(".")[2] for column in columns if column.partition(".")[0] == field.name]
        if inner:
            fields.append(field.with_type(pa.struct([f for f in field.type if f.name in inner])) if all(inner) else field)
    return pa.schema(fields, metadata=schema.metadata)


def check_schema(found: pa.Schema, expected: pa.Schema, source: str) -> None:
    """CorruptData names `source` where version, columns or types of `found` differ from the expected ones."""
    version = (found.metadata or {}).get(_VERSION_KEY, b"none").decode()
    if version != str(SCHEMA_VERSION):
        raise CorruptData(f"{source}: record schema version {version}, this program reads {SCHEMA_VERSION}; run the version that wrote it")
    if not found.equals(expected, check_metadata=False):
        raise CorruptData(f"{source}: columns {found.names} are not the record's {expected.names}; delete the shard and run again")


def outcome(status: Status, stage: str, reason: str = "", error: str = "", retryable: bool = False) -> dict[str, Any]:
    """The outcome section of one sample."""
    return {"status": status, "stage": stage, "reason": reason, "error": error, "retryable": retryable}
