"""Paint, glass, metal and rubber of vehicles: the palette roles they share and parts made of each material."""

from __future__ import annotations

from synthseg.embedded.scenes.colors import COLORS, mix, tint
from synthseg.embedded.scenes.geometry import Outline
from synthseg.embedded.scenes.parts import BodyRequest, Color, Part
from synthseg.errors import UsageProblem


def vehicle_palette(
    request: BodyRequest, paints: tuple[str, ...], seconds: tuple[str, ...] = ("white", "gray", "black")
) -> dict[str, Color]:
    """Palette of a vehicle; `request.color` or one of `paints` is the main paint, one of `seconds` the stripe's.

    Raises UsageProblem for a colour word that `synthseg.embedded.scenes.colors` does not know.
    """
    rng = request.rng
    word = request.color or request.choose(*paints)
    if word not in COLORS:
        raise UsageProblem(f"color: {word!r} is not a known colour word; use one of {', '.join(COLORS)}")
    second = request.choose(*[name for name in seconds if name != word])
    paint = tint(word, rng)
    sky = rng.uniform(0.8, 1.25)
    return {
        "paint": paint,
        "second": tint(second, rng),
        "shadow": mix(paint, (20.0, 20.0, 24.0), 0.55),
        "glass": (44.0 * sky, 58.0 * sky, 76.0 * sky),
        "sheen": (118.0 * sky, 142.0 * sky, 166.0 * sky),
        "tyre": tint("black", rng, 6.0),
        "dark": (34.0, 34.0, 38.0),
        "metal": tint("silver", rng, 10.0),
        "steel": tint("gray", rng, 12.0),
        "lamp": (250.0, 244.0, 214.0),
        "tail": (206.0, 26.0, 24.0),
        "signal": (240.0, 150.0, 40.0),
        "plate": (232.0, 230.0, 206.0),
        "seat": tint(request.choose("black", "brown", "black", "gray"), rng),
        "wood": tint("brown", rng),
    }


def paint(outline: Outline, role: str = "paint", shade: float = 1.0, bulge: float = 0.35) -> Part:
    """Glossy painted sheet."""
    return Part(outline, role, bulge=bulge, shade=shade, gloss=0.25)


def glass(outline: Outline, role: str = "glass", shade: float = 1.0) -> Part:
    """Window pane."""
    return Part(outline, role, bulge=0.35, shade=shade, gloss=0.6)


def metal(outline: Outline, role: str = "metal", shade: float = 1.0, bulge: float = 0.8) -> Part:
    """Bare or plated metal."""
    return Part(outline, role, bulge=bulge, shade=shade, gloss=0.5)


def plain(outline: Outline, role: str = "dark", shade: float = 1.0, bulge: float = 0.3) -> Part:
    """Dull surface: rubber, plastic, shadow gaps, lamps."""
    return Part(outline, role, bulge=bulge, shade=shade)
