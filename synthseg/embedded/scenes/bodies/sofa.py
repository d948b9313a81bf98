"""Sofas: two or three seats between arms, fabric or leather, with cushions."""

from __future__ import annotations

from synthseg.embedded.scenes.bodies.choices import choose_view, darker, lighter, main_color, pick
from synthseg.embedded.scenes.bodies.furniture import Model, view_camera
from synthseg.embedded.scenes.parts import Body, BodyRequest, Texture


def sofa(request: BodyRequest) -> Body:
    """A sofa about 0.55 units high and 1.3 wide: front, side, back or three-quarter view."""
    view = choose_view(request, "front", "front", "three_quarter", "three_quarter", "three_quarter", "side")
    model = Model(view_camera(request, view, 9, 22, distance=5.0, side_yaw=(54.0, 66.0)))
    leather = request.chance(0.35)
    natural = ("brown", "black", "maroon", "cream", "white") if leather else ("gray", "beige", "blue", "red", "teal", "green", "cream")
    cloth = main_color(request, *natural)
    palette = {
        "frame": darker(cloth, 0.14), "cloth": cloth, "cushion": lighter(cloth, 0.10), "foot": pick(request, "brown", "black", "silver"),
        "pillow": pick(request, "yellow", "red", "white", "teal", "orange", "pink", "navy"),
        "pillow2": pick(request, "cream", "blue", "purple", "gray", "green"),
    }  # fmt: skip
    texture: Texture = "smooth" if leather else "fabric"
    strength, gloss = (0.0, 0.22) if leather else (0.16, 0.0)
    seats = 2 if request.chance(0.4) else 3
    half = (0.50 if seats == 2 else 0.62) * request.span(0.92, 1.10)
    deep = request.span(0.22, 0.30)
    foot, seat = request.span(0.02, 0.09), request.span(0.24, 0.31)
    top, arm_top = request.span(0.50, 0.62), request.span(0.34, 0.45)
    arm, back = request.span(0.07, 0.16), request.span(0.10, 0.16)
    soft = request.span(0.06, 0.16)

    def block(low: tuple[float, float, float], high: tuple[float, float, float], role: str, corner: float, bulge: float = 0.45) -> None:
        model.box(low, high, role, soft=corner, bulge=bulge, texture=texture, texture_strength=strength, gloss=gloss)

    for x in (-half + 0.05, half - 0.05):
        for z in (-deep + 0.04, deep - 0.04):
            model.box((x - 0.025, 0, z - 0.025), (x + 0.025, foot, z + 0.025), "foot")
    block((-half, foot, -deep), (half, top, -deep + back), "frame", soft)
    block((-half + arm, foot, -deep + back), (half - arm, seat - 0.08, deep - 0.01), "frame", 0.03, 0.2)
    for sx in (-1, 1):
        low_x, high_x = sorted((sx * half, sx * (half - arm)))
        block((low_x, foot, -deep + back), (high_x, arm_top, deep), "cloth", soft, 0.6)
    width = 2 * (half - arm) / seats
    pads = request.chance(0.8)
    for i in range(seats):
        x0, x1 = -half + arm + i * width + 0.004, -half + arm + (i + 1) * width - 0.004
        block((x0, seat - 0.08, -deep + back), (x1, seat, deep), "cushion", 0.09, 0.6)
        if pads:
            block((x0, seat, -deep + back), (x1, top + 0.02, -deep + back + 0.09), "cushion", 0.12, 0.6)
    for sx, role in ((-1, "pillow"), (1, "pillow2")):
        if request.chance(0.45):
            x, side, z = sx * (half - arm - 0.11), request.span(0.08, 0.11), -deep + back + 0.10
            model.box((x - side, seat, z), (x + side, seat + 1.8 * side, z + 0.06), role, lean=-0.3, soft=0.12, bulge=0.7)
    return Body(model.parts(), palette)
