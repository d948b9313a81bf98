"""Samples and prompt candidates as plain rows, which tests write down and change more easily than records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from synthseg.records import CANDIDATE_SCHEMA, PromptCandidate, SectionName, candidates_from_table, sample_schema


def samples(rows: Iterable[Mapping[str, Any]], *sections: SectionName) -> pa.Table:
    """Table of samples in the fixed schema; a section is a nested mapping, and what a row lacks is null."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=sample_schema(*sections))


def outcome(status: str, stage: str, reason: str = "", error: str = "") -> dict[str, Any]:
    """The section outcome."""
    return {"status": status, "stage": stage, "reason": reason, "error": error, "retryable": False}


def candidate_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Table of prompt candidates in the fixed schema."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=CANDIDATE_SCHEMA)


def candidates(rows: Iterable[Mapping[str, Any]]) -> list[PromptCandidate]:
    """Prompt candidates."""
    return candidates_from_table(candidate_table(rows))
