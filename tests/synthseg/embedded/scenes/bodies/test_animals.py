from __future__ import annotations

import itertools

import numpy as np
import pytest

from synthseg.embedded.scenes.bodies.bird import bird
from synthseg.embedded.scenes.bodies.cat import cat
from synthseg.embedded.scenes.bodies.cow import cow
from synthseg.embedded.scenes.bodies.dog import dog
from synthseg.embedded.scenes.bodies.horse import horse
from synthseg.embedded.scenes.bodies.quadruped import FACIAL_ROLES, settle
from synthseg.embedded.scenes.bodies.sheep import sheep
from synthseg.embedded.scenes.geometry import box
from synthseg.embedded.scenes.parts import Body, BodyBuilder, BodyRequest, Part, View
from synthseg.embedded.scenes.raster import Light, Placement, paint_body

BUILDERS: dict[str, BodyBuilder] = {"bird": bird, "cat": cat, "cow": cow, "dog": dog, "horse": horse, "sheep": sheep}
QUADRUPEDS = [name for name in BUILDERS if name != "bird"]
VIEWS: tuple[View, ...] = ("side", "front", "back", "three_quarter")
POSES = ("standing", "walking", "running", "lying", "sitting", "grazing", "flying", "perched", "swimming")


def build(name: str, seed: int = 0, view: View | None = "side", pose: str | None = "standing", **wishes: object) -> Body:
    return BUILDERS[name](BodyRequest(np.random.default_rng(seed), view=view, pose=pose, **wishes))  # type: ignore[arg-type]


def points_of(body: Body) -> np.ndarray:
    return np.concatenate([part.outline for part in body.parts])


def size_of(body: Body) -> tuple[float, float]:
    width, height = np.ptp(points_of(body), axis=0)
    return float(width), float(height)


@pytest.mark.parametrize("name", BUILDERS)
def test_every_view_and_pose_is_grounded_centred_and_painted_from_its_palette(name: str) -> None:
    for seed, (view, pose) in enumerate(itertools.product(VIEWS, POSES)):
        body = build(name, seed, view, pose, field_world=seed % 2 == 1)
        points = points_of(body)
        assert np.isfinite(points).all(), (view, pose)
        assert points[:, 1].min() == pytest.approx(0.0, abs=1e-9)
        assert points[:, 0].min() + points[:, 0].max() == pytest.approx(0.0, abs=1e-9)
        assert {part.role for part in body.parts} <= body.palette.keys()
        assert 5 <= len(body.parts) <= 60
        width, height = size_of(body)
        assert 0.2 < width < 2.2, (view, pose)
        assert 0.25 < height < 1.7, (view, pose)


@pytest.mark.parametrize("name", QUADRUPEDS)
def test_standing_height_is_about_one_unit(name: str) -> None:
    heights = [size_of(build(name, seed))[1] for seed in range(12)]
    assert 0.7 < np.mean(heights) < 1.15


@pytest.mark.parametrize("name", QUADRUPEDS)
def test_standing_animal_has_four_feet_on_the_ground(name: str) -> None:
    feet = [part for part in build(name, 4).parts if part.role in {"hoof", "paw"}]
    assert len(feet) == 4
    assert all(foot.outline[:, 1].min() < 0.06 for foot in feet)
    assert sum(foot.shade < 0.8 for foot in feet) == 2


@pytest.mark.parametrize("name", QUADRUPEDS)
def test_lying_is_lower_than_standing(name: str) -> None:
    assert size_of(build(name, 1, pose="lying"))[1] < 0.85 * size_of(build(name, 1))[1]


@pytest.mark.parametrize("name", ["horse", "cow", "sheep"])
def test_grazing_lowers_the_head(name: str) -> None:
    def eye_height(pose: str) -> float:
        return float(np.mean([p.outline[:, 1].mean() for p in build(name, 2, pose=pose).parts if p.role == "eye"]))

    assert eye_height("grazing") < 0.6 * eye_height("standing")


@pytest.mark.parametrize("name", ["dog", "cat"])
def test_sitting_turns_the_torso_upright(name: str) -> None:
    def slenderness(pose: str) -> float:
        extents = [np.ptp(part.outline, axis=0) for part in build(name, 3, pose=pose).parts]
        width, height = max(extents, key=np.prod)
        return float(height / width)

    assert slenderness("sitting") > 1.0 > slenderness("standing")


@pytest.mark.parametrize("name", BUILDERS)
def test_side_view_faces_right(name: str) -> None:
    body = build(name, 5)
    eyes = np.concatenate([part.outline for part in body.parts if part.role == "eye"])
    assert eyes[:, 0].mean() > 0.1


@pytest.mark.parametrize("name", BUILDERS)
def test_back_view_hides_the_face(name: str) -> None:
    front = {part.role for part in build(name, 6, "front").parts}
    back = {part.role for part in build(name, 6, "back").parts}
    assert "eye" in front
    assert not back & FACIAL_ROLES


@pytest.mark.parametrize("name", BUILDERS)
def test_color_wish_overrides_the_coat(name: str) -> None:
    for seed in range(4):
        palette = build(name, seed, color="blue").palette
        red, _, blue = palette["back" if name == "bird" else "coat"]
        assert blue > red + 60


@pytest.mark.parametrize("name", BUILDERS)
def test_same_seed_same_body_and_other_seed_another(name: str) -> None:
    first, again, other = (points_of(build(name, seed, None, None)) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.allclose(first, other)


@pytest.mark.parametrize("name", QUADRUPEDS)
def test_field_proportions_spread_beyond_the_training_ones(name: str) -> None:
    def ratios(field_world: bool) -> list[float]:
        sizes = [size_of(build(name, seed, field_world=field_world)) for seed in range(40)]
        return [width / height for width, height in sizes]

    assert np.std(ratios(True)) > np.std(ratios(False))


def test_bird_belongs_where_its_pose_puts_it() -> None:
    stands = {pose: build("bird", 9, pose=pose).stand for pose in ("perched", "walking", "flying", "swimming")}
    assert stands == {"perched": "ground", "walking": "ground", "flying": "air", "swimming": "water"}


def test_species_keep_their_marks_of_identity() -> None:
    horse_roles = {part.role for part in build("horse", 1).parts}
    assert "mane" in horse_roles
    assert not {part.role for part in build("cow", 1).parts} & {"mane", "paw"}
    assert any(part.texture == "wool" for part in build("sheep", 1).parts)
    assert any(part.role == "whisker" for part in build("cat", 1).parts)
    assert any(part.role == "beak" for part in build("bird", 1).parts)


def test_unknown_pose_falls_back_to_the_usual_one() -> None:
    assert np.array_equal(points_of(build("horse", 3, pose="driving")), points_of(build("horse", 3, pose="standing")))


def test_settle_scales_about_the_ground() -> None:
    (part,) = settle([Part(box(2.0, 1.0, 4.0, 2.0), "coat")], size=2.0)
    assert part.outline.min(axis=0) == pytest.approx((-2.0, 0.0))
    assert part.outline.max(axis=0) == pytest.approx((2.0, 2.0))


@pytest.mark.parametrize("name", BUILDERS)
def test_painted_silhouette_is_one_piece(name: str) -> None:
    cv2 = pytest.importorskip("cv2")
    canvas = np.zeros((256, 256, 3), np.uint8)
    silhouette = paint_body(canvas, build(name, 2), Placement(128, 220, 120), Light(), np.random.default_rng(0))
    _, _, stats, _ = cv2.connectedComponentsWithStats(silhouette)
    areas = stats[1:, cv2.CC_STAT_AREA]
    assert areas.max() > 0.97 * areas.sum()
    assert areas.sum() > 1500
