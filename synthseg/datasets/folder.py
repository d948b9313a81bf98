"""Any pictures with masks: PATH/images/NAME.(jpg|jpeg|png|webp) and PATH/masks/NAME.png with the taxonomy's ids."""

from __future__ import annotations

from pathlib import Path

from synthseg.datasets.base import SegmentationSample, read_image, read_mask, require
from synthseg.errors import UsageProblem

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class FolderDataset:
    """The first `limit` images under `root` by name; 0 takes all."""

    def __init__(self, root: Path, limit: int = 0) -> None:
        folder = require(root / "images", "the images")
        self._masks = require(root / "masks", "a mask PNG of class ids for each image")
        images = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not images:
            raise UsageProblem(f"evaluation.dataset: {folder} holds no image ({', '.join(SUFFIXES)}); put images there")
        self._images = images[: limit or None]
        for image in self._images:
            require(self._masks / f"{image.stem}.png", f"the mask of {image.name}")

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> SegmentationSample:
        path = self._images[index]
        return SegmentationSample(path.stem, read_image(path), read_mask(self._masks / f"{path.stem}.png"))
