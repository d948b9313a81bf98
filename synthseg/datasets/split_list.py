"""Lists of a split's images, in the forms that the VOC devkit and the code around it write."""

from __future__ import annotations

import codecs
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from synthseg.datasets.paths import inside
from synthseg.errors import CorruptData

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png")
MAX_SHOWN: Final = 80
"""Characters of a line that a message repeats."""
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_LABEL: Final = re.compile(r"[+-]?\d{1,3}")
"""A column of class labels, such as the -1, 0 and 1 of the devkit's lists by class."""


@dataclass(frozen=True, slots=True)
class ListedPair:
    """An image file and its mask file."""

    image: Path
    mask: Path


def read_split_list(source: Path, root: Path, images: Path, masks: Path) -> list[ListedPair]:
    """The images that the list `source` names, each with its mask, in its order.

    A line holds a name (`2007_000033` is the .jpg in `images` and the .png in `masks`), a name and labels (which are passed over), or
    the two paths below `root`, with or without a slash before them (`/JPEGImages/x.jpg /SegmentationClass/x.png`). Blank lines, CRLF
    and a byte order mark (UTF-8, UTF-16) are fine. CorruptData, with the line, for anything else and for an image that is listed twice.
    """
    pairs: list[ListedPair] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(_text(source).splitlines(), start=1):
        columns = line.split()
        if not columns:
            continue
        where = f"{source}, line {number}"
        try:
            pair = _pair(columns, root, images, masks)
        except ValueError as error:
            raise CorruptData(f"{where}: {error}; correct the list") from None
        first = lines.setdefault(pair.image.stem, number)
        if first != number:
            raise CorruptData(f"{where}: '{pair.image.stem}' is listed twice (line {first}); correct the list")
        pairs.append(pair)
    return pairs


def _pair(columns: list[str], root: Path, images: Path, masks: Path) -> ListedPair:
    name, more = columns[0], columns[1:]
    is_path = PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
    image = _resolved(name, root, images) if is_path else inside(images, f"{name}.jpg")
    if is_path and len(more) == 1 and more[0].lower().endswith(".png"):
        return ListedPair(image, _resolved(more[0], root, masks))
    if not all(_LABEL.fullmatch(column) for column in more):
        line = textwrap.shorten(" ".join(columns), MAX_SHOWN)
        raise ValueError(f"'{line}' is neither a name, nor a name and labels, nor the paths of an image and its mask")
    return ListedPair(image, masks / f"{image.stem}.png")


def _resolved(name: str, root: Path, folder: Path) -> Path:
    """The path that `name` means: in `folder` where it is a bare file name, else below `root`."""
    return inside(root, name.lstrip("/")) if "/" in name else inside(folder, name)


def _text(source: Path) -> str:
    try:
        content = source.read_bytes()
        encoding = next((encoding for mark, encoding in _BOMS if content.startswith(mark)), "utf-8")
        return content.decode(encoding)
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptData(f"{source}: cannot be read as text ({error}); restore the list") from None
