"""The two worlds: what training images look like, and what the held-out field images look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Look = Literal["training", "field"]
Odds = tuple[tuple[str, float], ...]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class World:
    """All that differs between images a generator paints and the stand-in for real photographs."""

    look: Look
    """Which palettes, texture recipes and body proportions are used."""
    light_odds: Odds
    """Light words and their weights where the prompt names none."""
    weather_odds: Odds
    exposure: Range
    """Range of the global brightness factor."""
    cast_sigma: float
    """Standard deviation of the random colour cast, as a factor on each channel."""
    noise_sigma: float
    """Sensor noise in 0..255 units, alike on all channels."""
    chroma_sigma: float
    """Sensor noise in 0..255 units, apart on each channel and blurred over pixels."""
    blur_sigma: Range
    """Lens blur in pixels of the finished image."""
    jpeg_quality: tuple[int, int] | None
    """Range of JPEG qualities the image passes through; None for no JPEG."""
    clutter: tuple[int, int]
    """Fewest and most loose props of a place."""
    object_height: Range
    """Height of the main object as a share of the image where the prompt names no size."""
    overlap: float
    """How much of a farther object's width a nearer one may cover, 0..1."""
    foreground_probability: float
    """Chance of something out of place in front of the objects: leaves, a post."""
    soft_background: float
    """Chance that the background is out of focus."""
    added_probability: float
    """Chance of a class nobody asked for."""
    omitted_probability: float
    """Chance that an asked class is missing."""
    deformed_probability: float
    """Chance that a body is badly out of shape."""


TRAINING = World(
    look="training",
    light_odds=(
        ("noon", 4.0),
        ("soft light", 3.0),
        ("golden hour", 2.0),
        ("overcast", 2.0),
        ("sunrise", 1.0),
        ("dusk", 0.7),
        ("night", 0.4),
    ),
    weather_odds=(("clear", 6.0), ("cloudy", 3.0), ("fog", 0.4), ("rain", 0.3), ("snow", 0.2)),
    exposure=(0.92, 1.08),
    cast_sigma=0.02,
    noise_sigma=3.0,
    chroma_sigma=0.0,
    blur_sigma=(0.0, 0.35),
    jpeg_quality=None,
    clutter=(2, 6),
    object_height=(0.50, 0.88),
    overlap=0.35,
    foreground_probability=0.10,
    soft_background=0.35,
    added_probability=0.22,
    omitted_probability=0.07,
    deformed_probability=0.05,
)

FIELD = World(
    look="field",
    light_odds=(
        ("noon", 3.0),
        ("soft light", 1.0),
        ("golden hour", 2.0),
        ("overcast", 3.0),
        ("backlit", 1.5),
        ("dusk", 1.2),
        ("night", 0.9),
    ),
    weather_odds=(("clear", 4.0), ("cloudy", 4.0), ("fog", 0.7), ("rain", 0.7), ("snow", 0.3)),
    exposure=(0.78, 1.22),
    cast_sigma=0.05,
    noise_sigma=5.0,
    chroma_sigma=7.0,
    blur_sigma=(0.25, 0.8),
    jpeg_quality=(45, 85),
    clutter=(5, 10),
    object_height=(0.42, 1.0),
    overlap=0.5,
    foreground_probability=0.25,
    soft_background=0.2,
    added_probability=0.0,
    omitted_probability=0.0,
    deformed_probability=0.0,
)
