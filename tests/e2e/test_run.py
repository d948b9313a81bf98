"""The whole pipeline, from the command line, on the smallest real run."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from synthseg.machine.packaged import EMBEDDED_CLIP
from synthseg.store.run_folder import RunFolder
from tests.e2e.small import arguments, events, images, metrics, synthseg

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("run") / "out"
    done = synthseg(*arguments(out, "--workers", "2"))
    assert done.returncode == 0, done.stderr
    return out, done


Finished = tuple[Path, subprocess.CompletedProcess[str]]


def test_metrics_hold_what_was_promised(finished: Finished) -> None:
    measured = metrics(finished[0])
    samples = measured["samples"]
    assert samples["ok"] + samples["dropped"] + samples["failed"] == samples["planned"] > 0
    for section in ("prompts", "template_control"):
        assert {"candidates", "accepted", "rounds", "acceptance_rate", "mean_neighbour_similarity"} <= measured[section].keys()
    assert 0 < measured["labels"]["pseudo_f1"] <= 1
    assert 0 < measured["labels"]["relabelled_f1"] <= 1
    assert 0 < measured["classifier"]["field_map"] <= 1
    assert 0 < measured["segmenter"]["field_miou"] <= 1
    assert set(measured["segmenter"]["per_class"]) <= {"background", "car", "horse"}
    assert 0 < measured["control"]["training_free_miou"] <= 1
    assert {"prompts", "images", "classifier", "relabel", "masks", "segmenter", "evaluate"} <= measured["stage_seconds"].keys()
    assert measured["images_per_s"] > 0


def test_the_run_says_where_its_results_are_and_ray_keeps_quiet(finished: Finished) -> None:
    out, done = finished
    assert str(out / "metrics.json") in done.stdout
    assert str(out / "report" / "index.html") in done.stdout
    assert "ray" not in (done.stdout + done.stderr).lower().replace("gray", "")


def test_verify_finds_a_whole_run(finished: Finished) -> None:
    done = synthseg("verify", str(finished[0]), "--json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert (found["duplicates"], found["missing"], found["faults"]) == (0, 0, [])


def test_the_same_command_again_makes_nothing_anew(finished: Finished) -> None:
    out, _ = finished
    before = len(events(out, "shard_started", "images"))
    done = synthseg(*arguments(out, "--workers", "1"))
    assert done.returncode == 0, done.stderr
    assert len(events(out, "shard_started", "images")) == before


def test_any_sample_can_be_made_again(finished: Finished) -> None:
    out, _ = finished
    done = synthseg("reproduce", str(out), next(iter(images(out))))
    assert done.returncode == 0, done.stderr
    assert "identical" in done.stdout


def test_an_unknown_sample_is_named(finished: Finished) -> None:
    done = synthseg("reproduce", str(finished[0]), "nosuchsample")
    assert done.returncode == 2
    assert "nosuchsample" in done.stderr


def test_workers_and_batches_change_no_image(finished: Finished, tmp_path: Path) -> None:
    other = tmp_path / "other"
    done = synthseg(
        *arguments(other, "--workers", "1", "--until", "images", settings=("execution.image_batch_size=16", "execution.max_in_flight=4"))
    )
    assert done.returncode == 0, done.stderr
    assert images(other) == images(finished[0])


def test_workers_and_batches_change_nothing_the_language_model_asks_for(tmp_path: Path) -> None:
    settings = ("prompts.engine=llama", "prompts.prompts_per_class=3", "images.images_per_prompt=2", "scoring.keep_per_prompt=2")
    found = []
    for workers, batch in ((1, 4), (2, 16)):
        out = tmp_path / f"workers-{workers}"
        execution = (f"execution.image_batch_size={batch}", "execution.shard_size=4")
        done = synthseg(*arguments(out, "--workers", str(workers), "--until", "images", settings=(*settings, *execution)))
        assert done.returncode == 0, done.stderr
        found.append(images(out))
    assert found[0] == found[1]
    assert len(found[0]) >= 8


def test_verify_finds_a_truncated_shard_and_the_same_command_mends_it(finished: Finished) -> None:
    out, _ = finished
    folder = RunFolder.open(str(out))
    name, marker = next(iter(folder.shards.markers("images").items()))
    path = out / "images" / marker.data
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    done = synthseg("verify", str(out))
    assert done.returncode == 1
    assert marker.data in done.stdout
    (out / "images" / f"{name}.json").unlink()
    assert synthseg(*arguments(out)).returncode == 0
    assert synthseg("verify", str(out)).returncode == 0


def test_another_seed_in_the_same_folder_is_refused(finished: Finished) -> None:
    done = synthseg(*arguments(finished[0], "--seed", "7"))
    assert done.returncode == 2
    assert "seed: 0 -> 7" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_new_clip_weights_under_the_same_name_are_refused(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip", tmp_path / "out"
    shutil.copytree(EMBEDDED_CLIP, clip)
    command = arguments(out, "--until", "prompts", settings=(f"scoring.model={clip}",))
    assert synthseg(*command).returncode == 0
    weights = load_file(clip / "model.safetensors")
    weights["logit_scale"] += 0.1
    save_file(weights, clip / "model.safetensors")
    done = synthseg(*command)
    assert done.returncode == 2
    assert "other weights" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
