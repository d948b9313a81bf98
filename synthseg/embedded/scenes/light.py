"""Light and weather: what they do to the sky, to bodies and to the finished image."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from synthseg.embedded.scenes.parts import Color
from synthseg.embedded.scenes.raster import Light
from synthseg.embedded.scenes.textures import noise
from synthseg.embedded.scenes.worlds import Odds, World

Image = NDArray[np.uint8]
Glow = tuple[float, float, float, Color]
"""x, y, radius as shares of the image's width, height and height, and the colour of a lamp."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What a light word means. Sun height 0 is the horizon, 1 the zenith."""

    sky_top: Color
    sky_bottom: Color
    gain: tuple[float, float, float]
    ambient: float
    diffuse: float
    sun_height: float
    sun: Color | None = None
    dark: float = 0.0
    shadow: float = 0.35
    behind: bool = False


_RECIPES: dict[str, _Recipe] = {
    "noon": _Recipe((78, 138, 214), (190, 216, 238), (1.02, 1.0, 0.98), 0.58, 0.62, 0.9, shadow=0.45),
    "soft light": _Recipe((140, 176, 214), (222, 228, 230), (1.02, 1.0, 0.97), 0.70, 0.42, 0.6, shadow=0.25),
    "overcast": _Recipe((150, 160, 172), (208, 212, 214), (0.94, 0.97, 1.0), 0.76, 0.30, 0.8, shadow=0.20),
    "sunrise": _Recipe((126, 150, 206), (250, 200, 160), (1.08, 0.96, 0.88), 0.56, 0.60, 0.2, sun=(255, 226, 170), shadow=0.38),
    "golden hour": _Recipe((112, 148, 196), (252, 206, 130), (1.12, 0.98, 0.80), 0.54, 0.66, 0.25, sun=(255, 220, 130), shadow=0.42),
    "dusk": _Recipe((62, 66, 124), (230, 140, 120), (0.86, 0.72, 0.82), 0.56, 0.46, 0.15, sun=(255, 160, 110), dark=0.35, shadow=0.25),
    "night": _Recipe((10, 14, 40), (40, 50, 98), (0.62, 0.68, 0.92), 0.62, 0.50, 0.6, dark=1.0, shadow=0.3),
    "backlit": _Recipe((180, 200, 226), (255, 246, 224), (1.02, 0.98, 0.94), 0.38, 0.46, 0.35, sun=(255, 250, 224), shadow=0.5,
        behind=True),
    "studio light": _Recipe((196, 198, 202), (226, 226, 226), (1.0, 1.0, 1.0), 0.64, 0.56, 0.7, shadow=0.3),
}  # fmt: skip

LIGHTS: tuple[str, ...] = tuple(_RECIPES)
WEATHERS: tuple[str, ...] = ("clear", "cloudy", "fog", "rain", "snow", "wind")
_CLOUDS = {"clear": (0.05, 0.35), "cloudy": (0.5, 0.85), "fog": (0.4, 0.7), "rain": (0.85, 1.0), "snow": (0.8, 1.0), "wind": (0.3, 0.7)}
_HAZE = {"clear": 0.12, "cloudy": 0.18, "fog": 0.62, "rain": 0.34, "snow": 0.36, "wind": 0.15}


@dataclass(slots=True)
class Mood:
    """One image's light and weather, fixed before anything is painted."""

    light_word: str
    weather: str
    light: Light
    sky_top: Color
    sky_bottom: Color
    clouds: float
    """Cloud cover, 0..1."""
    haze: float
    """How much far things fade into the sky, 0..1."""
    dark: float
    """0 by day, 1 by night."""
    shadow: float
    """Strength of cast shadows, 0..1."""
    sun_left: bool
    sun_height: float
    sun: Color | None
    gain: tuple[float, float, float]
    glows: list[Glow] = field(default_factory=list)


def draw_word(odds: Odds, rng: np.random.Generator) -> str:
    """A word drawn by its weight."""
    weights = np.array([w for _, w in odds])
    return odds[int(rng.choice(len(odds), p=weights / weights.sum()))][0]


def make_mood(light: str | None, weather: str | None, world: World, rng: np.random.Generator) -> Mood:
    """The mood for a light word and a weather word of `LIGHTS` and `WEATHERS`; None draws one by the world's odds."""
    word = light or draw_word(world.light_odds, rng)
    sky = weather or draw_word(world.weather_odds, rng)
    recipe = _RECIPES[word]
    left = bool(rng.random() < 0.5)
    low, high = _CLOUDS[sky]
    clouds = float(rng.uniform(low, high))
    gray = 0.55 * max(0.0, clouds - 0.4) / 0.6 if recipe.dark < 0.5 else 0.2
    harsh = 1.0 if world.look == "training" else 1.15
    low, high = world.exposure
    exposure = float(rng.uniform(low if recipe.dark < 0.3 else 1.0, high))
    cast = np.clip(rng.normal(1.0, world.cast_sigma, 3), 0.85, 1.15)
    side = float(rng.uniform(0.25, 0.6)) * (-1 if left else 1)
    direction = np.array([side, -0.35 - 0.4 * recipe.sun_height, -0.1 if recipe.behind else 0.62])
    direction /= np.linalg.norm(direction)
    x, y, z = (float(v) for v in direction)
    warm = tuple(0.5 + 0.5 * g for g in recipe.gain) if recipe.dark < 0.5 else (1.0, 1.0, 1.0)
    gr, gg, gb = (float(g * c * exposure) for g, c in zip(recipe.gain, cast, strict=True))
    return Mood(
        light_word=word,
        weather=sky,
        light=Light((x, y, z), recipe.ambient / harsh, recipe.diffuse * harsh * (1.0 - 0.3 * gray), (warm[0], warm[1], warm[2])),
        sky_top=_toward_gray(recipe.sky_top, gray),
        sky_bottom=_toward_gray(recipe.sky_bottom, gray),
        clouds=clouds,
        haze=_HAZE[sky],
        dark=recipe.dark,
        shadow=recipe.shadow * (1.0 - 0.6 * gray) * harsh,
        sun_left=left,
        sun_height=recipe.sun_height,
        sun=recipe.sun if clouds < 0.7 else None,
        gain=(gr, gg, gb),
    )


def finish(image: Image, mood: Mood, world: World, indoor: bool, rng: np.random.Generator) -> Image:
    """The finished picture: colour cast, fog, rain or snow, lamps at night, lens and sensor. (H, W, 3) uint8 in and out."""
    height, width = image.shape[:2]
    gain = np.asarray(mood.gain, np.float32)
    if indoor:
        gain = 0.45 * gain + 0.55 * np.array([1.04, 1.0, 0.93], np.float32) * (1.0 - 0.25 * mood.dark)
    picture = image.astype(np.float32) * gain
    if mood.glows and mood.dark > 0.2:
        lamp = np.zeros_like(picture)
        for x, y, radius, color in mood.glows:
            _add_glow(lamp, x * width, y * height, radius * height, color)
        lamp = 230.0 * (1.0 - np.exp(-lamp / 230.0))
        picture = picture * (1.0 + 1.1 * mood.dark * lamp / 255.0) + (0.2 if indoor else 0.5) * mood.dark * lamp
    if not indoor:
        if mood.weather == "fog":
            fog = np.asarray(mood.sky_bottom, np.float32) * gain
            picture += (fog - picture) * float(rng.uniform(0.2, 0.38))
        elif mood.weather in ("rain", "snow"):
            drops = _drops(mood.weather, int(rng.integers(4)))
            dy, dx = (int(v) for v in rng.integers(0, 128, 2))
            layer = cv2.resize(drops[dy : dy + 128, dx : dx + 128], (width, height), interpolation=cv2.INTER_LINEAR)
            strength = (46.0 if mood.weather == "rain" else 150.0) * (0.6 + 0.4 * (1 - mood.dark))
            picture += (layer * strength)[..., None]
    picture *= _vignette(height, width, 0.16 if world.look == "training" else 0.30)[..., None]
    sigma = float(rng.uniform(*world.blur_sigma))
    if sigma > 0.12:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigmaX=sigma * max(1.0, height / 256)), np.float32)
    grain = float(rng.uniform(0.5, 1.0))
    picture += _window(_luma_grain(), height, width, rng) * (world.noise_sigma * grain * (1.0 + 0.3 * mood.dark))
    if world.chroma_sigma > 0:
        picture += _window(_chroma_grain(), height, width, rng) * (world.chroma_sigma * grain)
    done: Image = np.clip(picture, 0, 255).astype(np.uint8)
    if world.jpeg_quality is not None:
        quality = int(rng.integers(world.jpeg_quality[0], world.jpeg_quality[1] + 1))
        _, coded = cv2.imencode(".jpg", done[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        done = np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
    return done


def _toward_gray(color: Color, share: float) -> Color:
    mean = sum(color) / 3
    r, g, b = (c + (0.94 * mean - c) * share for c in color)
    return r, g, b


def _add_glow(target: NDArray[np.float32], x: float, y: float, radius: float, color: Color) -> None:
    """Add a round glow; additive, clipped later."""
    height, width = target.shape[:2]
    x0, x1 = max(int(x - radius), 0), min(int(x + radius) + 1, width)
    y0, y1 = max(int(y - radius), 0), min(int(y + radius) + 1, height)
    if x0 >= x1 or y0 >= y1:
        return
    dx = (np.arange(x0, x1, dtype=np.float32) - x) / radius
    dy = (np.arange(y0, y1, dtype=np.float32) - y) / radius
    fall = np.maximum(1.0 - np.sqrt(dx[None, :] ** 2 + dy[:, None] ** 2), 0.0) ** 2
    target[y0:y1, x0:x1] += fall[..., None] * np.asarray(color, np.float32)


@cache
def _vignette(height: int, width: int, strength: float) -> NDArray[np.float32]:
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return (1.0 - strength * np.minimum((x * x + y * y) / 2, 1.0) ** 1.5).astype(np.float32)


@cache
def _drops(kind: str, variant: int) -> NDArray[np.float32]:
    """Rain streaks or snowflakes (256, 256) in 0..1."""
    rng = np.random.default_rng(7000 + variant + (50 if kind == "snow" else 0))
    layer = np.zeros((256, 256), np.uint8)
    lean = float(rng.uniform(-0.3, 0.3))
    for _ in range(420 if kind == "rain" else 330):
        x, y = (float(v) for v in rng.uniform(0, 256, 2))
        if kind == "rain":
            length = float(rng.uniform(6, 16))
            end = (int(x + lean * length), int(y + length))
            cv2.line(layer, (int(x), int(y)), end, int(rng.integers(60, 200)), 1, cv2.LINE_AA)
        else:
            radius = float(rng.choice([0.4, 0.6, 0.9, 1.2], p=[0.4, 0.3, 0.2, 0.1]))
            center = (int(x * 16), int(y * 16))
            cv2.circle(layer, center, int(radius * 16), int(rng.integers(120, 255)), -1, cv2.LINE_AA, shift=4)
    return np.asarray(layer, np.float32) / np.float32(255)


@cache
def _luma_grain() -> NDArray[np.float32]:
    return np.random.default_rng(7100).standard_normal((256, 256, 1)).astype(np.float32)


@cache
def _chroma_grain() -> NDArray[np.float32]:
    layers = np.stack([noise(7200 + i, 1.1) for i in range(3)], axis=2)
    return np.asarray(layers / layers.std(), np.float32)


def _window(tile: NDArray[np.float32], height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random (height, width) window of a wrapping tile, turned over at random."""
    dy, dx, flip = (int(v) for v in rng.integers((tile.shape[0], tile.shape[1], 2)))
    rows, columns = (np.arange(height) + dy) % tile.shape[0], (np.arange(width) + dx) % tile.shape[1]
    window = tile[rows][:, columns]
    return np.ascontiguousarray(window[:, ::-1] if flip else window)
