from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serving.jobs import results
from synthseg.config import load_config
from synthseg.ids import image_sha256
from synthseg.sample_plan import CONTEXT
from synthseg.store.run_folder import RunFolder
from synthseg.store.shards import ShardStore
from tests.rows import outcome, samples

IDS = {name: f"{number:024x}" for number, name in enumerate(("kept", "dropped", "failed", "later", "refuted"))}


def png(value: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 6, 3), value, np.uint8)).save(stream, "png")
    return stream.getvalue()


def row(name: str, status: str = "ok", class_id: int = 13) -> dict[str, Any]:
    key = {"sample_id": IDS[name], "class_ids": [class_id] if class_id else [], "ordinal": 0, "seed": 9}
    prompt = {"text": f"a {name} horse", "quality": 0.5, "class_similarity": 0.6, "neighbour_similarity": float("nan")}
    if status == "failed":
        return {**key, "prompt": prompt, "image": None, "score": None, "labels": None, "outcome": outcome("failed", "images", error="x")}
    encoded = png(len(name))
    image = {"bytes": encoded, "width": 6, "height": 4, "sha256": image_sha256(encoded), "engine": "painter", "parameters": "{}"}
    labels = {"label": [-1, 1], "probs": [0.3, 0.9], "source": "clip"}
    return {**key, "prompt": prompt, "image": image, "score": {"clip_score": 0.25}, "labels": labels, "outcome": outcome(status, "images")}


def relabelled(name: str, status: str = "ok") -> dict[str, Any]:
    found = row(name)
    labels = {"label": [0, 1], "probs": [0.1, 0.9], "source": "classifier/0"}
    return {
        **{key: found[key] for key in ("sample_id", "class_ids", "ordinal", "seed")},
        "labels": labels,
        "outcome": outcome(status, "relabel"),
    }


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder.create(str(tmp_path / "run"), load_config("embedded", classes=["car", "horse"]))
    sections = ("key", "prompt", "image", "score", "labels", "outcome")
    first = [row("kept"), row("dropped", "dropped"), row("failed", "failed")]
    made.shards.publish("images", "shard-00000", samples(first, *sections))
    made.shards.publish("images", "shard-00001", samples([row("later", class_id=0), row("refuted")], *sections))
    return made


def names(found: list[dict[str, Any]]) -> list[str]:
    by_id = {sample_id: name for name, sample_id in IDS.items()}
    return [by_id[sample["sample_id"]] for sample in found]


def test_the_gallery_shows_what_is_kept(folder: RunFolder) -> None:
    found = results.gallery(folder.out, 0, 10)
    assert names(found) == ["kept", "later", "refuted"]
    first = found[0]
    assert (first["prompt"], first["owner"], first["classes"], first["seed"]) == ("a kept horse", "horse", ["horse"], 9)
    assert (first["width"], first["height"], first["sha256"]) == (6, 4, image_sha256(png(4)))
    assert first["labels"] == {"car": "unknown", "horse": "present"}
    assert first["relabelled"] is False
    assert first["neighbour_similarity"] == 0.0  # NaN is no JSON
    assert found[1]["owner"] == CONTEXT
    assert "bytes" not in str(found)


def test_pages_of_the_gallery_join(folder: RunFolder) -> None:
    pages = [results.gallery(folder.out, offset, 1) for offset in range(4)]
    assert [names(page) for page in pages] == [["kept"], ["later"], ["refuted"], []]


def test_relabelling_changes_labels_and_takes_refuted_samples_away(folder: RunFolder) -> None:
    assert len(results.gallery(folder.out, 0, 10)) == 3
    table = samples([relabelled("later"), relabelled("refuted", "dropped")], "key", "labels", "outcome")
    folder.shards.publish("labels", "shard-00001", table)
    found = results.gallery(folder.out, 0, 10)
    assert names(found) == ["kept", "later"]
    assert found[1]["labels"] == {"car": "absent", "horse": "present"}
    assert [sample["relabelled"] for sample in found] == [False, True]


def test_images_are_the_stored_bytes(folder: RunFolder) -> None:
    assert results.image(folder.out, IDS["later"]) == png(5)
    for missing in (IDS["failed"], "f" * 24, "../run.json"):
        with pytest.raises(KeyError):
            results.image(folder.out, missing)


def test_an_unknown_image_is_looked_for_without_reading_pictures(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShardStore, "read", lambda *_: pytest.fail("a whole shard was read"))
    with pytest.raises(KeyError):
        results.image(folder.out, "f" * 24)


def test_a_run_that_has_not_begun_shows_nothing(tmp_path: Path) -> None:
    out = str(tmp_path / "nothing")
    assert results.gallery(out, 0, 10) == []
    assert results.progress(out) is None
    assert results.EventTail(out).read() == []
    with pytest.raises(KeyError):
        results.image(out, IDS["kept"])
    with pytest.raises(KeyError):
        results.report(out)


def test_progress_is_the_status_without_its_place(folder: RunFolder) -> None:
    found = results.progress(folder.out)
    assert found is not None
    rows = {stage["name"]: stage["num_rows"] for stage in found["stages"]}
    assert rows == {"prompts": 0, "plan": 0, "images": 5, "labels": 0, "masks": 0}
    assert folder.out not in str(found)


def test_the_report_is_the_stored_page(folder: RunFolder) -> None:
    folder.files.write("report/index.html", b"<html>")
    assert results.report(folder.out) == b"<html>"


def test_events_come_once_each_and_only_whole(folder: RunFolder) -> None:
    tail = results.EventTail(folder.out)
    assert [event["event"] for event in tail.read()] == ["run_created"]
    assert tail.read() == []
    path = Path(folder.out) / "events.jsonl"
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"event": "cut by a kill\n["no object"]\n{"event": "whole"}\n{"event": "ha')
    assert tail.read() == [{"event": "whole"}]
    with path.open("a", encoding="utf-8") as stream:
        stream.write('lf"}\n')
    assert tail.read() == [{"event": "half"}]
