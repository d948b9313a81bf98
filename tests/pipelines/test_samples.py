from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from pipelines.label_metrics import label_metrics
from pipelines.samples import classifier_samples, final_labels, kept_samples, segmenter_samples
from synthseg.config import load_config
from synthseg.engines.image import GeneratedImage, ImageRequest
from synthseg.engines.registry import build_image_engine
from synthseg.ids import canonical_json, image_sha256
from synthseg.records import present
from synthseg.sample_plan import image_parameters, plan_samples
from synthseg.store.run_folder import RunFolder
from tests.rows import candidates, outcome, samples

ENDS = ("ok", "dropped", "failed", "ok")
"""What selection decides for the four samples."""
CONFIG = load_config("embedded", ["images.images_per_prompt=4"], classes=["cat", "dog"])


def published(row: dict[str, Any], end: str, encoded: bytes) -> dict[str, Any]:
    made = {**row, "outcome": outcome(end, "images")}
    if end != "failed":
        size = {"width": CONFIG.images.width, "height": CONFIG.images.height}
        made["image"] = {
            "bytes": encoded,
            **size,
            "sha256": image_sha256(encoded),
            "engine": "",
            "parameters": canonical_json(image_parameters(CONFIG)),
        }
        made["labels"] = {"label": [1, -1], "probs": [0.9, 0.5], "source": "clip"}
    return made


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run of four cats: the second dropped by selection, the third never painted, the last dropped by relabelling."""
    run = RunFolder.create(str(tmp_path), CONFIG)
    prompt = {"prompt_id": "p", "text": "a photo of a cat", "class_ids": [8], "round": 0, "parent_id": "", "quality": 1.0}
    prompt |= {"class_similarity": 1.0, "neighbour_similarity": 0.0, "engine": "template"}
    rows = plan_samples(CONFIG, candidates([prompt]), "engine:1").to_pylist()
    requests = [ImageRequest(row["prompt"]["text"], row["seed"], CONFIG.images.width, CONFIG.images.height) for row in rows]
    encoded = [image.encoded for image in build_image_engine(CONFIG).generate(requests) if isinstance(image, GeneratedImage)]
    made = [published(*parts) for parts in zip(rows, ENDS, encoded, strict=True)]
    run.shards.publish("images", "shard-00000", samples(made, "key", "prompt", "image", "score", "labels", "outcome"))
    key = ("sample_id", "class_ids", "ordinal", "seed")
    relabelled = [
        {
            **{k: rows[i][k] for k in key},
            "labels": {"label": label, "probs": [], "source": "classifier/0"},
            "outcome": outcome(end, "relabel"),
        }
        for i, label, end in ((0, [1, 0], "ok"), (3, [-1, -1], "dropped"))
    ]
    run.shards.publish("labels", "shard-00000", samples(relabelled, "key", "labels", "outcome"))
    return run


def test_the_classifier_learns_from_what_selection_kept(folder: RunFolder) -> None:
    kept = kept_samples(folder)
    assert [sample.ordinal for sample in kept] == [0, 3]
    assert {(s.class_ids, s.prompt.text, present(s.labels).label) for s in kept} == {((8,), "a photo of a cat", (1, -1))}
    assert [present(sample.image).width for sample in kept_samples(folder, ["image.width"])] == [CONFIG.images.width] * 2


def test_the_classifier_learns_from_them_in_order_of_their_ids(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(folder.out).parent)
    samples, prompt_ids = classifier_samples(CONFIG, RunFolder(Path(folder.out).name))
    monkeypatch.chdir("/")  # a training worker has a working directory of its own
    kept = sorted(kept_samples(folder), key=lambda sample: sample.sample_id)
    assert [samples.image(i) for i in range(2)] == [present(sample.image).encoded for sample in kept]
    assert (samples.labels.tolist(), prompt_ids) == ([[1, -1]] * 2, ["p", "p"])
    assert samples.content == [[present(sample.image).sha256] for sample in kept]
    again = pickle.loads(pickle.dumps(samples))
    assert again.image(1) == samples.image(1)


def test_the_segmenter_learns_from_what_relabelling_left(folder: RunFolder) -> None:
    kept = kept_samples(folder)
    assert final_labels(folder) == {kept[0].sample_id: (1, 0)}
    assert len(segmenter_samples(CONFIG, folder).labels) == 0, "no mask is made yet"
    mask = {"bytes": b"mask", "sha256": image_sha256(b"mask"), "source": "labels", "parameters": "{}"}
    row = {"sample_id": kept[0].sample_id, "class_ids": [8], "ordinal": 0, "seed": 1, "mask": mask, "outcome": outcome("ok", "masks")}
    folder.shards.publish("masks", "shard-00000", samples([row], "key", "mask", "outcome"))
    learnt = segmenter_samples(CONFIG, folder)
    assert (learnt.labels.tolist(), learnt.mask(0), learnt.image(0)) == ([[1, 0]], b"mask", present(kept[0].image).encoded)


def test_both_kinds_of_labels_are_measured_on_the_same_samples(folder: RunFolder) -> None:
    measured = label_metrics(CONFIG, folder)
    assert (measured["pseudo_f1"], measured["pseudo_unknown_share"]) == (1.0, 0.5)
    assert (measured["relabelled_f1"], measured["relabelled_unknown_share"]) == (1.0, 0.0)


def test_a_run_without_images_has_nothing_to_learn_from(tmp_path: Path) -> None:
    run = RunFolder.create(str(tmp_path), CONFIG)
    assert (kept_samples(run), len(segmenter_samples(CONFIG, run).labels), label_metrics(CONFIG, run)) == ([], 0, {})
