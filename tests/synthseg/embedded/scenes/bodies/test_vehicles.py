"""Vehicle bodies: they stand where they should, keep their proportions apart, and let the background through."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from synthseg.embedded.scenes.bodies.aeroplane import aeroplane
from synthseg.embedded.scenes.bodies.bicycle import bicycle
from synthseg.embedded.scenes.bodies.boat import boat
from synthseg.embedded.scenes.bodies.bus import bus
from synthseg.embedded.scenes.bodies.car import car
from synthseg.embedded.scenes.bodies.motorbike import motorbike
from synthseg.embedded.scenes.bodies.train import train
from synthseg.embedded.scenes.colors import COLORS
from synthseg.embedded.scenes.parts import Body, BodyBuilder, BodyRequest, View
from synthseg.embedded.scenes.raster import Light, Placement, paint_body
from synthseg.errors import UsageProblem

BUILDERS: dict[str, BodyBuilder] = {
    "aeroplane": aeroplane,
    "bicycle": bicycle,
    "boat": boat,
    "bus": bus,
    "car": car,
    "motorbike": motorbike,
    "train": train,
}
VIEWS: tuple[View | None, ...] = (None, "side", "front", "back", "three_quarter", "top")
SEEDS = range(6)
MAX_PARTS = 254
"""The raster numbers parts in one byte."""


def build(
    name: str, seed: int, view: View | None = None, *, field_world: bool = False, color: str | None = None, pose: str | None = None
) -> Body:
    return BUILDERS[name](BodyRequest(np.random.default_rng(seed), view=view, color=color, pose=pose, field_world=field_world))


def size(body: Body) -> tuple[float, float]:
    vertices = np.concatenate([part.outline for part in body.parts])
    width, height = np.ptp(vertices, axis=0)
    return float(width), float(height)


def paint(body: Body, scale: float = 90.0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    canvas = np.full((256, 256, 3), 255, np.uint8)
    mask = paint_body(canvas, body, Placement(128.0, 220.0, scale), Light(), np.random.default_rng(0))
    return canvas, mask


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("field_world", [False, True])
def test_every_view_gives_a_sound_body(name: str, view: View | None, field_world: bool) -> None:
    for seed in SEEDS:
        body = build(name, seed, view, field_world=field_world)
        vertices = np.concatenate([part.outline for part in body.parts])
        assert np.isfinite(vertices).all()
        assert vertices[:, 1].min() == pytest.approx(0.0, abs=1e-9)
        assert vertices[:, 0].min() == pytest.approx(-vertices[:, 0].max(), abs=1e-9)
        assert 5 < len(body.parts) <= MAX_PARTS
        assert {part.role for part in body.parts} <= set(body.palette)
        width, height = size(body)
        assert 0.2 < height < 2.4
        assert 0.2 < width < 3.2


@pytest.mark.parametrize("name", BUILDERS)
def test_silhouette_is_one_piece(name: str) -> None:
    for seed in SEEDS:
        _, mask = paint(build(name, seed))
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        areas = stats[1:, cv2.CC_STAT_AREA]
        assert areas.max() >= 0.97 * areas.sum(), (name, seed)


@pytest.mark.parametrize("name", BUILDERS)
def test_same_seed_same_body_and_other_seed_another(name: str) -> None:
    first, again, other = (build(name, seed, "side") for seed in (3, 3, 4))
    assert first.palette == again.palette
    assert all(np.array_equal(a.outline, b.outline) for a, b in zip(first.parts, again.parts, strict=True))
    assert size(first) != size(other)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("word", ["red", "green", "blue"])
def test_color_word_is_the_main_paint(name: str, word: str) -> None:
    body = build(name, 1, "side", color=word)
    assert np.abs(np.asarray(body.palette["paint"]) - COLORS[word]).max() < 60
    assert any(part.role == "paint" for part in body.parts)


@pytest.mark.parametrize("name", BUILDERS)
def test_unknown_color_is_a_usage_problem(name: str) -> None:
    with pytest.raises(UsageProblem, match="color: 'mauvish'"):
        build(name, 0, color="mauvish")


def test_side_views_keep_the_classes_apart_by_proportion() -> None:
    aspect = {name: [np.divide(*size(build(name, seed, "side"))) for seed in range(12)] for name in ("bicycle", "car", "bus", "train")}
    assert max(aspect["bicycle"]) < min(aspect["car"]) + 0.6
    assert np.mean(aspect["bicycle"]) < np.mean(aspect["bus"]) < np.mean(aspect["train"])
    assert min(aspect["train"]) > 2.3
    assert min(aspect["car"]) > 1.4


def test_background_shows_through_a_bicycle_but_not_a_bus() -> None:
    def filled(body: Body) -> float:
        _, mask = paint(body, 140.0)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        outer = cv2.drawContours(np.zeros_like(mask), contours, -1, 1, cv2.FILLED)
        return float(mask.sum() / outer.sum())

    for seed in SEEDS:
        assert filled(build("bicycle", seed, "side")) < 0.82
        assert filled(build("bus", seed, "side")) > 0.97


def test_boats_float_and_aeroplanes_fly_or_park() -> None:
    assert {build("boat", seed).stand for seed in SEEDS} == {"water"}
    assert {build("aeroplane", seed, pose="flying").stand for seed in SEEDS} == {"air"}
    assert {build("aeroplane", seed, pose="parked").stand for seed in SEEDS} == {"ground"}
    for name in ("bicycle", "bus", "car", "motorbike", "train"):
        assert build(name, 0).stand == "ground"


def test_parked_aeroplane_stands_on_its_tyres() -> None:
    for seed in SEEDS:
        body = build("aeroplane", seed, "side", pose="parked")
        lowest = min(body.parts, key=lambda part: float(part.outline[:, 1].min()))
        assert lowest.role == "tyre", seed


def test_field_world_reaches_proportions_training_never_has() -> None:
    def heights(field_world: bool) -> NDArray[np.float64]:
        return np.array([size(build("bicycle", seed, "side", field_world=field_world))[1] for seed in range(60)])

    trained, field = heights(field_world=False), heights(field_world=True)
    assert field.min() < trained.min()
    assert field.max() > trained.max()
