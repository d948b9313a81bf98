"""Spreads props over a place: rows along the horizon, and loose ones in perspective."""

from __future__ import annotations

from collections.abc import Sequence

from synthseg.embedded.scenes.places.sprites import paste
from synthseg.embedded.scenes.places.stage import Backdrop


def scatter(backdrop: Backdrop, kinds: Sequence[str], horizon: float, far: float, near: float, size: float, count: int) -> None:
    """`count` props with feet between rows `far` and `near`, painted far to near.

    `size` is the height of one body unit for feet on the lowest row; it shrinks towards the horizon.
    """
    feet = sorted(backdrop.span(far, near) for _ in range(count))
    for foot in feet:
        depth = (foot - horizon) / (1.0 - horizon)
        kind = backdrop.choose(*kinds)
        paste(
            backdrop,
            kind,
            backdrop.span(-0.05, 1.05),
            foot,
            size * (0.06 + 0.94 * depth) * backdrop.span(0.8, 1.2),
            far=max(0.0, 0.75 - 1.6 * depth),
        )


def row(
    backdrop: Backdrop,
    kinds: Sequence[str],
    foot: float,
    size: float,
    step: float,
    *,
    far: float = 0.5,
    jitter: float = 0.25,
    skip: float = 0.0,
) -> None:
    """Props side by side along a row of feet; `step` is their distance as a share of the width."""
    x = backdrop.span(-step, 0.0)
    while x < 1.0 + step:
        if not backdrop.chance(skip):
            tall = size * backdrop.span(1 - jitter, 1 + jitter)
            paste(backdrop, backdrop.choose(*kinds), x, foot + backdrop.span(-0.008, 0.008), tall, far=far, shadow=False)
        x += step * backdrop.span(0.75, 1.25)
