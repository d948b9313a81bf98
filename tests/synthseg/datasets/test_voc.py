from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthseg.config.loading import load_config
from synthseg.datasets.base import open_dataset
from synthseg.errors import CorruptData, UsageProblem
from synthseg.evaluation.confusion import ConfusionMatrix

SAMPLE = os.environ.get("SYNTHSEG_VOC_SAMPLE", "")


LIST = "ImageSets/Segmentation/val.txt"


@pytest.fixture
def devkit(tmp_path):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("b\na\n", encoding="utf-8")
    for value, name in enumerate(("a", "b"), start=1):
        Image.fromarray(np.full((5, 7, 3), 40 * value, np.uint8)).save(tmp_path / f"JPEGImages/{name}.jpg", quality=95)
        mask = Image.fromarray(np.full((5, 7), value, np.uint8), "P")
        mask.putpalette([128, 0, 0] * 256)
        mask.save(tmp_path / f"SegmentationClass/{name}.png")
    return tmp_path


def test_reads_the_val_list_in_its_order(devkit):
    dataset = open_dataset(f"voc:{devkit}", load_config("voc"))
    assert [dataset[i].name for i in range(len(dataset))] == ["b", "a"]
    assert (dataset[0].mask == 2).all()
    assert dataset[0].image.shape == (5, 7, 3)
    assert abs(int(dataset[0].image[0, 0, 0]) - 80) < 3
    with pytest.raises(IndexError):
        dataset[2]


def test_limit_takes_the_first(devkit):
    assert len(open_dataset(f"voc:{devkit}", load_config("voc", ["evaluation.num_images=1"]))) == 1


def test_missing_list_is_named(devkit):
    (devkit / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(UsageProblem, match=r"val\.txt is missing"):
        open_dataset(f"voc:{devkit}", load_config("voc"))


def names(devkit: Path) -> list[str]:
    dataset = open_dataset(f"voc:{devkit}", load_config("voc"))
    return [dataset[i].name for i in range(len(dataset))]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfb\na\n",
        "b\r\na\r\n".encode("utf-16"),
        b"\xfe\xff" + "b\na\n".encode("utf-16-be"),
        b"b\r\na\r\n",
        b"b\ra",
        b"\n\nb\n   \n\ta  \n\n",
        b"b  1\na -1\n",
        b"b 0 0 1 0\na 15 2\n",
        b"/JPEGImages/b.jpg /SegmentationClass/b.png\n/JPEGImages/a.jpg /SegmentationClass/a.png\n",
        b"JPEGImages/b.jpg SegmentationClass/b.png\nJPEGImages/a.jpg SegmentationClass/a.png\n",
        b"JPEGImages/b.jpg\n/JPEGImages/a.jpg 7\n",
        b"b.jpg b.png\na.jpg\n",
    ],
    ids=["BOM", "UTF-16", "UTF-16 BE", "CRLF", "CR", "blank lines", "labels", "many labels", "DeepLab", "paths", "images", "files"],
)
def test_lists_are_read_in_all_their_forms(devkit, content):
    (devkit / LIST).write_bytes(content)
    assert names(devkit) == ["b", "a"]


def test_the_mask_s_folder_may_be_the_list_s(devkit):
    (devkit / "SegmentationClassAug").mkdir()
    Image.fromarray(np.full((5, 7), 20, np.uint8)).save(devkit / "SegmentationClassAug/a.png")
    (devkit / LIST).write_text("/JPEGImages/a.jpg /SegmentationClassAug/a.png\n", encoding="utf-8")
    dataset = open_dataset(f"voc:{devkit}", load_config("voc"))
    assert (dataset[0].mask == 20).all()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"b\n../JPEGImages/a\n", r"line 2: '\.\./JPEGImages/a\.jpg' is no name of a file below"),
        (b"/JPEGImages/../../a.jpg\n", r"line 1: .* is no name of a file below"),
        (b"/JPEGImages/a.jpg /../SegmentationClass/a.png\n", "line 1: .* is no name of a file below"),
        (b"/etc/passwd\n", "line 1: .* is no name of a file below"),
        (b"/etc/a.jpg\n", r"/etc/a\.jpg: is missing, but .*val\.txt names it"),
        (b"a\nb\n\na 1\n", r"line 4: 'a' is listed twice \(line 1\)"),
        (b"a\n/JPEGImages/a.jpg\n", "line 2: 'a' is listed twice"),
        (b"a b\n", "line 1: 'a b' is neither a name, nor a name and labels, nor the paths"),
        (b"2007_000033 2007_000042\n", "line 1: .* is neither a name"),
        (b"a 0.5\n", "line 1: .* is neither a name"),
        (b"c\n", r"JPEGImages/c\.jpg: is missing, but .*val\.txt names it"),
        (b"a" * 300 + b"\n", r"a\.jpg: is missing, but"),
        (b"a" * 300 + b"/a.jpg\n", r"a\.jpg: is missing, but"),
        (b"folder\n", r"JPEGImages/folder\.jpg: is no file, but .*val\.txt names it"),
        (b"a\0\n", "line 1: .* is no name of a file"),
        ("b\n".encode("utf-16-le"), "line 1: .* is no name of a file"),
        (b"\xff\xfeb", "cannot be read as text"),
        (b"\xe9\n", r"val\.txt: cannot be read as text"),
        (b"<!DOCTYPE html>\n", "line 1: .* is neither a name"),
    ],
)
def test_other_lists_are_refused_with_file_and_line(devkit, content, says):
    (devkit / "JPEGImages/folder.jpg").mkdir()
    (devkit / LIST).write_bytes(content)
    with pytest.raises(CorruptData, match=says) as caught:
        open_dataset(f"voc:{devkit}", load_config("voc"))
    assert str(devkit / LIST) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_an_empty_list_is_named(devkit, content):
    (devkit / LIST).write_bytes(content)
    with pytest.raises(UsageProblem, match=r"val\.txt names no image"):
        open_dataset(f"voc:{devkit}", load_config("voc"))


def test_a_folder_in_the_list_s_place_is_named(devkit):
    (devkit / LIST).unlink()
    (devkit / LIST).mkdir()
    with pytest.raises(UsageProblem, match=r"val\.txt is no file"):
        open_dataset(f"voc:{devkit}", load_config("voc"))
    (devkit / LIST).rmdir()
    (devkit / LIST).symlink_to(devkit / LIST)
    with pytest.raises(UsageProblem, match=r"val\.txt"):
        open_dataset(f"voc:{devkit}", load_config("voc"))


@pytest.mark.parametrize("gone", ["JPEGImages/a.jpg", "SegmentationClass/a.png"])
def test_a_file_that_only_the_list_has_is_named_at_the_start(devkit, gone):
    (devkit / gone).unlink()
    with pytest.raises(CorruptData, match=rf"{devkit / gone}: is missing"):
        open_dataset(f"voc:{devkit}", load_config("voc"))
    assert len(open_dataset(f"voc:{devkit}", load_config("voc", ["evaluation.num_images=1"]))) == 1


def test_linked_files_are_read(devkit, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "picture"
    (devkit / "JPEGImages/a.jpg").rename(elsewhere)
    (devkit / "JPEGImages/a.jpg").symlink_to(elsewhere)
    assert names(devkit) == ["b", "a"]


def test_the_home_folder_is_read(devkit, monkeypatch):
    monkeypatch.setenv("HOME", str(devkit.parent))
    assert names(Path("~") / devkit.name) == ["b", "a"]


def test_a_mask_of_another_size_is_refused(devkit):
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(devkit / "SegmentationClass/a.png")
    with pytest.raises(CorruptData, match=r"a\.jpg: is 5 x 7 .*its mask .*a\.png is 5 x 6"):
        names(devkit)


def test_a_mask_saved_through_luminance_is_refused(devkit):
    mask = Image.open(devkit / "SegmentationClass/a.png")
    mask.convert("RGB").convert("L").save(devkit / "SegmentationClass/a.png")
    with pytest.raises(CorruptData, match=r"SegmentationClass/a\.png: holds 38, which voc has no class for"):
        names(devkit)


def score(devkit: Path) -> float:
    """mIoU of the truth measured against itself, read anew."""
    dataset, again = (open_dataset(f"voc:{devkit}", load_config("voc")) for _ in range(2))
    matrix = ConfusionMatrix(20)
    for i in range(len(dataset)):
        matrix.update(dataset[i].mask, np.where(again[i].mask == 255, 0, again[i].mask).astype(np.uint8))
    return matrix.miou()


def test_the_truth_itself_scores_one(devkit):
    mask = np.arange(35, dtype=np.uint8).reshape(5, 7) % 22
    mask[mask == 21] = 255
    Image.fromarray(mask).save(devkit / "SegmentationClass/a.png")
    assert score(devkit) == 1.0


@pytest.mark.skipif(not SAMPLE, reason="SYNTHSEG_VOC_SAMPLE names no devkit folder")
def test_real_images_have_masks_of_known_classes():
    assert Path(SAMPLE).is_dir()
    dataset = open_dataset(f"voc:{SAMPLE}", load_config("voc"))
    assert len(dataset) > 0
    seen = set()
    for i in range(len(dataset)):
        sample = dataset[i]
        assert sample.mask.shape == sample.image.shape[:2]
        seen |= set(np.unique(sample.mask).tolist())
    assert {0, 255} < seen <= {*range(21), 255}
    assert score(Path(SAMPLE)) == 1.0
