"""Horse: long arched neck with a mane, wedge head, slim legs, hanging tail."""

from __future__ import annotations

from synthseg.embedded.scenes.bodies.quadruped import Frame, assemble, pick_pose, pick_view
from synthseg.embedded.scenes.colors import mix, tint
from synthseg.embedded.scenes.geometry import ellipse, limb, polygon, spline
from synthseg.embedded.scenes.parts import Body, BodyRequest, Color, Part

_COATS: dict[str, tuple[Color, Color]] = {
    "bay": ((124, 70, 38), (34, 28, 26)),
    "chestnut": ((152, 84, 42), (140, 72, 34)),
    "palomino": ((202, 154, 88), (236, 222, 190)),
    "black": ((46, 42, 44), (24, 22, 24)),
    "white": ((230, 226, 218), (206, 200, 190)),
    "dapple": ((158, 158, 162), (84, 84, 90)),
}
"""Coat and mane."""


def horse(request: BodyRequest) -> Body:
    """A horse about 1 unit tall to the ears; poses standing, walking, running, grazing, lying."""
    breed = request.choose(*_COATS)
    coat, hair = _COATS[breed]
    coat = tint(request.color, request.rng) if request.color else _vary(coat, request)
    if request.color:
        hair = mix(coat, (24, 20, 20), 0.6)
    size = request.span(0.27, 0.33)
    ear = request.span(0.06, 0.085)
    jaw = request.span(0.30, 0.38) * size
    nose = request.span(0.17, 0.22) * size
    blaze = request.chance(0.5)
    tail = request.span(0.36, 0.50)

    def head() -> list[Part]:
        skull = [(-0.05, 0.055), (0.04, 0.085), (0.45 * size, 0.07), (0.85 * size, 0.03), (size, -0.01), (0.99 * size, -0.05 - 0.5 * nose)]
        under = [
            (0.86 * size, -0.05 - nose),
            (0.60 * size, -0.03 - 0.9 * nose),
            (0.30 * size, -1.15 * jaw),
            (0.08, -1.05 * jaw),
            (-0.05, -0.05),
        ]
        parts = [
            Part(polygon([(-0.035, 0.06), (-0.06 - 0.4 * ear, 0.06 + ear), (0.01, 0.08)]), "coat", 0.3, 0.8),
            Part(spline(skull + under, 4), "coat", 0.5, 1.0, "fur", 0.1),
            Part(ellipse(0.90 * size, -0.035 - 0.35 * nose, 0.14 * size, 0.55 * nose + 0.02, -0.2, 14), "muzzle", 0.5),
        ]
        if blaze:
            parts.append(Part(limb([(0.12, 0.065), (0.5 * size, 0.045), (0.8 * size, 0.018)], [0.010, 0.016, 0.010], 2), "blaze", 0.1))
        parts += [
            Part(polygon([(-0.05, 0.05), (-0.02 - 0.4 * ear, 0.07 + 1.1 * ear), (0.03, 0.08)]), "coat", 0.4, 1.05),
            Part(spline([(-0.06, 0.09), (0.03, 0.11), (0.13, 0.065), (0.06, 0.05)], 3), "mane", 0.4),
            Part(ellipse(0.32 * size, 0.030, 0.018, 0.014, 0.0, 10), "eye", 0.6, 1.0, "smooth", 0.0, 0.5),
            Part(ellipse(0.95 * size, -0.03, 0.014, 0.010, 0.7, 8), "eye", 0.1),
            Part(limb([(0.97 * size, -0.045 - 0.55 * nose), (0.80 * size, -0.04 - 0.6 * nose)], [0.005, 0.005], 1), "mouth", 0.1),
        ]
        return parts

    def face() -> list[Part]:
        wide = 0.085
        parts = [Part(polygon([(s * 0.03, 0.04), (s * 0.075, 0.07 + 1.1 * ear), (s * 0.085, 0.03)]), "coat", 0.4) for s in (-1, 1)]
        long = [
            (-wide, 0.02),
            (-0.05, 0.07),
            (0.05, 0.07),
            (wide, 0.02),
            (0.085, -0.35 * size),
            (0.055, -0.75 * size),
            (0.055, -size),
            (0, -1.07 * size),
            (-0.055, -size),
        ]
        parts.append(Part(spline([*long, (-0.055, -0.75 * size), (-0.085, -0.35 * size)], 4), "coat", 0.6, 1.0, "fur", 0.1))
        parts.append(Part(ellipse(0, -0.95 * size, 0.060, 0.055, 0.0, 14), "muzzle", 0.6))
        if blaze:
            parts.append(Part(limb([(0, -0.02), (0, -0.4 * size), (0, -0.78 * size)], [0.015, 0.022, 0.015], 2), "blaze", 0.1))
        parts.append(Part(spline([(-0.045, 0.08), (0.045, 0.08), (0.02, -0.06)], 3), "mane", 0.4))
        for s in (-1, 1):
            parts.append(Part(ellipse(s * 0.080, -0.22 * size, 0.014, 0.020, 0.0, 10), "eye", 0.6, 1.0, "smooth", 0.0, 0.5))
            parts.append(Part(ellipse(s * 0.030, -0.95 * size, 0.012, 0.017, 0.0, 8), "eye", 0.1))
        return parts

    def tail_of(pose: str) -> list[Part]:
        if pose == "back":
            return [Part(limb([(0, 0.05), (0.01, -0.3 * tail), (0, -tail)], [0.03, 0.065, 0.02]), "mane", 0.5, 1.0, "fur", 0.3)]
        if pose == "running":
            path = [(0.02, 0.0), (-0.10, 0.05), (-0.45 * tail, 0.0), (-0.95 * tail, -0.12)]
        elif pose == "lying":
            path = [(0.02, 0.0), (-0.05, -0.05), (-0.10, -0.13), (-0.22, -0.19)]
        else:
            path = [(0.03, 0.01), (-0.06, -0.05), (-0.09, -0.5 * tail), (-0.07, -tail)]
        return [Part(limb(path, [0.03, 0.045, 0.060, 0.015]), "mane", 0.5, 1.0, "fur", 0.3)]

    frame = Frame(
        leg=request.span(0.35, 0.43),
        depth=request.span(0.26, 0.32),
        length=request.span(0.66, 0.80),
        width=request.span(0.26, 0.34),
        neck_length=request.span(0.30, 0.40),
        neck_angle=request.span(42, 60),
        neck_base=request.span(0.11, 0.14),
        neck_tip=request.span(0.065, 0.085),
        head_angle=request.span(-58, -38),
        thigh=request.span(0.075, 0.10),
        shank=request.span(0.020, 0.028),
        head=head,
        face=face,
        tail=tail_of,
        tuck=request.span(0.08, 0.2),
        dip=request.span(0.0, 0.08),
        sock=request.span(0.4, 0.9) if request.chance(0.4) else 0.0,
        mane=request.span(0.04, 0.09),
        texture="spots" if breed == "dapple" and not request.color else "fur",
        texture_strength=0.10,
    )
    palette: dict[str, Color] = {
        "coat": coat,
        "mane": hair,
        "muzzle": mix(coat, (60, 50, 50), 0.45),
        "sock": (228, 222, 212),
        "hoof": (56, 48, 44),
        "eye": (18, 14, 14),
        "mouth": (40, 30, 30),
        "blaze": (236, 232, 224),
    }
    pose = pick_pose(request, "standing", "walking", "running", "grazing", "lying")
    return assemble(frame, pose, pick_view(request, "side", "three_quarter", "front", "back"), palette, request)


def _vary(color: Color, request: BodyRequest) -> Color:
    return mix(color, (255.0, 240.0, 220.0) if request.chance(0.5) else (10.0, 8.0, 8.0), float(request.rng.uniform(0, 0.12)))
