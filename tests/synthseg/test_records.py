from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from synthseg import records
from synthseg.errors import CorruptData
from synthseg.records import (
    Image,
    Outcome,
    Prompt,
    Sample,
    check_schema,
    completed,
    from_table,
    outcome_stats,
    present,
    sample_schema,
    to_table,
)

PROMPT = Prompt("p", "a horse", 1, "", 0.5, None, 0.25, "engine")
MADE = Sample("a", (13, 8), 0, 5, PROMPT, image=Image(b"png", 2, 3, "hash", "engine", "{}"), outcome=Outcome("ok", "images"))
FAILED = Sample("b", (), 1, 6, PROMPT, outcome=Outcome("failed", "images", error="boom", retryable=True))
SCHEMA = sample_schema("prompt", "image", "outcome")
ALL: tuple[records.SectionName, ...] = ("prompt", "image", "score", "labels", "mask", "outcome")


def without(table: pa.Table, column: str, field: str) -> pa.Table:
    """`table` as a version wrote it that did not have the field `field` in the section `column`."""
    section = table.column(column).combine_chunks()
    kept = [known for known in section.type if known.name != field]
    slim = pa.StructArray.from_arrays([pc.struct_field(section, known.name) for known in kept], fields=kept, mask=section.is_null())
    return table.set_column(table.schema.get_field_index(column), column, slim).replace_schema_metadata(SCHEMA.metadata)


def test_samples_come_back_as_they_were() -> None:
    assert from_table(to_table([MADE, FAILED], *ALL)) == [MADE, FAILED]


def test_what_was_not_read_is_not_taken_for_nothing() -> None:
    sample = from_table(to_table([MADE], "prompt", "image").select(["sample_id", "prompt"]))[0]
    assert (sample.sample_id, sample.prompt) == ("a", PROMPT)
    assert repr(sample) == f"Sample(sample_id='a', prompt={PROMPT!r})"
    for name in ("seed", "image", "outcome"):
        with pytest.raises(AttributeError):
            getattr(sample, name)


def test_a_section_that_nobody_has_written_cannot_be_used() -> None:
    assert present(MADE.image).width == 2
    with pytest.raises(CorruptData):
        present(FAILED.image)


def test_ends_are_counted() -> None:
    dropped = Sample("c", (), 0, 7, PROMPT, outcome=Outcome("dropped", "images", reason="unsafe"))
    assert outcome_stats([MADE, FAILED, dropped]) == {"outcomes": {"ok": 1, "failed": 1, "dropped": 1}, "reasons": {"unsafe": 1}}


def test_a_column_that_came_later_reads_as_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_CAME_LATER", frozenset({"image.sha256", "outcome"}))
    old = without(to_table([MADE, FAILED], "prompt", "image"), "image", "sha256")
    check_schema(old.schema, SCHEMA, "old.parquet")
    whole = completed(old, SCHEMA)
    assert whole.schema.equals(SCHEMA)
    made, failed = from_table(whole)
    assert (present(made.image).width, present(made.image).sha256, made.outcome) == (2, None, None)
    assert failed.image is None


@pytest.mark.parametrize(("column", "field"), [("image", "sha256"), ("prompt", "text")])
def test_a_column_that_was_always_there_is_missed_by_name(column: str, field: str) -> None:
    old = without(to_table([MADE], "prompt", "image", "outcome"), column, field)
    with pytest.raises(CorruptData, match=rf"^old.parquet: columns {column}.{field} are not the record's"):
        check_schema(old.schema, SCHEMA, "old.parquet")


def test_a_column_that_is_gone_or_has_another_type_is_refused_by_name() -> None:
    newer = to_table([MADE], "prompt", "image", "outcome").append_column("mood", pa.array(["sad"]))
    with pytest.raises(CorruptData, match=r"^x: columns mood are"):
        check_schema(newer.schema, SCHEMA, "x")
    other = sample_schema("prompt", "image", "outcome")
    other = other.set(other.get_field_index("seed"), pa.field("seed", pa.string()))
    with pytest.raises(CorruptData, match=r"^x: columns seed \(string\) are"):
        check_schema(other, SCHEMA, "x")
