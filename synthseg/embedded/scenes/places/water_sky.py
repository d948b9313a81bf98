"""Water and air: sea, lake, river, beach, harbor, open sky."""

from __future__ import annotations

import numpy as np

from synthseg.embedded.scenes.places.scatter import row, scatter
from synthseg.embedded.scenes.places.sky import paint_sky
from synthseg.embedded.scenes.places.sprites import paste
from synthseg.embedded.scenes.places.stage import Backdrop, Stage
from synthseg.embedded.scenes.places.strips import quad
from synthseg.embedded.scenes.places.surfaces import plane, ridge


def _shine(backdrop: Backdrop, top: float, bottom: float) -> None:
    """Let the water take up the sky's colours."""
    y0, y1 = round(top * backdrop.height), round(bottom * backdrop.height)
    if y1 <= y0:
        return
    region = backdrop.canvas[y0:y1].astype(np.float32)
    share = np.linspace(0.45, 0.12, y1 - y0, dtype=np.float32)[:, None, None]
    region += (0.5 * (np.asarray(backdrop.mood.sky_bottom, np.float32) + np.asarray(backdrop.mood.sky_top, np.float32)) - region) * share
    backdrop.canvas[y0:y1] = np.clip(region, 0, 255).astype(np.uint8)


def sea(backdrop: Backdrop) -> Stage:
    """Open sea, perhaps a coast far away."""
    horizon = backdrop.span(0.36, 0.52)
    paint_sky(backdrop, horizon + 0.01)
    if backdrop.chance(0.5):
        ridge(backdrop, backdrop.choose("mountain", "woods"), horizon + 0.005, backdrop.span(0.03, 0.10), 0.3, 0.75)
    if backdrop.chance(0.3):
        paste(backdrop, "lighthouse", backdrop.span(0.1, 0.9), horizon + 0.01, 0.16, far=0.4, shadow=False)
    plane(backdrop, "sea", horizon, horizon=horizon - 0.03)
    _shine(backdrop, horizon, 1.0)
    scatter(backdrop, ("buoy", "rock"), horizon, horizon + 0.06, horizon + 0.35, 0.18, backdrop.num_props() // 3)
    return Stage(horizon=horizon, water=(horizon + 0.10, 0.92), sky=(0.04, horizon - 0.03))


def lake(backdrop: Backdrop) -> Stage:
    """A lake with wooded shores and a near bank."""
    horizon = backdrop.span(0.34, 0.46)
    paint_sky(backdrop, horizon + 0.02)
    ridge(backdrop, "mountain", horizon + 0.02, backdrop.span(0.10, 0.26), 0.3, 0.65)
    ridge(backdrop, "woods", horizon + 0.02, backdrop.span(0.04, 0.10), 0.5, 0.3)
    plane(backdrop, "lake", horizon + 0.01, horizon=horizon - 0.03)
    _shine(backdrop, horizon + 0.01, 1.0)
    row(backdrop, ("pine", "tree", "bush"), horizon + 0.025, 0.13, 0.09, far=0.3, skip=0.35)
    bank = backdrop.span(0.76, 0.86)
    plane(backdrop, backdrop.choose("grass", "sand", "dirt"), bank, horizon=horizon, fade=0.0)
    row(backdrop, ("reeds", "rock", "grass tuft"), bank + 0.02, 0.12, 0.22, far=0.0, skip=0.3)
    scatter(backdrop, ("reeds", "rock"), horizon, bank - 0.03, bank, 0.2, backdrop.num_props() // 2)
    return Stage(
        horizon=horizon, ground=(bank + 0.03, 0.97), water=(horizon + 0.1, bank - 0.02), sky=(0.04, horizon - 0.06), foreground=("reeds",)
    )


def river(backdrop: Backdrop) -> Stage:
    """A river between two banks."""
    horizon = backdrop.span(0.34, 0.44)
    paint_sky(backdrop, horizon + 0.02)
    ridge(backdrop, "woods", horizon + 0.02, backdrop.span(0.05, 0.12), 0.5, 0.4)
    plane(backdrop, "grass", horizon)
    row(backdrop, ("tree", "bush", "house"), horizon + 0.06, 0.22, 0.14, far=0.25, skip=0.3)
    far, near = horizon + 0.12, backdrop.span(0.76, 0.84)
    plane(backdrop, "lake", far, near, horizon=horizon - 0.02)
    _shine(backdrop, far, near)
    quad(backdrop, [(0, far - 0.012), (1, far - 0.012), (1, far), (0, far)], (96, 84, 60))
    plane(backdrop, backdrop.choose("grass", "dirt"), near, horizon=horizon, fade=0.0)
    row(backdrop, ("reeds", "grass tuft", "rock"), near + 0.02, 0.12, 0.2, far=0.0, skip=0.3)
    scatter(backdrop, ("bush", "tree"), horizon, far - 0.03, far, 0.6, backdrop.num_props() // 2)
    return Stage(
        horizon=horizon,
        ground=(near + 0.03, 0.97),
        water=(far + 0.05, near - 0.02),
        sky=(0.04, horizon - 0.08),
        foreground=("reeds", "grass tuft"),
    )


def beach(backdrop: Backdrop) -> Stage:
    """Sand in front of the sea."""
    horizon = backdrop.span(0.34, 0.46)
    paint_sky(backdrop, horizon + 0.01)
    if backdrop.chance(0.4):
        ridge(backdrop, "mountain", horizon + 0.005, backdrop.span(0.04, 0.12), 0.3, 0.7)
    plane(backdrop, "sea", horizon, horizon=horizon - 0.03)
    shore = backdrop.span(horizon + 0.12, horizon + 0.26)
    _shine(backdrop, horizon, shore)
    plane(backdrop, "sand", shore, horizon=horizon, zoom=1.3)
    waves = np.sin(np.linspace(0, backdrop.span(6, 14), 40)) * 0.008
    x = np.linspace(0, 1, 40)
    foam = np.concatenate([np.stack([x, shore + 0.012 + waves], axis=1), np.stack([x, shore - 0.012 + waves * 0.5], axis=1)[::-1]])
    quad(backdrop, foam, (240, 244, 244))
    scatter(backdrop, ("palm", "rock", "parasol", "bush", "palm"), horizon, shore + 0.05, shore + 0.22, 0.7, backdrop.num_props())
    return Stage(
        horizon=horizon,
        ground=(shore + 0.06, 0.96),
        water=(horizon + 0.07, max(horizon + 0.09, shore - 0.02)),
        sky=(0.04, horizon - 0.03),
        foreground=("rock", "bush"),
    )


def harbor(backdrop: Backdrop) -> Stage:
    """A harbour basin with a quay."""
    horizon = backdrop.span(0.34, 0.44)
    paint_sky(backdrop, horizon + 0.04)
    ridge(backdrop, "mountain", horizon + 0.02, backdrop.span(0.04, 0.12), 0.3, 0.7)
    row(backdrop, ("block", "house", "hangar"), horizon + 0.04, backdrop.span(0.18, 0.28), 0.17, far=0.3)
    plane(backdrop, "sea", horizon + 0.035, horizon=horizon - 0.03)
    quay = backdrop.span(0.80, 0.88)
    _shine(backdrop, horizon + 0.035, quay)
    if backdrop.chance(0.5):
        paste(backdrop, "lighthouse", backdrop.span(0.1, 0.9), horizon + 0.05, 0.26, far=0.25, shadow=False)
    plane(backdrop, backdrop.choose("planks", "concrete", "paving"), quay, horizon=horizon, fade=0.0)
    quad(backdrop, [(0, quay - 0.012), (1, quay - 0.012), (1, quay + 0.004), (0, quay + 0.004)], (98, 86, 74))
    row(backdrop, ("pier post",), quay + 0.03, 0.14, 0.3, far=0.0, jitter=0.1)
    scatter(backdrop, ("crate", "bin"), horizon, quay + 0.04, 0.96, 0.16, backdrop.num_props() // 3)
    return Stage(
        horizon=horizon,
        ground=(quay + 0.03, 0.97),
        water=(horizon + 0.14, quay - 0.02),
        sky=(0.04, horizon - 0.12),
        foreground=("pier post", "crate"),
    )


def sky(backdrop: Backdrop) -> Stage:
    """High in the air; a strip of land below, or none."""
    if backdrop.chance(0.4):
        paint_sky(backdrop, 1.0)
        return Stage(horizon=1.0, sky=(0.08, 0.92))
    horizon = backdrop.span(0.78, 0.90)
    paint_sky(backdrop, horizon + 0.02)
    ridge(backdrop, backdrop.choose("mountain", "woods"), horizon + 0.02, backdrop.span(0.04, 0.12), 0.4, 0.6)
    plane(backdrop, backdrop.choose("woods", "grass", "sea"), horizon, zoom=0.5)
    row(backdrop, ("tree", "house", "tree"), horizon + 0.03, 0.06, 0.1, far=0.4, skip=0.5)
    return Stage(horizon=horizon, ground=(horizon + 0.07, 0.98), sky=(0.06, horizon - 0.06))
