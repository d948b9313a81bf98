"""Image and mask files of a split: whole, in one frame and with values of known meaning, or refused with their name."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from synthseg.datasets.class_ids import check_ids
from synthseg.datasets.palette import ids_of_colors
from synthseg.errors import CorruptData
from synthseg.taxonomy import Taxonomy

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")
MASK_FORMATS = ("PNG",)
"""JPEG and lossy WebP change values, and a class id must stay what it is."""
IMAGE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes of at most 8 bits a channel. It would clip deeper ones to white."""
BIT_DEPTH_AT = 24
"""Place of the bit depth in a PNG: the ninth byte of the IHDR chunk, which begins at byte 16."""
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    EOFError,
    struct.error,
    zlib.error,
    AssertionError,
    Image.DecompressionBombError,
)
"""What Pillow lets through on a damaged file: its own errors, and those of the parsing inside its plugins."""


def read_image(path: Path, size: tuple[int, int] | None = None, wanted_by: str = "") -> NDArray[np.uint8]:
    """RGB (H, W, 3) of an image file as its pixels are stored; grey ones are stacked, transparency is left out.

    `size` is the (H, W) of its annotation. Where the stored one differs, and the one that the EXIF orientation asks for does not, the
    image was annotated as viewers show it, and is turned. CorruptData where neither fits (`wanted_by` says whose size it is), and for a
    file that is cut, damaged or deeper than 8 bits.
    """
    image, _ = _decode(path, IMAGE_FORMATS)
    if image.mode not in IMAGE_MODES:
        raise CorruptData(f"{path}: is a '{image.mode}' image; save it with 8 bits a channel")
    if size is not None and (image.height, image.width) != size:
        found = f"{image.height} x {image.width} (rows x columns)"
        image = _turned(image)
        if (image.height, image.width) != size:
            raise CorruptData(f"{path}: is {found}, {wanted_by} {size[0]} x {size[1]}; replace one of them")
    with _named(path, IMAGE_FORMATS):
        return np.array(image.convert("RGB"), np.uint8)


def read_mask(path: Path, classes: Taxonomy) -> NDArray[np.uint8]:
    """Class ids (H, W) of a mask PNG: the indices of a palette image, whatever its colors, or the values of an 8-bit grey one.

    A color image in VOC's own colors is read by them, where `classes` are VOC's. CorruptData for any other kind of file, for a color
    that no class has, and for a value that is neither 0..K nor 255.
    """
    stored, content = _decode(path, MASK_FORMATS)
    if stored.mode == "RGB" and classes.name == "voc":
        try:
            ids = ids_of_colors(np.array(stored, np.uint8))
        except ValueError as error:
            raise CorruptData(f"{path}: {error} is no class of voc; save the mask as class ids (palette or 8-bit grey PNG)") from None
    elif stored.mode == "P" or (stored.mode == "L" and content[BIT_DEPTH_AT] == 8):
        ids = np.array(stored, np.uint8)
    else:
        # The samples of a shallower grey PNG may be ids or shares of full white, those of alpha channels and 16 bits have no meaning here.
        raise CorruptData(
            f"{path}: is a '{stored.mode}' image of {content[BIT_DEPTH_AT]} bits; a mask must be a palette or 8-bit grey PNG of class ids"
        )
    check_ids(ids, classes, path)
    return ids


def read_pair(image: Path, mask: Path, classes: Taxonomy) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """RGB (H, W, 3) and class ids (H, W) of two files in one frame. CorruptData as in `read_image` and `read_mask`."""
    ids = read_mask(mask, classes)
    return read_image(image, (ids.shape[0], ids.shape[1]), f"its mask {mask} is"), ids


def _decode(path: Path, formats: tuple[str, ...]) -> tuple[Image.Image, bytes]:
    """The whole picture and its file's bytes. CorruptData names a file that is cut or damaged."""
    with _named(path, formats):
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=formats) as checked:
            checked.verify()  # the checksums of a PNG, which decoding passes over
        image = Image.open(io.BytesIO(content), formats=formats)
        image.load()
        return image, content


@contextmanager
def _named(path: Path, formats: tuple[str, ...]) -> Iterator[None]:
    """CorruptData with the file's name for what Pillow raises inside."""
    try:
        yield
    except _UNREADABLE as error:
        raise CorruptData(f"{path}: cannot be read ({_reason(error, formats)}); replace the file") from error


def _reason(error: Exception, formats: tuple[str, ...]) -> str:
    if isinstance(error, UnidentifiedImageError):  # its text names a buffer in memory
        return f"no {' or '.join(formats)} file"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _turned(image: Image.Image) -> Image.Image:
    """As its EXIF orientation wants it; as stored where there is none that can be read."""
    try:
        return ImageOps.exif_transpose(image)
    except _UNREADABLE:
        return image
