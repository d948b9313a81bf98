"""The colours a builder picks from: the prompt's wish first, else a natural one."""

from __future__ import annotations

from synthseg.embedded.scenes.colors import COLORS, mix, tint
from synthseg.embedded.scenes.parts import BodyRequest, Color, View
from synthseg.errors import UsageProblem

BLACK: Color = (8.0, 8.0, 10.0)
WHITE: Color = (252.0, 252.0, 250.0)


def main_color(request: BodyRequest, *natural: str) -> Color:
    """Colour of the body's main surface: `request.color`, or one of the `natural` words. UsageProblem for an unknown word."""
    name = request.color if request.color is not None else request.choose(*natural)
    if name not in COLORS:
        raise UsageProblem(f"color: '{name}' is unknown; use one of {', '.join(sorted(COLORS))}")
    return tint(name, request.rng)


def choose_view(request: BodyRequest, *views: View) -> View:
    """The view asked for, or one of `views`."""
    return request.view or views[int(request.rng.integers(len(views)))]


def pick(request: BodyRequest, *names: str) -> Color:
    """One of the named colours, for surfaces that the prompt's colour does not govern."""
    return tint(request.choose(*names), request.rng)


def darker(color: Color, share: float) -> Color:
    """`color` moved towards black."""
    return mix(color, BLACK, share)


def lighter(color: Color, share: float) -> Color:
    """`color` moved towards white."""
    return mix(color, WHITE, share)
