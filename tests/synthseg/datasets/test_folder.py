from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from synthseg.config.loading import load_config
from synthseg.datasets.base import open_dataset
from synthseg.errors import UsageProblem


def test_pairs_images_with_masks_by_name(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(UsageProblem, match="holds no image"):
        open_dataset(f"folder:{tmp_path}", load_config("voc"))
    for value, name in enumerate(("b.png", "a.JPG", "note.txt"), start=1):
        if name.endswith("txt"):
            (tmp_path / "images" / name).write_text("no image")
            continue
        Image.fromarray(np.full((4, 6, 3), 10, np.uint8)).save(tmp_path / "images" / name, format="PNG")
        Image.fromarray(np.full((4, 6), value, np.uint8)).save(tmp_path / "masks" / f"{name[0]}.png")
    dataset = open_dataset(f"folder:{tmp_path}", load_config("voc"))
    assert [(dataset[i].name, int(dataset[i].mask[0, 0])) for i in range(len(dataset))] == [("a", 2), ("b", 1)]
    (tmp_path / "masks" / "a.png").unlink()
    with pytest.raises(UsageProblem, match=r"a\.png is missing \(the mask of a\.JPG\)"):
        open_dataset(f"folder:{tmp_path}", load_config("voc"))
