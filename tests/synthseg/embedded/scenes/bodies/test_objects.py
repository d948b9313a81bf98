from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from synthseg.embedded.scenes.bodies.bottle import bottle
from synthseg.embedded.scenes.bodies.chair import chair
from synthseg.embedded.scenes.bodies.diningtable import diningtable
from synthseg.embedded.scenes.bodies.furniture import Camera, Model
from synthseg.embedded.scenes.bodies.person import person
from synthseg.embedded.scenes.bodies.pottedplant import pottedplant
from synthseg.embedded.scenes.bodies.sofa import sofa
from synthseg.embedded.scenes.bodies.tvmonitor import tvmonitor
from synthseg.embedded.scenes.colors import COLORS
from synthseg.embedded.scenes.parts import Body, BodyRequest, View
from synthseg.embedded.scenes.raster import Light, Placement, paint_body
from synthseg.errors import UsageProblem

BUILDERS = (person, bottle, chair, diningtable, pottedplant, sofa, tvmonitor)
VIEWS: tuple[View, ...] = ("side", "front", "back", "three_quarter", "top")
# lowest and highest height and width that scenes may count on, body units
SIZES = {
    person: (0.50, 1.35, 0.12, 1.0),
    bottle: (0.78, 1.10, 0.20, 0.50),
    chair: (0.80, 1.55, 0.30, 1.0),
    diningtable: (0.50, 1.55, 0.65, 1.95),
    pottedplant: (0.50, 1.25, 0.35, 1.5),
    sofa: (0.48, 1.35, 0.78, 1.7),
    tvmonitor: (0.50, 1.40, 0.45, 1.3),
}


def build(builder: Callable[[BodyRequest], Body], seed: int, **wishes: object) -> Body:
    return builder(BodyRequest(np.random.default_rng(seed), **wishes))  # type: ignore[arg-type]


def extent(body: Body) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate([part.outline for part in body.parts])
    return points.min(axis=0), points.max(axis=0)


def painted(body: Body, scale: float = 110.0) -> tuple[np.ndarray, np.ndarray]:
    canvas = np.zeros((256, 256, 3), np.uint8)
    silhouette = paint_body(canvas, body, Placement(128, 235, scale), Light(), np.random.default_rng(0))
    return canvas, silhouette


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda b: b.__name__)
@pytest.mark.parametrize("field_world", [False, True])
def test_every_body_stands_centred_on_the_ground_with_the_size_scenes_expect(builder, field_world):
    low_y, high_y, low_x, high_x = SIZES[builder]
    for seed in range(12):
        for view in (None, *VIEWS):
            body = build(builder, seed, view=view, field_world=field_world)
            low, high = extent(body)
            assert low[1] == pytest.approx(0.0, abs=1e-9)
            assert low[0] + high[0] == pytest.approx(0.0, abs=1e-9)
            assert low_y <= high[1] <= high_y, (seed, view)
            assert low_x <= high[0] - low[0] <= high_x, (seed, view)
            assert len(body.parts) <= 90
            assert {part.role for part in body.parts} <= set(body.palette)
            assert all(0 <= c <= 255 for color in body.palette.values() for c in color)
            assert all(part.outline.ndim == 2 and len(part.outline) >= 3 for part in body.parts)


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda b: b.__name__)
def test_the_generator_alone_decides(builder):
    first, again, other = build(builder, 5), build(builder, 5), build(builder, 6)
    assert all(np.array_equal(a.outline, b.outline) for a, b in zip(first.parts, again.parts, strict=True))
    assert first.palette == again.palette
    assert other.palette != first.palette


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda b: b.__name__)
def test_the_field_world_has_other_proportions_than_training(builder):
    def shape(seed: int, field_world: bool) -> float:
        body = build(builder, seed, view="front", pose="standing", field_world=field_world)
        # a plant's outline tells its species first: only the pot's proportions can be compared
        points = np.concatenate([part.outline for part in body.parts if builder is not pottedplant or part.role == "pot"])
        width, height = np.ptp(points, axis=0)
        return float(width / height)

    train, held_out = ([shape(seed, world) for seed in range(150)] for world in (False, True))
    assert np.percentile(held_out, 95) - np.percentile(held_out, 5) > 1.05 * (np.percentile(train, 95) - np.percentile(train, 5))


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda b: b.__name__)
def test_the_prompt_color_governs_what_is_seen(builder):
    def redness(color: str) -> float:
        shares = []
        for seed in range(8):
            canvas, silhouette = painted(build(builder, seed, color=color, view="three_quarter"))
            r, g, b = (canvas[..., k][silhouette > 0].astype(int) for k in range(3))
            shares.append(float(((r > 1.6 * g) & (r > 1.6 * b) & (r > 90)).mean()))
        return float(np.mean(shares))

    assert redness("red") > redness("blue") + 0.10


def test_an_unknown_color_is_refused_by_name():
    with pytest.raises(UsageProblem, match="color: 'mauvish' is unknown"):
        build(chair, 0, color="mauvish")


def test_every_color_word_paints_a_chair():
    for name in COLORS:
        body = build(chair, 3, color=name)
        near = min(np.abs(np.asarray(color) - COLORS[name]).max() for color in body.palette.values())
        assert near < 45


@pytest.mark.parametrize("view", ["front", "three_quarter", "side"])
def test_a_sofa_is_low_and_wide_where_a_chair_is_tall_and_open(view):
    def measure(builder: Callable[[BodyRequest], Body]) -> tuple[float, float]:
        ratios, fills = [], []
        for seed in range(20):
            body = build(builder, seed, view=view)
            low, high = extent(body)
            ratios.append((high[0] - low[0]) / high[1])
            _, silhouette = painted(body)
            x, y, w, h = cv2.boundingRect(silhouette)
            fills.append(float(silhouette[y : y + h, x : x + w].mean()))
        return float(np.median(ratios)), float(np.median(fills))

    (sofa_ratio, sofa_fill), (chair_ratio, chair_fill) = measure(sofa), measure(chair)
    assert sofa_ratio > 1.15
    assert chair_ratio < 0.8
    assert sofa_fill > chair_fill + 0.15


def test_a_table_leaves_its_underside_open():
    open_share = []
    for seed in range(20):
        _, silhouette = painted(build(diningtable, seed, view="front"))
        x, y, w, h = cv2.boundingRect(silhouette)
        open_share.append(1 - float(silhouette[y + h * 3 // 4 : y + h, x : x + w].mean()))
    assert np.median(open_share) > 0.4


def heights(pose: str) -> np.ndarray:
    return np.array([extent(build(person, seed, pose=pose, view="side"))[1][1] for seed in range(40)])


def test_poses_change_the_figure():
    assert np.median(heights("sitting")) < 0.85 * np.median(heights("standing"))

    def width(pose: str) -> float:
        return float(np.median([np.subtract(*extent(build(person, s, pose=pose, view="side"))[::-1])[0] for s in range(20)]))

    assert width("running") > width("walking") > 1.4 * width("standing")
    lying = build(person, 1, pose="lying")
    low, high = extent(lying)
    assert high[0] - low[0] > 1.5 * high[1]


def test_a_waving_person_raises_a_hand_beside_the_head():
    def reach(pose: str) -> float:
        spreads = []
        for seed in range(20):
            points = np.concatenate([part.outline for part in build(person, seed, pose=pose, view="front").parts if part.role != "hat"])
            spreads.append(np.ptp(points[points[:, 1] > 0.85 * points[:, 1].max(), 0]))
        return float(np.median(spreads))

    assert reach("waving") > 1.4 * reach("standing")


def test_a_face_shows_from_the_front_and_not_from_behind():
    assert any(part.role == "eye" for part in build(person, 2, view="front").parts)
    assert not any(part.role == "eye" for part in build(person, 2, view="back").parts)


def test_a_person_in_profile_faces_right():
    for seed in range(10):
        body = build(person, seed, view="side", pose="standing")
        shoes = np.concatenate([part.outline for part in body.parts if part.role == "shoe"])
        hips = np.concatenate([part.outline for part in body.parts if part.role == "top"])
        eyes = np.concatenate([part.outline for part in body.parts if part.role == "eye"])
        assert eyes[:, 0].mean() > hips[:, 0].mean()
        assert shoes[:, 0].max() > hips[:, 0].mean()


def test_an_unknown_pose_falls_back_to_standing():
    a, b = build(person, 4, pose="grazing"), build(person, 4, pose="standing")
    assert all(np.array_equal(p.outline, q.outline) for p, q in zip(a.parts, b.parts, strict=True))


@pytest.mark.parametrize(("yaw", "front"), [(0.0, "near"), (np.pi, "far")])
def test_solids_on_the_viewers_side_are_painted_last(yaw, front):
    model = Model(Camera(yaw, 0.2))
    model.box((-1, 0, 1), (1, 1, 1.2), "near")
    model.box((-1, 0, -1.2), (1, 1, -1), "far")
    assert model.parts()[-1].role == front


def test_a_camera_turns_the_front_to_the_right():
    flat = Camera(np.pi / 2, 0.0, 1e9).project([(0, 0, 1), (0, 1, 0), (1, 0, 0)])
    assert flat == pytest.approx(np.array([(1, 0), (0, 1), (0, 0)]), abs=1e-6)


@pytest.mark.parametrize("builder", [bottle, tvmonitor])
def test_small_things_stand_on_a_surface(builder):
    assert "surface" in {build(builder, seed).stand for seed in range(10)}


def test_a_lying_bottle_is_wider_than_high():
    low, high = extent(build(bottle, 0, pose="lying"))
    assert high[0] - low[0] > 2 * high[1]
