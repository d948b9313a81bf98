"""Draws docs/contact-sheet.png: every class in several views, as the training world and the field world paint it.

python benchmarks/contact_sheet.py [--out docs/contact-sheet.png] [--side 96]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthseg.embedded.scenes.painter import paint
from synthseg.embedded.scenes.worlds import FIELD, TRAINING
from synthseg.taxonomy import taxonomy

VIEWS = ("side view", "front view", "three-quarter view", "from behind")
LABEL_WIDTH = 104


def row(display: str, side: int) -> NDArray[np.uint8]:
    """One class: training pictures, then field pictures, one a view."""
    label = np.full((side, LABEL_WIDTH, 3), 250, np.uint8)
    cv2.putText(label, display, (6, side // 2 + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    cells = [label]
    for world in (TRAINING, FIELD):
        for number, view in enumerate(VIEWS):
            picture = paint(f"a {display}, {view}", number, world=world).image
            cells.append(np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8))
        cells.append(np.full((side, 6, 3), 250, np.uint8))
    return np.hstack(cells[:-1])


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/contact-sheet.png"))
    parser.add_argument("--side", type=int, default=96)
    options = parser.parse_args()
    rows = [row(c.display, options.side) for c in taxonomy("voc").classes]
    width = rows[0].shape[1]
    head = np.full((24, width, 3), 250, np.uint8)
    cv2.putText(head, "training world", (LABEL_WIDTH, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.48, (30, 30, 30), 1, cv2.LINE_AA)
    field_x = LABEL_WIDTH + len(VIEWS) * options.side + 6
    cv2.putText(head, "field world (held out)", (field_x, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.48, (30, 30, 30), 1, cv2.LINE_AA)
    sheet = np.vstack([head, *rows])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    palette = Image.fromarray(sheet).quantize(colors=96, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(options.out, optimize=True)
    print(f"{options.out}: {sheet.shape[1]} x {sheet.shape[0]} pixels, {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
