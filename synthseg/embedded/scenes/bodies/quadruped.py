"""The four-legged skeleton that horse, cow, sheep, dog and cat share: torso, neck, jointed legs, poses and views.

A species fills in a `Frame` (proportions) and hands over its own head, face and tail; this module poses and assembles
them. Lengths are body units, angles degrees; leg angles count from straight down, forward is positive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from synthseg.embedded.scenes.geometry import Outline, ellipse, limb, spline
from synthseg.embedded.scenes.parts import Body, BodyRequest, Color, Part, Texture, View

Point = tuple[float, float]
FAR_SHADE = 0.7
FACIAL_ROLES = frozenset({"eye", "glint", "nose", "mouth", "muzzle", "blaze", "inner_ear", "iris", "whisker", "tongue", "mask"})
"""Roles that disappear when the animal shows its back."""

HeadMaker = Callable[[], list[Part]]
"""Parts in the head's own frame: origin where the neck ends. Side heads look along +x, front faces at the viewer."""
TailMaker = Callable[[str], list[Part]]
"""Parts for a pose, origin at the tail's root."""


@dataclass(slots=True)
class Frame:
    """A species' proportions, and the parts that only it has."""

    leg: float
    """Height of the belly over the ground."""
    depth: float
    """Back to belly."""
    length: float
    """Chest to rump."""
    width: float
    """Left to right, seen from the front."""
    neck_length: float
    neck_angle: float
    """Degrees above the horizontal."""
    neck_base: float
    """Half-width where the neck leaves the torso."""
    neck_tip: float
    head_angle: float
    """Degrees of the muzzle above the horizontal (side view)."""
    thigh: float
    """Half-width of the upper hind leg."""
    shank: float
    """Half-width of a leg above the foot."""
    head: HeadMaker
    face: HeadMaker
    tail: TailMaker
    size: float = 1.0
    """Factor that brings the species to about one unit of height."""
    tuck: float = 0.1
    """How far the belly rises towards the hind legs, as a share of the depth."""
    dip: float = 0.03
    """Sag of the back, as a share of the depth."""
    paws: bool = False
    """Paws rather than hooves."""
    sock: float = 0.0
    """Share of the lower leg in the role `sock`."""
    wool: float = 0.0
    """Height of the curls on the outline."""
    mane: float = 0.0
    """Depth of the mane that hangs from the crest."""
    udder: float = 0.0
    """Radius of the udder."""
    leg_role: str = "coat"
    texture: Texture = "fur"
    texture_strength: float = 0.10
    marks: Callable[[Frame], list[Outline]] | None = None
    """Markings in the torso's own frame (origin at its middle); they are painted in the role `mark`."""


@dataclass(slots=True)
class _Stance:
    """A frame in a pose: where the torso is and how it leans."""

    frame: Frame
    pose: str
    middle: Point
    tilt: float = 0.0
    """Degrees by which the front is raised."""
    parts: list[Part] = field(default_factory=list)

    def at(self, x: float, y: float) -> Point:
        """World position of a point of the torso's frame."""
        c, s = np.cos(np.radians(self.tilt)), np.sin(np.radians(self.tilt))
        return float(self.middle[0] + c * x - s * y), float(self.middle[1] + s * x + c * y)

    def line(self, points: Outline) -> list[Point]:
        """World positions of points (N, 2) of the torso's frame."""
        return [self.at(float(x), float(y)) for x, y in points]


def place(parts: Sequence[Part], at: Point, angle: float = 0.0, sx: float = 1.0, shade: float = 1.0) -> list[Part]:
    """Parts turned by `angle` degrees about the origin, stretched by `sx` in x, darkened, and moved to `at`."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    matrix, offset = np.array([[c * sx, s], [-s * sx, c]]), np.asarray(at)
    return [replace(p, outline=p.outline @ matrix + offset, shade=p.shade * shade) for p in parts]


def settle(parts: list[Part], size: float = 1.0) -> list[Part]:
    """Parts scaled by `size` and moved so that the lowest point is y = 0 and the x range is centred on 0."""
    points = np.concatenate([p.outline for p in parts])
    low, high = points.min(axis=0), points.max(axis=0)
    offset = np.array([-(low[0] + high[0]) / 2, -low[1]]) * size
    return [replace(p, outline=p.outline * size + offset) for p in parts]


def pick_view(request: BodyRequest, *views: View) -> View:
    """The view asked for, or the side half of the time and any of `views` otherwise."""
    if request.view in views:
        return request.view
    if request.view is not None or request.chance(0.5):
        return views[0]
    return views[int(request.rng.integers(len(views)))]


def pick_pose(request: BodyRequest, *poses: str) -> str:
    """The pose asked for, or one of `poses`; the first of them stands in for a pose that the body does not have."""
    if request.pose is None:
        return request.choose(*poses)
    return request.pose if request.pose in poses else poses[0]


def assemble(frame: Frame, pose: str, view: View, palette: dict[str, Color], request: BodyRequest) -> Body:
    """The animal in a pose (standing, walking, running, grazing, lying, sitting) and a view (side, front, back, three_quarter)."""
    if view in ("front", "back"):
        parts = _facing(frame, pose, back=view == "back")
    else:
        parts = _sideways(frame, pose, request, three_quarter=view == "three_quarter")
    return Body(parts=settle(parts, frame.size), palette=palette)


def torso_profile(frame: Frame) -> tuple[Outline, Outline]:
    """Back line and belly line of the torso about its middle, both (N, 2) from the rump forward."""
    length, depth = frame.length, frame.depth
    back = np.array([(-0.50, 0.12), (-0.46, 0.38), (-0.32, 0.50), (0.0, 0.48 - frame.dip), (0.22, 0.51)]) * (length, depth)
    rise = frame.tuck
    belly = np.array([(-0.47, -0.20), (-0.33, -0.46 + rise), (0.0, -0.51 + 0.3 * rise), (0.28, -0.52), (0.44, -0.34)]) * (length, depth)
    return back, belly


def blotch(frame: Frame, x: float, y: float, radius: float, rng: np.random.Generator) -> Outline:
    """An irregular patch about (x, y) of the torso's frame, kept inside the torso."""
    t = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    reach = radius * rng.uniform(0.65, 1.3, 9)
    outline = spline(np.stack([x + 1.2 * reach * np.cos(t), y + reach * np.sin(t)], axis=1), 4)
    return inside_torso(frame, outline)


def inside_torso(frame: Frame, outline: Outline) -> Outline:
    """Outline in the torso's frame with every vertex moved inside the torso."""
    back, belly = torso_profile(frame)
    x = np.clip(outline[:, 0], -0.47 * frame.length, 0.30 * frame.length)
    top = np.interp(x, back[:, 0], back[:, 1]) - 0.01
    bottom = np.interp(x, belly[:, 0], belly[:, 1]) + 0.01
    return np.stack([x, np.clip(outline[:, 1], bottom, top)], axis=1)


def _curls(outline: Outline, height: float) -> Outline:
    steps = np.linalg.norm(np.diff(outline, axis=0, append=outline[:1]), axis=1)
    way = np.linspace(0.0, steps.sum(), 180, endpoint=False)
    ends = np.concatenate([[0.0], np.cumsum(steps)])
    closed = np.concatenate([outline, outline[:1]])
    even = np.stack([np.interp(way, ends, closed[:, k]) for k in (0, 1)], axis=1)
    tangent = np.roll(even, -1, axis=0) - np.roll(even, 1, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9)
    wave = np.abs(np.sin(np.arange(180) * np.pi / 9))
    curled: Outline = even + normal * (height * wave)[:, None]
    return curled


def _chain(start: Point, lengths: Sequence[float], angles: Sequence[float]) -> Outline:
    turn = np.radians(angles)
    steps = np.stack([np.sin(turn), -np.cos(turn)], axis=1) * np.asarray(lengths)[:, None]
    return np.concatenate([[start], start + np.cumsum(steps, axis=0)])


def _leg_parts(frame: Frame, points: Outline, hind: bool, shade: float) -> list[Part]:
    thigh = frame.thigh if hind else 0.78 * frame.thigh
    radii = [thigh, 0.70 * thigh if hind else 0.62 * thigh, 1.2 * frame.shank, frame.shank]
    # Extra vertices keep the muscle round instead of a straight cone.
    upper = 0.5 * (points[0] + points[1])
    path = np.vstack((points[0] + np.array((0.0, 0.35 * thigh)), upper, points[1:]))
    parts = [Part(limb(path, [0.60 * thigh, thigh, *radii[1:]]), frame.leg_role, 0.5, shade, frame.texture, frame.texture_strength)]
    if frame.sock > 0:
        top = points[3] + frame.sock * (points[2] - points[3])
        parts.append(Part(limb([top, points[3]], [1.12 * frame.shank, 1.05 * frame.shank], 2), "sock", 0.5, shade))
    along = (points[3] - points[2]) / (np.linalg.norm(points[3] - points[2]) + 1e-9)
    ahead = np.array([-along[1], along[0]])
    foot = frame.shank
    end = points[3]
    if frame.paws:
        paw = limb([end - 0.1 * foot * ahead, end + 1.3 * foot * ahead], [1.1 * foot, 0.95 * foot], 3)
        parts.append(Part(paw, "paw", 0.6, shade))
    else:
        corners = [
            end - 1.0 * foot * ahead,
            end + 1.0 * foot * ahead,
            end + 1.6 * foot * ahead + 1.7 * foot * along,
            end - 1.2 * foot * ahead + 1.7 * foot * along,
        ]
        parts.append(Part(np.array(corners), "hoof", 0.4, shade))
    return parts


_HIND_REST, _FORE_REST = (22.0, -30.0, 4.0), (-10.0, 4.0, 0.0)
_HIND_SHARES, _FORE_SHARES = (0.38, 0.36, 0.26), (0.34, 0.38, 0.28)


def _leg(stance: _Stance, hind: bool, near: bool, swing: float, bend: float = 0.0, planted: bool = True) -> list[Part]:
    frame = stance.frame
    drop = frame.leg + (0.52 if hind else 0.36) * frame.depth
    x = -0.36 * frame.length if hind else 0.30 * frame.length
    y = drop - frame.leg - 0.5 * frame.depth
    start = stance.at(x + (0.0 if near else 0.02), y)
    rest, shares = (_HIND_REST, _HIND_SHARES) if hind else (_FORE_REST, _FORE_SHARES)
    # A lifted hind leg folds forward at the stifle and back at the hock, a lifted foreleg forward at the elbow and back at the knee.
    fold = (0.6 * bend, -0.5 * bend, -0.9 * bend) if hind else (0.5 * bend, 0.4 * bend, -1.3 * bend)
    angles = [a + swing + f for a, f in zip(rest, fold, strict=True)]
    foot = frame.shank * (1.0 if frame.paws else 1.6)
    reach = sum(s * np.cos(np.radians(a)) for s, a in zip(shares, angles if planted else rest, strict=True))
    total = ((start[1] if planted else drop) - foot) / max(reach, 0.3)
    points = _chain(start, [total * s for s in shares], angles)
    return _leg_parts(frame, points, hind, 1.0 if near else FAR_SHADE)


def _folded_legs(stance: _Stance, near: bool) -> tuple[list[Part], list[Part]]:
    """Hind and fore legs of a lying or sitting animal."""
    frame, shade = stance.frame, 1.0 if near else FAR_SHADE
    lift = frame.shank + (0.0 if near else 0.03)
    shift = 0.0 if near else 0.05
    hip = stance.at(-0.34 * frame.length, -0.05 * frame.depth)
    size = 1.0 if frame.paws else 0.8
    stifle = (hip[0] + size * 0.62 * frame.depth, max(0.36 * frame.depth, 2.2 * lift))
    toe = (hip[0] + shift + size * 0.70 * frame.depth, lift)
    heel = (hip[0] + shift + 0.02, lift)
    haunch = limb(
        [hip, (0.5 * (hip[0] + stifle[0]), 0.5 * (hip[1] + stifle[1])), stifle], [1.35 * frame.thigh, 1.35 * frame.thigh, 0.8 * frame.thigh]
    )
    hind = [
        Part(limb([heel, toe], [1.3 * frame.shank, 1.1 * frame.shank]), frame.leg_role, 0.5, shade),
        Part(ellipse(toe[0], toe[1], 1.5 * frame.shank, 1.0 * frame.shank, 0.0, 12), "paw" if frame.paws else "hoof", 0.5, shade),
        Part(haunch, "coat", 0.6, shade, frame.texture, frame.texture_strength),
    ]
    elbow = stance.at(0.22 * frame.length, -0.30 * frame.depth)
    if stance.pose == "sitting":
        fore = _leg(stance, False, near, 0.0)
    elif frame.paws:
        tip = (elbow[0] + 0.75 * frame.leg + shift, lift)
        fore = [
            Part(
                limb([elbow, (elbow[0] + 0.04, lift * 1.2), tip], [0.6 * frame.thigh, 1.35 * frame.shank, 1.1 * frame.shank]),
                frame.leg_role,
                0.5,
                shade,
            ),
            Part(ellipse(tip[0], tip[1], 1.6 * frame.shank, 1.1 * frame.shank, 0.0, 12), "paw", 0.5, shade),
        ]
    else:
        knee = (elbow[0] + 0.55 * frame.leg + shift, 1.4 * lift)
        hoof = (knee[0] - 0.40 * frame.leg, lift)
        fore = [
            Part(limb([knee, hoof], [1.2 * frame.shank, frame.shank]), frame.leg_role, 0.5, 0.9 * shade),
            Part(ellipse(hoof[0], hoof[1], 1.5 * frame.shank, frame.shank, 0.0, 12), "hoof", 0.5, shade),
            Part(limb([elbow, knee], [0.7 * frame.thigh, 1.3 * frame.shank]), "coat", 0.5, shade),
        ]
    return hind, fore


def _all_legs(stance: _Stance, request: BodyRequest) -> tuple[list[Part], list[Part]]:
    """Far and near legs."""
    pose = stance.pose
    if pose in ("lying", "sitting"):
        (far_hind, far_fore), (near_hind, near_fore) = _folded_legs(stance, False), _folded_legs(stance, True)
        return far_hind + far_fore, near_fore + near_hind
    if pose == "running":
        a, b = request.span(30, 52), request.span(28, 50)
        gathered = request.chance(0.4)
        if gathered:
            far = _leg(stance, True, False, 0.6 * a, 25, False) + _leg(stance, False, False, -0.7 * b, 10, False)
            return far, _leg(stance, True, True, 0.3 * a, 35, False) + _leg(stance, False, True, -0.2 * b, 70, False)
        far = _leg(stance, True, False, -0.7 * a, 10, False) + _leg(stance, False, False, 0.7 * b, 50, False)
        return far, _leg(stance, True, True, -a, 0, False) + _leg(stance, False, True, b, 8, False)
    if pose == "walking":
        a = request.span(12, 24)
        far = _leg(stance, True, False, a) + _leg(stance, False, False, 0.6 * a, 40, False)
        return far, _leg(stance, True, True, -a) + _leg(stance, False, True, -0.8 * a)
    a, b = request.span(-2, 8), request.span(-2, 8)
    far = _leg(stance, True, False, a + 9) + _leg(stance, False, False, b + 9)
    return far, _leg(stance, True, True, -a) + _leg(stance, False, True, -b - 1)


def _stand(frame: Frame, pose: str) -> _Stance:
    height = frame.leg + 0.5 * frame.depth
    if pose == "lying":
        height = 0.50 * frame.depth
    if pose != "sitting":
        return _Stance(frame, pose, (0.0, height))
    tilt = 52.0
    turn = np.radians(tilt)
    # The hips come down until the haunch rests on the ground.
    hip = 0.62 * frame.depth
    reach = 0.34 * frame.length
    return _Stance(frame, pose, (reach * float(np.cos(turn)), hip + reach * float(np.sin(turn))), tilt)


def _neck(stance: _Stance) -> tuple[Outline, float]:
    """Path (3, 2) of the neck and the head's angle."""
    frame = stance.frame
    angle, head = frame.neck_angle, frame.head_angle
    length = frame.neck_length
    if stance.pose == "grazing":
        angle, head, length = -48.0, -62.0, 1.15 * length
    elif stance.pose == "running":
        angle, head = angle - 14.0, head + 12.0
    base = np.array(stance.at(0.34 * frame.length, 0.12 * frame.depth))
    if stance.pose == "grazing":
        # Long enough for the mouth to meet the grass.
        length = max(length, 0.62 * (base[1] - 0.08) / float(np.sin(np.radians(48.0))))
    bow = 12.0 if stance.pose != "grazing" else 16.0
    half = 0.5 * length
    first, second = np.radians(angle + bow), np.radians(angle - bow)
    middle = base + half * np.array([np.cos(first), np.sin(first)])
    return np.stack([base, middle, middle + half * np.array([np.cos(second), np.sin(second)])]), head


def _sideways(frame: Frame, pose: str, request: BodyRequest, three_quarter: bool) -> list[Part]:
    stance = _stand(frame, pose)
    far, near = _all_legs(stance, request)
    path, head_angle = _neck(stance)
    back, belly = torso_profile(frame)
    step = np.gradient(path, axis=0)
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1) / (np.linalg.norm(step, axis=1, keepdims=True) + 1e-9)
    widths = np.array([frame.neck_base, 0.5 * (frame.neck_base + frame.neck_tip), frame.neck_tip])[:, None]
    crest, throat = path + widths * normal, path - widths * normal
    chest = stance.at(0.51 * frame.length, -0.06 * frame.depth)
    ring = [*stance.line(back), *crest[1:], *throat[:0:-1], chest, *stance.line(belly[::-1])]
    outline = spline(ring, 5)
    if frame.wool > 0:
        outline = _curls(outline, frame.wool)
    skin = (frame.texture, frame.texture_strength)
    rump = stance.at(-0.47 * frame.length, 0.34 * frame.depth)
    body = [*far, *place(frame.tail(pose), rump), Part(outline, "coat", 0.55, 1.0, *skin)]
    if frame.udder > 0 and pose != "lying":
        x, y = stance.at(-0.20 * frame.length, -0.47 * frame.depth)
        body.insert(-1, Part(ellipse(x, y, 1.2 * frame.udder, frame.udder), "udder", 0.6, 0.95))
    if frame.marks is not None:
        body += [Part(np.array(stance.line(mark)), "mark", 0.4, 1.0) for mark in frame.marks(frame)]
    if frame.wool > 0 and pose != "lying":
        # Wool hangs over the upper legs.
        body[-1:-1] = near
    else:
        body += near
    if frame.mane > 0:
        body.append(_mane(frame, crest, path))
    if not three_quarter:
        tip = (float(path[-1, 0]), float(path[-1, 1]))
        return body + place(frame.head(), tip, head_angle)
    squeeze = 0.72
    turned = place(body, (0.0, 0.0), sx=squeeze)
    reach = 0.5 * frame.neck_length if pose == "grazing" else 0.0
    return turned + place(frame.face(), (squeeze * float(path[-1, 0]), float(path[-1, 1]) - 0.2 * reach), sx=0.92)


def _mane(frame: Frame, crest: Outline, path: Outline) -> Part:
    top = np.concatenate([[crest[0] + (-0.06, 0.0)], crest[1:]])
    inner = crest + (path - crest) * (frame.mane / np.array([frame.neck_base, frame.neck_base, frame.neck_tip]))[:, None]
    lift = 0.018 * np.array([(-0.5, 0.8)])
    ring = np.concatenate([top + lift, inner[::-1]])
    return Part(spline(ring, 4), "mane", 0.5, 1.0, "fur", 0.25)


def _facing(frame: Frame, pose: str, back: bool) -> list[Part]:
    """Front and back view: torso end-on, legs in pairs, the head before or behind it."""
    half = 0.5 * frame.width
    low = pose in ("lying", "sitting")
    height = 0.5 * frame.depth if low else frame.leg + 0.5 * frame.depth
    depth = 0.5 * frame.depth
    skin = (frame.texture, frame.texture_strength)
    if pose == "sitting":
        depth = 0.31 * frame.depth + 0.27 * frame.length
        height = depth + 0.01
    torso_outline = spline(
        np.array([(-0.75, 0.8), (0, 1.0), (0.75, 0.8), (1.0, 0.1), (0.82, -0.7), (0, -1.0), (-0.82, -0.7), (-1.0, 0.1)]) * (half, depth)
        + (0, height)
    )
    if frame.wool > 0:
        torso_outline = _curls(torso_outline, frame.wool)
    torso = Part(torso_outline, "coat", 0.7, 1.0, *skin)
    foot = frame.shank
    parts: list[Part] = []

    def post(x: float, lean: float, shade: float, lift: float) -> None:
        top = height - 0.1 * frame.depth
        path = [(x, top), (x + 0.3 * lean, 0.45 * top), (x + lean, foot + lift)]
        parts.append(Part(limb(path, [0.55 * frame.thigh, 1.35 * foot, 1.05 * foot]), frame.leg_role, 0.6, shade, *skin))
        if frame.sock > 0:
            parts.append(
                Part(
                    limb([(x + lean, foot + lift + frame.sock * 0.45 * top), (x + lean, foot + lift)], [1.2 * foot, 1.2 * foot], 2),
                    "sock",
                    0.5,
                    shade,
                )
            )
        parts.append(Part(ellipse(x + lean, foot + lift, 1.45 * foot, 1.0 * foot, 0.0, 12), "paw" if frame.paws else "hoof", 0.5, shade))

    span = 0.58 * half
    neck_top = height + 0.5 * depth + frame.neck_length * max(0.25, float(np.sin(np.radians(frame.neck_angle))))
    if pose == "grazing":
        neck_top = 0.55 * frame.leg
    muzzle = frame.face()
    # The muzzle never sinks into the ground.
    neck_top = max(neck_top, 0.02 - min(float(p.outline[:, 1].min()) for p in muzzle))
    neck = Part(limb([(0, height + 0.1 * frame.depth), (0, neck_top)], [frame.neck_base * 0.85, frame.neck_tip]), "coat", 0.5, 1.0, *skin)
    face = place(muzzle, (0.0, neck_top))
    if back:
        if pose != "grazing":
            parts += [replace(neck, shade=0.85), *place([p for p in face if p.role not in FACIAL_ROLES], (0.0, 0.0), shade=0.9)]
        if not low:
            post(-0.8 * span, 0.0, FAR_SHADE, 0.05)
            post(0.8 * span, 0.0, FAR_SHADE, 0.05)
    elif pose in ("standing", "walking", "running", "grazing"):
        post(-1.15 * span, 0.0, FAR_SHADE, 0.05)
        post(1.15 * span, 0.0, FAR_SHADE, 0.05)
    parts.append(torso)
    step = 0.10 if pose in ("walking", "running") else 0.0
    if low:
        for side in (-1.0, 1.0):
            parts.append(
                Part(ellipse(side * 0.95 * half, 0.30 * frame.depth, 0.42 * half, 0.30 * frame.depth), frame.leg_role, 0.7, 0.92, *skin)
            )
            parts.append(Part(ellipse(side * 1.15 * half, foot, 1.6 * foot, foot, 0.0, 12), "paw" if frame.paws else "hoof", 0.5, 0.92))
            if back:
                continue
            path = [(side * 0.42 * half, height), (side * 0.45 * half, foot)]
            parts.append(Part(limb(path, [1.3 * foot, 1.2 * foot]), frame.leg_role, 0.6, 1.0, *skin))
            parts.append(Part(ellipse(side * 0.45 * half, foot, 1.5 * foot, foot, 0.0, 12), "paw" if frame.paws else "hoof", 0.5))
    else:
        post(-span, -0.01, 1.0, step)
        post(span, 0.01, 1.0, 0.0)
    if back:
        tail = frame.tail("back")
        reach = min(float(p.outline[:, 1].min()) for p in tail)
        # A low animal with paws keeps its tail near the ground; a long hanging tail is cut off where it meets the ground.
        root = max(min(0.30 * frame.depth, height), -reach) if low and frame.paws else height + 0.25 * frame.depth
        hanging = place(tail, (0.0, root))
        return parts + [replace(p, outline=np.maximum(p.outline, (-np.inf, 0.0))) for p in hanging]
    return [*parts, neck, *face]
