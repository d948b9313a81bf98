"""The page of a run: OUT/report/index.html, one file that asks the network for nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from synthseg.config.loading import to_toml
from synthseg.method.prompts.replies import CUT_SHORT
from synthseg.redaction import redacted
from synthseg.report import charts
from synthseg.report.charts import Group
from synthseg.report.collect import DROPPED_STATE, STATES, Findings, collect
from synthseg.report.pictures import hex_color
from synthseg.report.summary import CUT_SHORT_HINT, format_number, metric
from synthseg.sample_plan import CONTEXT
from synthseg.stages import Stage
from synthseg.store.run_folder import RunFolder
from synthseg.taxonomy import BACKGROUND_ID, VOID_ID

PAGE: Final = "report/index.html"
_ACCENT, _LOST = "var(--accent)", "var(--drop)"
_X_KEYS: Final = ("iteration", "step", "epoch")
_NOT_CURVES: Final = (*_X_KEYS, "fold", "seed", "learning_rate")
_MAX_POINTS: Final = 240


def build_report(out: str) -> str:
    """Write the page of the run in `out` and return its path. UsageProblem when there is no run; what is missing is left out."""
    folder = RunFolder.open(out)
    folder.files.write(PAGE, render(collect(folder)).encode())
    return folder.files.path(PAGE)


def render(found: Findings) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("synthseg.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    metrics = found.metrics
    return environment.get_template("template.html").render(
        title=f"{found.config.preset}, seed {found.config.seed}",
        run=found.run,
        config=found.config,
        toml=redacted(to_toml(found.config)),
        dataset=redacted(found.config.evaluation.dataset),
        started=_date(found.first_event_s),
        precision=_precision(found.run),
        notes=found.notes,
        headline=_headline(found),
        cards=_cards(metrics),
        stages=_stages(metrics),
        reasons=_shares(metric(metrics, "samples.dropped_by_reason") or {}),
        outcomes=_outcomes(metric(metrics, "samples.per_class") or {}),
        prompts=_prompt_charts(found),
        template_control=_template_control(metrics),
        gallery=found.images.gallery,
        gallery_filters=_filters(found),
        scores=_score_charts(found),
        labels=_labels(found),
        curves=[
            *_curves("Classifier", metric(metrics, "classifier.curve")),
            *_curves("Segmenter", metric(metrics, "segmenter.curve")),
        ],
        per_class=_per_class(metrics),
        panels=found.field_panels,
        legend=_legend(found, found.field_classes),
        masks=found.mask_panels,
        mask_legend=_legend(found, found.mask_classes),
        unknown_share=metric(metrics, "masks.unknown_share"),
        seconds=_seconds(metric(metrics, "stage_seconds") or {}),
    )


def _precision(run: Mapping[str, Any]) -> str:
    """What the networks computed in: in one word where all did alike, else stage by stage. Empty where nothing is noted."""
    noted: dict[str, set[str]] = {}
    for start in run.get("hardware") or ():
        for stage, used in (start.get("precision") or {}).items():
            noted.setdefault(stage, set()).update(used)
    kinds = set().union(*noted.values())
    if len(kinds) <= 1:
        return next(iter(kinds), "")
    return ", ".join(f"{stage} {' and '.join(sorted(used))}" for stage, used in noted.items())


def _date(seconds: float | None) -> str:
    try:
        return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%d %B %Y, %H:%M UTC")
    except (OverflowError, ValueError, OSError):  # the clock of that machine was wrong beyond what a date can say
        return ""


def _headline(found: Findings) -> str:
    kept, miou, control = (metric(found.metrics, name) for name in ("samples.ok", "segmenter.field_miou", "control.training_free_miou"))
    names = f"{len(found.config.classes)} class name{'s' if len(found.config.classes) != 1 else ''}"
    if kept is None:
        return f"{names} are on their way to a segmentation network. This run has not finished; here is what it has so far."
    if miou is None:
        return f"{names} became {kept:,} labelled images. The segmentation network is not measured yet."
    sentence = f"{names} became {kept:,} labelled images and a segmentation network with {miou:.3f} mIoU on the evaluation split"
    if control is None:
        return sentence + "."
    gain = (miou - control) * 100
    return f"{sentence}, {abs(gain):.1f} points {'above' if gain >= 0 else 'below'} the training-free control."


def _cards(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The headline numbers: name, value, what it stands beside, and up to two bars in [0, 1]."""

    def of(name: str) -> Any:
        return metric(metrics, name)

    def bars(*pairs: tuple[str, Any]) -> list[tuple[str, float]]:
        return [(name, float(value)) for name, value in pairs if value is not None]

    cards = [
        (
            "Segmenter mIoU",
            of("segmenter.field_miou"),
            "",
            bars(("trained", of("segmenter.field_miou")), ("control", of("control.training_free_miou"))),
        ),
        ("Kept images", of("samples.ok"), f"of {of('samples.planned') or 0:,} planned", []),
        ("Accepted prompts", of("prompts.accepted"), f"of {of('prompts.candidates') or 0:,} candidates", []),
        (
            "Label F1",
            of("labels.relabelled_f1"),
            "",
            bars(("relabelled", of("labels.relabelled_f1")), ("CLIP only", of("labels.pseudo_f1"))),
        ),
        ("Classifier mAP", of("classifier.field_map"), "on the evaluation split", []),
        ("Images a second", of("images_per_s"), "painted, scored and stored", []),
    ]
    return [
        {"name": name, "value": format_number(value), "remark": remark, "bars": shown}
        for name, value, remark, shown in cards
        if value is not None and not (isinstance(value, float) and math.isnan(value))
    ]


def _stages(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for stage in metrics.get("stages") or []:
        total = max(stage.get("planned") or 0, 1)
        shares = {kind: 100 * (stage.get(kind) or 0) / total for kind in ("ok", "dropped", "failed")}
        rows.append({"planned": 0, "ok": 0, "dropped": 0, "failed": 0, "seconds": 0.0, "rate": 0.0, **stage, "shares": shares})
    return rows


def _shares(counts: Mapping[str, int]) -> list[tuple[str, int, float]]:
    """(name, count, percent of the largest), largest first."""
    top = max(counts.values(), default=0) or 1
    return [(name, count, 100 * count / top) for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]


def _outcomes(per_class: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    top = max((counts.get("planned", 0) for counts in per_class.values()), default=0) or 1
    kinds = ("ok", "dropped", "failed")
    return [
        {
            "name": name,
            "planned": counts.get("planned", 0),
            **{kind: counts.get(kind, 0) for kind in kinds},
            "shares": {kind: 100 * counts.get(kind, 0) / top for kind in kinds},
        }
        for name, counts in per_class.items()
    ]


def _prompt_charts(found: Findings) -> dict[str, Any]:
    stats, settings = found.prompts, found.config.prompts
    if not stats.by_round:
        return {}

    def split(values: Mapping[bool, Sequence[float]], label: str, marker: float | None, name: str) -> Markup | None:
        groups = [Group("accepted", values[True], _ACCENT), Group("refused", values[False], _LOST)]
        return charts.histogram(groups, label, marker=marker, marker_name=name) if values[True] or values[False] else None

    # With a pass rate every class measures a delta of its own, so no single line would be true.
    fixed_delta = None if settings.diversity_pass_rate > 0 else settings.diversity_threshold
    return {
        "rounds": charts.rounds([(index, asked, accepted) for index, (asked, accepted) in sorted(stats.by_round.items())]),
        "neighbour": split(stats.neighbour, "cosine to the nearest accepted prompt", fixed_delta, "delta"),
        "class_similarity": split(stats.class_similarity, "similarity to the class", settings.min_class_similarity or None, "minimum"),
        "quality": split(stats.quality, "quality score", settings.min_quality, "minimum"),
        "reasons": _shares(stats.reasons),
        "num_cut": stats.reasons[CUT_SHORT],
        "cut_hint": CUT_SHORT_HINT,
    }


def _template_control(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(what, this run, template control) where both were measured."""
    names = (
        ("candidates", "Candidates"),
        ("accepted", "Accepted"),
        ("acceptance_rate", "Acceptance rate"),
        ("mean_neighbour_similarity", "Mean neighbour similarity"),
    )
    rows = []
    for key, label in names:
        ours, control = metric(metrics, f"prompts.{key}"), metric(metrics, f"template_control.{key}")
        if ours is not None and control is not None:
            rows.append((label, format_number(ours), format_number(control)))
    return rows


def _filters(found: Findings) -> list[tuple[str, int]]:
    """Gallery filters with their number of pictures, in class order."""
    names = [*found.config.classes, CONTEXT]
    counted = [(name, sum(p.owner == name and p.status == "ok" for p in found.images.gallery)) for name in names]
    counted.append(("dropped", sum(p.status != "ok" for p in found.images.gallery)))
    return [(name, count) for name, count in counted if count]


def _score_charts(found: Findings) -> dict[str, Any]:
    kept, lost = found.images.kept, found.images.lost
    kept_all = [score for scores in kept.values() for score in scores]
    lost_all = [score for scores in lost.values() for score in scores]
    if not kept_all and not lost_all:
        return {}
    low, high = min(kept_all + lost_all), max(kept_all + lost_all)
    owners = [name for name in (*found.config.classes, CONTEXT) if name in kept or name in lost]
    return {
        "all": charts.histogram([Group("kept", kept_all, _ACCENT), Group("dropped", lost_all, _LOST)], "CLIP score"),
        "small": [
            {
                "name": name,
                "chart": charts.small_histogram(kept[name], lost[name], low, high if high > low else low + 1, name),
                "median": sorted(kept[name])[len(kept[name]) // 2] if kept[name] else None,
                "kept": len(kept[name]),
            }
            for name in owners
        ],
        "range": (low, high),
    }


def _labels(found: Findings) -> dict[str, Any]:
    """Before and after relabelling: the table of changes in percent of its row, and the measured quality."""
    changes = found.images.changes
    columns = [*STATES.values(), DROPPED_STATE]
    rows = []
    for before in STATES.values():
        total = sum(changes[before, after] for after in columns)
        cells = [(changes[before, after], 100 * changes[before, after] / total if total else 0.0) for after in columns]
        rows.append((before, total, cells))
    quality = []
    for key, label in (("f1", "F1"), ("precision", "Precision"), ("recall", "Recall")):
        pair = [metric(found.metrics, f"labels.{source}_{key}") for source in ("pseudo", "relabelled")]
        if all(value is not None for value in pair):
            quality.append((label, *pair))
    return {"columns": columns, "rows": rows, "quality": quality} if changes or quality else {}


def _curves(model: str, curve: Any) -> list[dict[str, Any]]:
    """One chart a measured quantity of `model`; lines of several folds share it. A loss that is 0 throughout is switched off: no chart."""
    rows = [row for row in curve if isinstance(row, Mapping)] if isinstance(curve, list) else []
    series: dict[str, dict[str, list[tuple[float, float]]]] = {}
    x_name = next((key for key in _X_KEYS if any(key in row for row in rows)), "")
    for index, row in enumerate(rows):
        for key, value in row.items():
            if key not in _NOT_CURVES and not key.endswith("_s") and isinstance(value, int | float) and math.isfinite(value):
                line = f"fold {row['fold']}" if "fold" in row else key
                series.setdefault(key, {}).setdefault(line, []).append((float(row.get(x_name, index)), float(value)))
    return [
        {
            "name": f"{model}, {key.replace('_', ' ')}",
            "keys": list(zip(by_line, charts.SERIES_COLORS, strict=False)) if len(by_line) > 1 else [],
            "chart": charts.lines({name: _thinned(points) for name, points in by_line.items()}, x_name or "step", f"{model} {key}"),
        }
        for key, by_line in series.items()
        if any(value for points in by_line.values() for _, value in points)
    ]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `_MAX_POINTS` points, each the mean of the ones it stands for."""
    if len(points) <= _MAX_POINTS:
        return points
    cuts = [round(i * len(points) / _MAX_POINTS) for i in range(_MAX_POINTS + 1)]
    groups = [points[a:b] for a, b in pairwise(cuts)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _per_class(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """IoU of the trained network and of the control by class, best first."""
    trained, control = metric(metrics, "segmenter.per_class") or {}, metric(metrics, "control.per_class") or {}
    names = sorted({*trained, *control}, key=lambda name: (-(trained.get(name) or 0.0), name))
    return [{"name": name, "trained": trained.get(name), "control": control.get(name)} for name in names]


def _legend(found: Findings, classes: Sequence[int]) -> list[tuple[str, str]]:
    names = ["background", *found.config.classes]
    return [(names[i], hex_color(i)) for i in classes if BACKGROUND_ID <= i < len(names) and i != VOID_ID]


def _seconds(stage_seconds: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """(stage, seconds, percent of the run)."""
    total = sum(stage_seconds.values()) or 1.0
    order = [str(stage) for stage in Stage]
    ranked = sorted(stage_seconds, key=lambda name: (order.index(name) if name in order else len(order), name))
    return [(name, stage_seconds[name], 100 * stage_seconds[name] / total) for name in ranked]
