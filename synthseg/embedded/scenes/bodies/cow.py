"""Cow: deep rectangular body, low neck, blunt wet muzzle, horns, ears out to the side, udder, tufted tail."""

from __future__ import annotations

from synthseg.embedded.scenes.bodies.quadruped import Frame, assemble, blotch, pick_pose, pick_view
from synthseg.embedded.scenes.colors import mix, tint
from synthseg.embedded.scenes.geometry import Outline, ellipse, limb, spline
from synthseg.embedded.scenes.parts import Body, BodyRequest, Color, Part

_COATS: dict[str, tuple[Color, Color, Color]] = {
    "holstein": ((232, 228, 220), (36, 34, 36), (36, 34, 36)),
    "red_holstein": ((232, 226, 214), (132, 66, 40), (132, 66, 40)),
    "hereford": ((140, 72, 42), (236, 228, 214), (236, 228, 214)),
    "jersey": ((186, 138, 88), (150, 104, 62), (128, 88, 58)),
    "black_white": ((40, 38, 40), (232, 228, 222), (40, 38, 40)),
}
"""Coat, markings, head."""


def cow(request: BodyRequest) -> Body:
    """A cow about 0.95 units tall; poses standing, walking, grazing, lying, running."""
    breed = request.choose(*_COATS)
    coat, mark, head_color = _COATS[breed]
    if request.color:
        coat = tint(request.color, request.rng)
        head_color = coat
        mark = mix(coat, (236, 232, 224), 0.85) if sum(coat) < 420 else (44, 40, 40)
    patched = "holstein" in breed or breed == "black_white"
    size = request.span(0.28, 0.34)
    horned = request.chance(0.6)
    horn = request.span(0.09, 0.15)
    ear = request.span(0.11, 0.15)
    tail = request.span(0.38, 0.50)

    def marks(frame: Frame) -> list[Outline]:
        if not patched:
            return []
        slots = [(-0.36, 0.15), (-0.10, 0.22), (0.16, 0.10), (-0.12, -0.20)]
        spots = [slots[int(i)] for i in request.rng.permutation(4)[: int(request.rng.integers(3, 5))]]
        jitter = request.rng.normal(0, 0.03, (4, 2))
        return [
            blotch(frame, (x + j[0]) * frame.length, (y + j[1]) * frame.depth, request.span(0.09, 0.17), request.rng)
            for (x, y), j in zip(spots, jitter, strict=False)
        ]

    def head() -> list[Part]:
        skull = [(-0.06, 0.07), (0.03, 0.10), (0.45 * size, 0.075), (0.82 * size, 0.04), (1.0 * size, 0.01), (1.02 * size, -0.06)]
        under = [(0.90 * size, -0.115), (0.62 * size, -0.105), (0.32 * size, -0.135), (0.05, -0.13), (-0.07, -0.06)]
        parts = []
        if horned:
            parts.append(Part(limb([(0.0, 0.08), (0.02, 0.08 + 0.6 * horn), (0.07, 0.08 + horn)], [0.026, 0.019, 0.006]), "horn", 0.5, 0.8))
        parts += [
            Part(spline(skull + under, 4), "head", 0.5, 1.0, "fur", 0.08),
            Part(ellipse(0.91 * size, -0.035, 0.16 * size, 0.068, -0.1, 16), "muzzle", 0.6),
            Part(
                spline([(0.02, 0.02), (-0.5 * ear, 0.035), (-1.1 * ear, -0.02), (-0.8 * ear, -0.055), (-0.1, -0.02)], 3), "ear", 0.4, 0.92
            ),
        ]
        if horned:
            parts.append(
                Part(limb([(-0.03, 0.07), (-0.05, 0.08 + 0.6 * horn), (0.01, 0.08 + 1.15 * horn)], [0.028, 0.021, 0.006]), "horn", 0.5)
            )
        if patched:
            parts.append(Part(limb([(0.10, 0.085), (0.55 * size, 0.055), (0.78 * size, 0.035)], [0.014, 0.020, 0.012], 2), "blaze", 0.1))
        parts += [
            Part(ellipse(0.33 * size, 0.025, 0.020, 0.016, 0.0, 10), "eye", 0.6, 1.0, "smooth", 0.0, 0.5),
            Part(ellipse(0.97 * size, -0.012, 0.017, 0.012, 0.7, 8), "eye", 0.1),
            Part(limb([(1.0 * size, -0.068), (0.80 * size, -0.075)], [0.005, 0.005], 1), "mouth", 0.1),
        ]
        return parts

    def face() -> list[Part]:
        parts = []
        for s in (-1, 1):
            parts.append(
                Part(
                    spline(
                        [(s * 0.06, 0.03), (s * (0.08 + 0.6 * ear), 0.05), (s * (0.07 + 1.2 * ear), 0.0), (s * (0.07 + 0.6 * ear), -0.04)],
                        3,
                    ),
                    "ear",
                    0.4,
                    0.95,
                )
            )
            if horned:
                parts.append(
                    Part(
                        limb(
                            [(s * 0.05, 0.06), (s * (0.06 + 0.6 * horn), 0.10), (s * (0.05 + 0.8 * horn), 0.09 + horn)],
                            [0.026, 0.021, 0.006],
                        ),
                        "horn",
                        0.5,
                    )
                )
        skull = [(-0.085, 0.06), (0, 0.095), (0.085, 0.06), (0.10, -0.05), (0.075, -0.6 * size), (0.085, -0.95 * size), (0, -1.08 * size)]
        parts.append(
            Part(spline([*skull, (-0.085, -0.95 * size), (-0.075, -0.6 * size), (-0.10, -0.05)], 4), "head", 0.6, 1.0, "fur", 0.08)
        )
        if patched:
            parts.append(Part(limb([(0, 0.05), (0, -0.3 * size), (0, -0.7 * size)], [0.024, 0.024, 0.045], 2), "blaze", 0.1))
        parts.append(Part(ellipse(0, -0.90 * size, 0.085, 0.062, 0.0, 16), "muzzle", 0.6))
        for s in (-1, 1):
            parts.append(Part(ellipse(s * 0.075, -0.14 * size, 0.016, 0.018, 0.0, 10), "eye", 0.6, 1.0, "smooth", 0.0, 0.5))
            parts.append(Part(ellipse(s * 0.042, -0.86 * size, 0.014, 0.017, 0.0, 8), "eye", 0.1))
        return parts

    def tail_of(pose: str) -> list[Part]:
        path = [(0.03, 0.0), (-0.03, -0.02), (-0.05, -0.5 * tail), (-0.03, -tail)]
        if pose == "lying":
            path = [(0.03, 0.0), (-0.03, -0.03), (-0.05, -0.15), (-0.10, -0.24)]
        if pose == "back":
            path = [(0.0, 0.05), (0.0, 0.0), (0.02, -0.5 * tail), (0.01, -tail)]
        end = path[-1]
        tuft = ellipse(end[0], end[1] - 0.02, 0.032, 0.065, 0.0, 12)
        return [Part(limb(path, [0.025, 0.02, 0.014, 0.014]), "coat", 0.5, 0.9), Part(tuft, "tuft", 0.5)]

    frame = Frame(
        leg=request.span(0.32, 0.40),
        depth=request.span(0.38, 0.46),
        length=request.span(0.92, 1.10),
        width=request.span(0.42, 0.54),
        neck_length=request.span(0.20, 0.28),
        neck_angle=request.span(8, 28),
        neck_base=request.span(0.14, 0.17),
        neck_tip=request.span(0.10, 0.12),
        head_angle=request.span(-48, -28),
        thigh=request.span(0.10, 0.13),
        shank=request.span(0.030, 0.038),
        head=head,
        face=face,
        tail=tail_of,
        tuck=request.span(-0.02, 0.06),
        dip=request.span(0.0, 0.05),
        sock=request.span(0.4, 0.9) if patched or breed == "hereford" else 0.0,
        udder=request.span(0.06, 0.09) if request.chance(0.75) else 0.0,
        size=1.12,
        texture_strength=0.08,
        marks=marks,
    )
    palette: dict[str, Color] = {
        "coat": coat,
        "mark": mark,
        "head": head_color,
        "ear": mix(mark if breed != "hereford" else coat, head_color, 0.4),
        "horn": (214, 200, 170),
        "muzzle": (214, 162, 150) if request.chance(0.6) else mix(head_color, (60, 52, 52), 0.6),
        "blaze": (236, 232, 226),
        "tuft": mix(mark, coat, 0.2),
        "sock": (232, 228, 218),
        "hoof": (58, 50, 46),
        "eye": (20, 16, 16),
        "mouth": (70, 44, 42),
        "udder": (222, 164, 152),
    }
    pose = pick_pose(request, "standing", "walking", "grazing", "lying", "running")
    return assemble(frame, pose, pick_view(request, "side", "three_quarter", "front", "back"), palette, request)
