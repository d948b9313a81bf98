"""Images between arrays and encoded bytes, which is how they cross processes and lie on disk."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from synthseg.errors import CorruptData, RunFailure


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """PNG bytes of an RGB image (H, W, 3) or an index mask (H, W). RunFailure when OpenCV cannot write it."""
    flipped = image[..., ::-1] if image.ndim == 3 else image
    done, encoded = cv2.imencode(".png", flipped, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise RunFailure(f"image: OpenCV could not encode an array of shape {image.shape} as PNG")
    return encoded.tobytes()


def decode_rgb(encoded: bytes) -> NDArray[np.uint8]:
    """RGB array (H, W, 3) of an encoded image; grey ones are stacked. CorruptData when the bytes are no image."""
    # OpenCV raises on an empty buffer and returns None for any other one that it cannot read.
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB) if encoded else None
    if decoded is None:
        raise CorruptData(f"image: {len(encoded)} bytes are no readable PNG, WebP or JPEG; synthseg verify OUT names the damaged shard")
    return np.asarray(decoded, np.uint8)
