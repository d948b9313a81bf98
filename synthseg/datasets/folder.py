"""Any pictures with masks: PATH/images/NAME.(jpg|jpeg|png|webp) and PATH/masks/NAME.png with the taxonomy's ids."""

from __future__ import annotations

from pathlib import Path

from synthseg.datasets.base import SegmentationSample
from synthseg.datasets.paths import file_names, require_file, require_folder
from synthseg.datasets.pictures import read_pair
from synthseg.errors import UsageProblem
from synthseg.taxonomy import Taxonomy

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class FolderDataset:
    """The first `limit` images under `root` by name; 0 takes all. Hidden files are no images: some systems leave them beside each."""

    def __init__(self, root: Path, classes: Taxonomy, limit: int = 0) -> None:
        folder = require_folder(root / "images", "the images")
        self._masks = require_folder(root / "masks", "a mask PNG of class ids for each image")
        self._classes = classes
        names = sorted(name for name in file_names(folder) if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."))
        if not names:
            raise UsageProblem(f"evaluation.dataset: {folder} holds no image ({', '.join(SUFFIXES)}); put images there")
        self._images = [folder / name for name in names][: limit or None]
        self._check_masks()

    def _check_masks(self) -> None:
        owners: dict[str, Path] = {}
        for image in self._images:
            mask = require_file(self._masks / f"{image.stem}.png", f"the mask of {image.name}")
            first = owners.setdefault(image.stem, image)
            if first != image:
                raise UsageProblem(f"evaluation.dataset: {first} and {image} share one mask, {mask}; rename or remove one of them")

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> SegmentationSample:
        path = self._images[index]
        image, mask = read_pair(path, self._masks / f"{path.stem}.png", self._classes)
        return SegmentationSample(path.stem, image, mask)
