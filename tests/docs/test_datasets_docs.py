"""docs/datasets.md shows layouts that are read as they stand there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from synthseg.config import load_config
from synthseg.config.checks import DATASET_KINDS
from synthseg.datasets.base import open_dataset
from tests.synthseg.datasets.coco_files import categories, square

TEXT = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
BLOCK = TEXT.partition("## Layouts\n\n```\n")[2].partition("```")[0]
LAYOUTS = {line.split(":")[0]: line.split()[1:] for line in BLOCK.splitlines()}


def test_every_kind_has_its_row_and_its_layout() -> None:
    assert set(LAYOUTS) == set(DATASET_KINDS)
    assert set(re.findall(r"^\| `(\w+)", TEXT, re.MULTILINE)) == {"field", *DATASET_KINDS}


@pytest.mark.parametrize("kind", DATASET_KINDS)
def test_a_layout_is_read(kind: str, tmp_path: Path) -> None:
    for part in LAYOUTS[kind]:
        path = tmp_path / part.removeprefix("PATH/").replace("NAME", "x").replace("*", "x").replace("(jpg|jpeg|png|webp)", "webp")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("x\n", encoding="utf-8")
        elif path.suffix == ".json":
            instance = {"id": 1, "image_id": 7, "category_id": 1, "area": 4, "segmentation": [square(0, 0, 3, 2)]}
            images = [{"id": 7, "file_name": "x.jpg", "width": 3, "height": 2}]
            path.write_text(json.dumps({"images": images, "annotations": [instance], "categories": categories()}), encoding="utf-8")
        elif path.suffix == ".png":
            Image.new("L", (3, 2), 1).save(path)
        else:
            Image.new("RGB", (3, 2)).save(path)
    (sample,) = open_dataset(f"{kind}:{tmp_path}", load_config("coco" if kind == "coco" else "voc"))
    assert sample.image.shape == (2, 3, 3)
    assert (sample.mask == 1).all()
