"""What `make demo` promises, read off the folder it left (make check-demo)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.small import metrics, synthseg

pytestmark = pytest.mark.demo

OUT = Path(os.environ.get("OUT", "runs/embedded"))
MIN_KEPT = 400
MIN_CLASSES = 8
MIN_GAIN = 0.10
"""mIoU of the trained segmenter above the training-free control."""


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return metrics(OUT)


def test_enough_images_of_enough_classes_are_kept(measured: dict[str, Any]) -> None:
    samples = measured["samples"]
    assert samples["ok"] >= MIN_KEPT
    assert sum(counts["ok"] > 0 for counts in samples["per_class"].values()) >= MIN_CLASSES
    assert samples["ok"] + samples["dropped"] + samples["failed"] == samples["planned"]
    assert samples["failed"] == 0


def test_training_is_worth_its_time(measured: dict[str, Any]) -> None:
    assert measured["segmenter"]["field_miou"] >= measured["control"]["training_free_miou"] + MIN_GAIN


def test_the_language_model_writes_more_diverse_prompts_than_the_template(measured: dict[str, Any]) -> None:
    assert measured["prompts"]["mean_neighbour_similarity"] < measured["template_control"]["mean_neighbour_similarity"]


def test_relabelling_makes_labels_truer(measured: dict[str, Any]) -> None:
    assert measured["labels"]["relabelled_f1"] > measured["labels"]["pseudo_f1"]


def test_nothing_is_missing_or_doubled() -> None:
    done = synthseg("verify", str(OUT))
    assert done.returncode == 0, done.stdout


def test_the_report_is_one_page(measured: dict[str, Any]) -> None:
    page = (OUT / "report" / "index.html").read_text(encoding="utf-8")
    assert f"{measured['segmenter']['field_miou']:.3f}" in page
    assert "<script src" not in page
    assert 'href="http' not in page
