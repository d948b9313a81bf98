"""What one pass of training sees of a stored image: other framing, shape, colour, light and sensor every time.

Labels and captions survive: framing keeps most of the picture, and an image whose colours were changed beyond what its
caption says is marked, so that captions do not learn wrong colour words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
YIQ_TO_RGB = np.linalg.inv(RGB_TO_YIQ)


@dataclass(frozen=True, slots=True)
class AugmentStrength:
    """How far and how often."""

    zoom: tuple[float, float] = (0.85, 1.45)
    """Linear zoom; 1.41 shows half of the area."""
    stretch: float = 0.2
    """Largest change of the aspect ratio, either way."""
    rotation: float = 0.17
    """Radians, either way."""
    bend: float = 0.05
    """Standard deviation of the elastic displacement, as a share of the side."""
    odd_color_probability: float = 0.3
    """Grey, swapped channels or a hue far off: the caption no longer holds."""
    hue: float = 0.35
    """Radians in the I-Q plane, either way, for all other images."""
    light: float = 1.0
    """Factor on the changes of contrast, brightness, saturation and channel gains."""
    degrade_probability: float = 0.85

    def scaled(self, share: float) -> AugmentStrength:
        """`share` of this strength, for the start of a training; the framing stays."""
        return replace(
            self,
            bend=self.bend * share,
            rotation=self.rotation * share,
            odd_color_probability=self.odd_color_probability * share,
            hue=self.hue * share,
            light=self.light * share,
            degrade_probability=self.degrade_probability * share,
        )


def reframe(image: Image, width: int, height: int, strength: AugmentStrength, rng: np.random.Generator) -> Image:
    """`image` through a random affine map with mirror and elastic bend, as (height, width, 3)."""
    rows, columns = image.shape[:2]
    zoom = float(np.exp(rng.uniform(*np.log(strength.zoom))))
    stretch = float(np.exp(rng.uniform(-strength.stretch, strength.stretch) / 2))
    angle = float(rng.uniform(-strength.rotation, strength.rotation)) if rng.random() < 0.7 else 0.0
    span_x, span_y = columns / (zoom * stretch), rows / (zoom / stretch)
    center_x = columns / 2 + rng.uniform(-0.5, 0.5) * max(columns - span_x, 0.1 * columns)
    center_y = rows / 2 + rng.uniform(-0.5, 0.5) * max(rows - span_y, 0.1 * rows)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width - 0.5) * np.float32(span_x * mirror)
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height - 0.5) * np.float32(span_y)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    map_x = c * x[None, :] - s * y[:, None] + np.float32(center_x - 0.5)
    map_y = s * x[None, :] + c * y[:, None] + np.float32(center_y - 0.5)
    if rng.random() < 0.5:
        knots = int(rng.integers(3, 6))
        field = rng.normal(0.0, strength.bend * columns / 2, (knots, knots, 2)).astype(np.float32)
        bend = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
        map_x, map_y = map_x + bend[..., 0], map_y + bend[..., 1]
    shrinking = span_x > 1.5 * width
    if shrinking:
        image = np.asarray(cv2.blur(image, (2, 2)), np.uint8)
    return np.asarray(cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def recolor(image: Image, strength: AugmentStrength, rng: np.random.Generator) -> tuple[Image, bool]:
    """Other colours, contrast and light; and whether colour words of a caption still hold."""
    odd, far = rng.random() < strength.odd_color_probability, strength.light
    matrix = np.eye(3)
    if odd:
        kind = rng.random()
        if kind < 0.35:
            matrix = np.tile(RGB_TO_YIQ[0], (3, 1))
        elif kind < 0.7:
            matrix = np.eye(3)[rng.permutation(3)]
        else:
            matrix = chroma_turn(float(rng.uniform(0.35, 2 * np.pi - 0.35)), 1.0)
    matrix = chroma_turn(float(rng.uniform(-strength.hue, strength.hue)), 1 + far * float(rng.uniform(-0.6, 0.6))) @ matrix
    matrix = np.diag(1 + far * rng.uniform(-0.15, 0.15, 3)) @ matrix
    contrast, brightness = 1 + far * float(rng.uniform(-0.4, 0.4)), far * float(rng.uniform(-35, 35))
    matrix = contrast * matrix
    offset = np.full((3, 1), 128 * (1 - contrast) + brightness)
    changed = np.asarray(cv2.transform(image, np.hstack([matrix, offset]).astype(np.float32)), np.uint8)
    if rng.random() < 0.35 * far:
        gain = np.exp(rng.normal(0.0, 0.25, (3, 3))).astype(np.float32)
        light = cv2.resize(gain, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
        changed = np.clip(changed * light[..., None], 0, 255).astype(np.uint8)
    return changed, not odd


def chroma_turn(angle: float, saturation: float) -> NDArray[np.float64]:
    """RGB matrix that turns hues by `angle` radians and scales saturation."""
    c, s = saturation * np.cos(angle), saturation * np.sin(angle)
    return np.asarray(YIQ_TO_RGB @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ RGB_TO_YIQ, np.float64)


def degrade(image: Image, strength: AugmentStrength, rng: np.random.Generator) -> Image:
    """Lens and sensor: blur or sharpening, lower resolution, noise of several grains, JPEG, covered patches."""
    if rng.random() >= strength.degrade_probability:
        return image
    rows, columns = image.shape[:2]
    if rng.random() < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.2))), np.uint8)
    elif rng.random() < 0.15:
        soft = cv2.GaussianBlur(image, (0, 0), 1.0)
        image = np.asarray(cv2.addWeighted(image, 1.8, soft, -0.8, 0.0), np.uint8)
    if rng.random() < 0.2:
        share = float(rng.uniform(0.4, 0.8))
        small = cv2.resize(image, (max(8, int(columns * share)), max(8, int(rows * share))), interpolation=cv2.INTER_AREA)
        enlarging = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
        image = np.asarray(cv2.resize(small, (columns, rows), interpolation=enlarging), np.uint8)
    if rng.random() < 0.6:
        image = add_noise(image, rng)
    if rng.random() < 0.3:
        quality = int(rng.integers(25, 90))
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    if rng.random() < 0.3:
        image = np.ascontiguousarray(image)
        for _ in range(int(rng.integers(1, 4))):
            w, h = int(columns * rng.uniform(0.08, 0.3)), int(rows * rng.uniform(0.08, 0.3))
            left, top = int(rng.integers(0, columns - w)), int(rng.integers(0, rows - h))
            image[top : top + h, left : left + w] = rng.integers(0, 256, 3, dtype=np.uint8)
    return image


def add_noise(image: Image, rng: np.random.Generator) -> Image:
    """Gaussian noise, grey or coloured, fine or coarse."""
    rows, columns = image.shape[:2]
    channels = 3 if rng.random() < 0.6 else 1
    grain = int(rng.choice([1, 1, 2, 3]))
    noise = rng.standard_normal((-(-rows // grain), -(-columns // grain), channels), dtype=np.float32) * np.float32(rng.uniform(2, 16))
    if grain > 1:
        coarse = cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_LINEAR)
        noise = np.asarray(coarse, np.float32).reshape(rows, columns, channels)
    return np.clip(image + noise, 0, 255).astype(np.uint8)
