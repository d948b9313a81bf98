"""A run in a few lines, from its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from synthseg.method.prompts.replies import CUT_SHORT

CUT_SHORT_HINT: Final = "their replies ended at prompts.max_tokens; raise it"
_LINES: Final = (
    ("Kept images", "samples.ok", "of {planned} planned; {dropped} dropped, {failed} failed", "samples"),
    ("Accepted prompts", "prompts.accepted", "of {candidates} candidates in {rounds} rounds", "prompts"),
    ("Labels, F1", "labels.relabelled_f1", "before relabelling {pseudo_f1:.3f}", "labels"),
    ("Classifier, field mAP", "classifier.field_map", "", ""),
    ("Segmenter, field mIoU", "segmenter.field_miou", "", ""),
    ("Training-free control", "control.training_free_miou", "", ""),
    ("Images a second", "images_per_s", "", ""),
)


def metric(metrics: Mapping[str, Any], name: str) -> Any:
    """Value at the dotted `name`, None where the run has not measured it."""
    value: Any = metrics
    for key in name.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def summary_lines(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(what, value, remark) for everything that was measured, in the order of the stages."""
    lines = []
    for label, name, remark, section in _LINES:
        value = metric(metrics, name)
        if value is None:
            continue
        lines.append((label, format_number(value), _remark(remark, metric(metrics, section) if section else {})))
    if cut := metric(metrics, f"prompts.reasons.{CUT_SHORT}"):
        lines.append(("Candidates cut short", format_number(cut), CUT_SHORT_HINT))
    return lines


def format_number(value: float) -> str:
    """Whole numbers with thousands separated, others to three significant places."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 10):
        return f"{int(value):,}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _remark(template: str, values: Any) -> str:
    try:
        return template.format(**values)
    except (KeyError, TypeError, ValueError):
        return ""
