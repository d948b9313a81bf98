"""Preset `laptop` from fetch to report: its engines on weights of their formats that come from a mirror, with a hub nowhere."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from synthseg.config import load_config
from synthseg.engines.llama.engine import embedded_model_path
from synthseg.machine.file_digest import sha256_of
from synthseg.machine.hub.catalogue import weights_of
from synthseg.machine.hub.manifest import FileRecord, Manifest
from synthseg.machine.hub.mirror import Mirror
from tests.e2e.small import metrics, synthseg

tiny_diffusers = pytest.importorskip("tests.tiny_diffusers", reason="comes with the diffusers engine")

pytestmark = [pytest.mark.e2e, pytest.mark.engines, pytest.mark.timeout(600)]

# The encoders are the embedded ones: the language model and the diffusion model are what the hub's small models change.
SETTINGS = (
    "scoring.model=embedded",
    "scoring.weights=",
    "classifier.model=embedded",
    "segmenter.clip_model=embedded",
    "segmenter.clip_weights=",
    "segmenter.affinity=none",
    "classifier.image_size=64",
    "segmenter.crop_size=64",
    "images.width=64",
    "images.height=64",
    "images.dtype=fp32",
    "images.variant=",
    "prompts.prompts_per_class=4",
    "prompts.context_prompts_per_class=1",
    "scoring.present_threshold=0.0",
    "scoring.absent_threshold=0.0",
    "scoring.refute_threshold=0.0",
    "execution.shard_size=8",
    "classifier.epochs=1",
    "segmenter.iterations=6",
    "segmenter.warmup_iterations=1",
    "evaluation.num_images=4",
)


def fill_mirror(mirror: Path, source: Path) -> None:
    """What `synthseg fetch laptop --to` would leave, were these the hub's models."""
    store = Mirror(str(mirror))
    for weight in weights_of(load_config("laptop", SETTINGS)):
        if weight.field == "prompts.model":
            files = {weight.hub_id.file: embedded_model_path()}
        else:
            files = {path.relative_to(source).as_posix(): path for path in source.rglob("*") if path.is_file()}
        records = {name: FileRecord(path.stat().st_size, sha256_of(path)) for name, path in files.items()}
        for name, path in files.items():
            store.add_file(weight.hub_id, name, path)
        commit = hashlib.sha1(weight.field.encode()).hexdigest()
        store.publish(weight.hub_id, Manifest(weight.hub_id.repo, commit, records, frozenset({weight.selection.key})))


def test_fetch_then_run_without_a_network(tmp_path: Path) -> None:
    fill_mirror(tmp_path / "mirror", tiny_diffusers.stable_diffusion(tmp_path / "sd"))
    home = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    lacking = synthseg("run", "laptop", "--out", str(tmp_path / "out"), *sets, **home)
    assert lacking.returncode == 2
    assert "stabilityai/sd-turbo (images.model) not on this machine (synthseg fetch laptop)" in lacking.stderr

    fetched = synthseg("fetch", "laptop", *sets, "--json", **home, SYNTHSEG_WEIGHTS=str(tmp_path / "mirror"))
    assert fetched.returncode == 0, fetched.stderr
    assert {row["state"] for row in json.loads(fetched.stdout)["weights"]} == {"from the mirror"}

    done = synthseg("run", "laptop", "--out", str(tmp_path / "out"), "--classes", "car,horse", *sets, **home)
    assert done.returncode == 0, done.stderr
    measured = metrics(tmp_path / "out")
    assert measured["samples"]["ok"] > 0
    assert "field_miou" in measured["segmenter"]
