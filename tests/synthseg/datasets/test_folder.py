from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from synthseg.config.loading import load_config
from synthseg.datasets.base import open_dataset
from synthseg.errors import CorruptData, UsageProblem


def test_pairs_images_with_masks_by_name(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(UsageProblem, match="holds no image"):
        open_dataset(f"folder:{tmp_path}", load_config("voc"))
    for value, name in enumerate(("b.png", "a.JPG", "note.txt"), start=1):
        if name.endswith("txt"):
            (tmp_path / "images" / name).write_text("no image", encoding="utf-8")
            continue
        Image.fromarray(np.full((4, 6, 3), 10, np.uint8)).save(tmp_path / "images" / name, format="PNG")
        Image.fromarray(np.full((4, 6), value, np.uint8)).save(tmp_path / "masks" / f"{name[0]}.png")
    dataset = open_dataset(f"folder:{tmp_path}", load_config("voc"))
    assert [(dataset[i].name, int(dataset[i].mask[0, 0])) for i in range(len(dataset))] == [("a", 2), ("b", 1)]
    (tmp_path / "masks" / "a.png").unlink()
    with pytest.raises(UsageProblem, match=r"a\.png is missing \(the mask of a\.JPG\)"):
        open_dataset(f"folder:{tmp_path}", load_config("voc"))


@pytest.fixture
def root(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.full((4, 6, 3), 10, np.uint8)).save(tmp_path / "images" / "a.png")
    Image.fromarray(np.ones((4, 6), np.uint8)).save(tmp_path / "masks" / "a.png")
    return tmp_path


def read(root, preset="voc"):
    dataset = open_dataset(f"folder:{root}", load_config(preset))
    return [dataset[i] for i in range(len(dataset))]


def test_images_without_masks_are_named(root):
    (root / "masks" / "a.png").unlink()
    (root / "masks").rmdir()
    with pytest.raises(UsageProblem, match=r"masks is missing \(a mask PNG of class ids for each image\)"):
        read(root)
    (root / "masks").write_text("no folder", encoding="utf-8")
    with pytest.raises(UsageProblem, match="masks is no folder"):
        read(root)


def test_a_folder_in_a_mask_s_place_is_named(root):
    (root / "masks" / "a.png").unlink()
    (root / "masks" / "a.png").mkdir()
    with pytest.raises(UsageProblem, match=r"a\.png is no file"):
        read(root)


def test_hidden_files_and_folders_are_no_images(root):
    (root / "images" / "._a.png").write_bytes(b"what a file manager keeps beside a file")
    (root / "images" / "thumbnails.png").mkdir()
    assert [sample.name for sample in read(root)] == ["a"]


def test_two_images_never_share_a_mask(root):
    Image.fromarray(np.full((4, 6, 3), 10, np.uint8)).save(root / "images" / "a.jpg")
    with pytest.raises(UsageProblem, match=r"a\.jpg and .*a\.png share one mask"):
        read(root)


def test_a_mask_of_another_size_is_refused(root):
    Image.fromarray(np.ones((6, 4), np.uint8)).save(root / "masks" / "a.png")
    with pytest.raises(CorruptData, match=r"images/a\.png: is 4 x 6 .*masks/a\.png is 6 x 4"):
        read(root)


def test_the_run_s_taxonomy_says_which_values_are_classes(root):
    Image.fromarray(np.full((4, 6), 80, np.uint8)).save(root / "masks" / "a.png")
    assert (read(root, "coco")[0].mask == 80).all()
    with pytest.raises(CorruptData, match=r"masks/a\.png: holds 80, which voc has no class for"):
        read(root)


def test_the_home_folder_is_read(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    assert len(read("~")) == 1
