from __future__ import annotations

import pytest

from synthseg.report.summary import format_number, metric, summary_lines


def test_only_what_was_measured_is_listed() -> None:
    metrics = {"samples": {"ok": 1200, "planned": 1500, "dropped": 290, "failed": 10}, "segmenter": {"field_miou": 0.5}}
    assert summary_lines(metrics) == [
        ("Kept images", "1,200", "of 1500 planned; 290 dropped, 10 failed"),
        ("Segmenter, field mIoU", "0.500", ""),
    ]


def test_a_remark_whose_numbers_are_missing_is_left_out() -> None:
    assert summary_lines({"labels": {"relabelled_f1": 0.9}}) == [("Labels, F1", "0.900", "")]


@pytest.mark.parametrize(("value", "text"), [(1234, "1,234"), (0, "0"), (0.12345, "0.123"), (15.08, "15.1"), (20.0, "20"), (1.0, "1.000")])
def test_numbers_read_well(value: float, text: str) -> None:
    assert format_number(value) == text


def test_a_dotted_name_that_leads_nowhere_is_none() -> None:
    assert metric({"a": {"b": 1}}, "a.b.c") is None


def test_candidates_that_were_cut_short_come_with_the_setting_to_raise() -> None:
    lines = summary_lines({"prompts": {"reasons": {"cut_short": 12, "low_quality": 3}}})
    assert lines == [("Candidates cut short", "12", "their replies ended at prompts.max_tokens; raise it")]
