from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthseg.config.loading import load_config
from synthseg.datasets.base import open_dataset, to_class_order
from synthseg.errors import CorruptData, UsageProblem


def test_class_order_maps_ids_and_keeps_void():
    config = load_config("embedded", classes=["sheep", "bird"])
    mask = np.array([[0, 3, 17], [255, 8, 20]], np.uint8)
    assert to_class_order(mask, config).tolist() == [[0, 1, 2], [255, 0, 0]]


@pytest.mark.parametrize("value", [21, 150, 254])
def test_a_value_without_a_class_never_becomes_background(value):
    with pytest.raises(CorruptData, match=rf"mask: holds {value}, which voc has no class for"):
        to_class_order(np.array([[0, value]], np.uint8), load_config("embedded"))


@pytest.mark.parametrize("spec", ["", "voc", "voc:", "pascal:/data", "fields", "field:", "field:/data", "~/voc"])
def test_unknown_names_are_refused(spec):
    with pytest.raises(UsageProblem, match=r"evaluation\.dataset"):
        open_dataset(spec, load_config("embedded"))


@pytest.mark.parametrize("spec", ["voc:nowhere", "folder:nowhere"])
def test_missing_folders_are_named(spec):
    with pytest.raises(UsageProblem, match=r"nowhere.* is missing"):
        open_dataset(spec, load_config("embedded"))


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "/proc/self/mem/voc", "/dev/null"])
@pytest.mark.parametrize("kind", ["voc", "folder"])
def test_paths_that_cannot_be_are_missing(kind, name):
    with pytest.raises(UsageProblem, match=r"is missing"):
        open_dataset(f"{kind}:{name}", load_config("embedded"))


@pytest.mark.parametrize("spec", ["voc:~/pascal", "folder:~/pascal"])
def test_the_home_folder_is_known(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageProblem, match=rf"{tmp_path}/pascal/\w+ is missing"):
        open_dataset(spec, load_config("embedded"))


def test_a_home_that_nobody_has_is_named():
    with pytest.raises(UsageProblem, match=r"evaluation\.dataset: 'voc:~no_such_user/voc'.*write the whole path"):
        open_dataset("voc:~no_such_user/voc", load_config("embedded"))


def test_taxonomy_must_fit():
    with pytest.raises(UsageProblem, match="taxonomy"):
        open_dataset("coco:nowhere", load_config("embedded"))
    with pytest.raises(UsageProblem, match="taxonomy"):
        open_dataset("field", load_config("coco"))
