"""Which values a mask may hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthseg.errors import CorruptData
from synthseg.taxonomy import VOID_ID, Taxonomy

NUM_SHOWN = 3
"""Values that a message names."""


def check_ids(mask: NDArray[np.uint8], classes: Taxonomy, source: object) -> None:
    """CorruptData that names `source` and the values of `mask` (H, W) which are neither 0..K of `classes` nor 255.

    Such a value must never count as background: a mask that went through a color conversion would then be measured as if it were right.
    """
    counts = np.bincount(mask.ravel(), minlength=VOID_ID + 1)
    unknown = [int(value) for value in np.flatnonzero(counts) if classes.num_classes < value < VOID_ID]
    if unknown:
        shown = ", ".join(str(value) for value in unknown[:NUM_SHOWN]) + (", ..." if len(unknown) > NUM_SHOWN else "")
        raise CorruptData(
            f"{source}: holds {shown}, which {classes.name} has no class for "
            f"(0 background, 1..{classes.num_classes} classes, {VOID_ID} void); restore the original mask"
        )
