"""Encoding of delivered images."""

from __future__ import annotations

import io

from PIL import Image

from serving.http.schemas import OutputFormat

MEDIA_TYPES: dict[OutputFormat, str] = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
_JPEG_QUALITY = 95


def convert(encoded: bytes, output_format: OutputFormat, compression: int | None) -> bytes:
    """The engine's image in another format. PNG stays as it is, byte for byte; webp is lossless unless `compression` is below 100;
    jpeg always loses a little (quality `compression`, 95 by default).
    """
    if output_format == "png" and encoded.startswith(b"\x89PNG"):
        return encoded
    target = io.BytesIO()
    with Image.open(io.BytesIO(encoded)) as opened:
        image = opened.convert("RGB")
    if output_format == "webp":
        lossless = compression is None or compression == 100
        image.save(target, "WEBP", lossless=lossless, quality=100 if compression is None else compression, exact=True)
    elif output_format == "jpeg":
        image.save(target, "JPEG", quality=_JPEG_QUALITY if compression is None else compression, subsampling=0)
    else:
        image.save(target, "PNG")
    return target.getvalue()
