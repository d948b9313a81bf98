"""Inline SVG charts. Colors are CSS variables of the page, so one drawing serves the dark and the light theme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup, escape

WIDTH: Final = 360.0
"""Width of every chart in user units; text is sized for it, so that it stays readable in a phone's single column."""

MIN_RANGE: Final = 1e-9
"""A narrower range is drawn as one value."""
SERIES_COLORS: Final = ("var(--accent)", "var(--second)", "var(--third)", "var(--muted)")
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Group:
    """One set of values of a histogram."""

    name: str
    values: Sequence[float]
    color: str


@dataclass(frozen=True, slots=True)
class Frame:
    """Plot area inside a chart, and the data range it shows."""

    left: float
    top: float
    right: float
    bottom: float
    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        """User coordinate of data `value`."""
        return self.left + (value - self.x0) / (self.x1 - self.x0 or 1.0) * (self.right - self.left)

    def y(self, value: float) -> float:
        """User coordinate of data `value`; larger is higher."""
        return self.bottom - (value - self.y0) / (self.y1 - self.y0 or 1.0) * (self.bottom - self.top)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers within [low, high]."""
    if high - low < MIN_RANGE:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((m * power for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - raw))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Tick text: 12k rather than 12000, no trailing zeros."""
    if abs(value) >= 1000:
        return f"{value / 1000:g}k"
    return f"{value:.3g}"


def histogram(groups: Sequence[Group], label: str, *, marker: float | None = None, marker_name: str = "", num_bins: int = 24) -> Markup:
    """Stacked histogram of all groups over one range, with a dashed line at `marker`."""
    everything = np.concatenate([np.asarray(g.values, np.float64) for g in groups])
    low, high = _range(everything if marker is None else np.append(everything, marker))
    edges = np.linspace(low, high, num_bins + 1)
    counts = [np.histogram(np.asarray(g.values, np.float64), edges)[0] for g in groups]
    top = float(np.sum(counts, axis=0).max()) or 1.0
    frame = Frame(34, 12, WIDTH - 8, 150, low, high, 0, top * 1.05)
    parts = [_axes(frame, label)]
    base = np.zeros(num_bins)
    for group, count in zip(groups, counts, strict=True):
        for i in np.flatnonzero(count):
            x, right = frame.x(edges[i]), frame.x(edges[i + 1])
            y, bottom = frame.y(base[i] + count[i]), frame.y(base[i])
            tip = f"{group.name}: {count[i]} in {number(edges[i])} to {number(edges[i + 1])}"
            parts.append(_rect(x + 0.6, y, right - x - 1.2, bottom - y, group.color, tip))
        base += count
    if marker is not None:
        x = frame.x(marker)
        anchor = "end" if x > (frame.left + frame.right) / 2 else "start"
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{frame.bottom}" class="mark"/>')
        parts.append(_text(x + (-5 if anchor == "end" else 5), 15, f"{marker_name} {number(marker)}", anchor, "strong"))
    return _svg(184, parts, f"Histogram of {label}")


def small_histogram(kept: Sequence[float], lost: Sequence[float], low: float, high: float, name: str) -> Markup:
    """One of a set of small histograms on the shared range [low, high]: kept in front, lost stacked above."""
    width, height, num_bins = 150.0, 54.0, 20
    edges = np.linspace(low, high, num_bins + 1)
    front = np.histogram(np.asarray(kept, np.float64), edges)[0]
    above = np.histogram(np.asarray(lost, np.float64), edges)[0]
    scale = (height - 6) / max(int((front + above).max()), 1)
    step = width / num_bins
    parts = [f'<line x1="0" x2="{width}" y1="{height - 0.5}" y2="{height - 0.5}" class="axis"/>']
    for i in range(num_bins):
        y = height - 1 - front[i] * scale
        if front[i]:
            parts.append(_rect(i * step + 0.4, y, step - 0.8, front[i] * scale, "var(--accent)", ""))
        if above[i]:
            parts.append(_rect(i * step + 0.4, y - above[i] * scale, step - 0.8, above[i] * scale, "var(--drop)", ""))
    return _svg(height, parts, f"Scores of {name}", width)


def lines(series: Mapping[str, Points], x_label: str, y_label: str) -> Markup:
    """Line chart of up to four series, each (x, y) in order of x; `y_label` is told to screen readers only."""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    low, high = min(0.0, *ys), max(0.0, *ys)
    frame = Frame(34, 8, WIDTH - 8, 156, min(xs), max(xs), low, high + 0.05 * (high - low) if high - low > MIN_RANGE else low + 1.0)
    parts = [_axes(frame, x_label)]
    for (name, points), color in zip(series.items(), SERIES_COLORS, strict=False):
        path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
        tip = escape(f"{name}: {number(points[0][1])} to {number(points[-1][1])}")
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" class="curve"><title>{tip}</title></polyline>')
        x, y = points[-1]
        parts.append(f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="2.6" fill="{color}"/>')
    return _svg(190, parts, f"{y_label} by {x_label}")


def rounds(rows: Sequence[tuple[int, int, int]]) -> Markup:
    """Bars of (round, candidates, accepted): the outline is what was asked, the filling what was accepted."""
    top = max(candidates for _, candidates, _ in rows) or 1
    frame = Frame(34, 22, WIDTH - 8, 150, 0, len(rows), 0, top * 1.08)
    parts = [_axes(frame, "round", x_ticks=False)]
    width = min((frame.right - frame.left) / len(rows) * 0.6, 54)
    for i, (index, candidates, accepted) in enumerate(rows):
        middle = frame.x(i + 0.5)
        tip = f"round {index}: {accepted} of {candidates} accepted"
        parts.append(_rect(middle - width / 2, frame.y(candidates), width, frame.bottom - frame.y(candidates), "var(--track)", tip))
        parts.append(_rect(middle - width / 2, frame.y(accepted), width, frame.bottom - frame.y(accepted), "var(--accent)", tip))
        parts.append(_text(middle, frame.y(candidates) - 5, f"{accepted / candidates:.0%}" if candidates else "", "middle", "strong"))
        parts.append(_text(middle, frame.bottom + 14, str(index), "middle"))
    return _svg(184, parts, "Accepted prompts by round")


def _range(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    pad = (high - low) * 0.02 or 0.05
    return low - pad, high + pad


def _axes(frame: Frame, x_label: str, *, x_ticks: bool = True) -> str:
    parts = []
    for value in ticks(frame.y0, frame.y1, 3):
        y = frame.y(value)
        parts.append(f'<line x1="{frame.left}" x2="{frame.right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(_text(frame.left - 6, y + 3.5, number(value), "end"))
    parts.append(f'<line x1="{frame.left}" x2="{frame.right}" y1="{frame.bottom}" y2="{frame.bottom}" class="axis"/>')
    if x_ticks:
        parts += [_text(frame.x(v), frame.bottom + 14, number(v), "middle") for v in ticks(frame.x0, frame.x1, 5)]
    parts.append(_text(frame.right, frame.bottom + 29, x_label, "end"))
    return "".join(parts)


def _rect(x: float, y: float, width: float, height: float, color: str, tip: str) -> str:
    title = f"<title>{escape(tip)}</title>" if tip else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.4):.1f}" height="{height:.1f}" rx="1" fill="{color}">{title}</rect>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>' if text else ""


def _svg(height: float, parts: Sequence[str], label: str, width: float = WIDTH) -> Markup:
    body = "".join(parts)
    # Every text among the parts went through `escape`; the rest is ours.
    return Markup(f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{body}</svg>')  # noqa: S704
