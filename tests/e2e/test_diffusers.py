"""A whole run and a whole server on a small diffusers pipeline, from the command line."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import httpx
import pytest

from tests.e2e.small import arguments, images, metrics, synthseg
from tests.serving.deploy.live import live_server

pytest.importorskip("diffusers", reason="needs the extra 'diffusion'")

pytestmark = [pytest.mark.e2e, pytest.mark.engines, pytest.mark.timeout(600)]

SETTINGS = ("images.engine=diffusers", "images.dtype=fp32", "images.width=64", "images.height=64", "images.parameters={steps=2}")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny_diffusers import stable_diffusion

    return stable_diffusion(tmp_path_factory.mktemp("pipeline") / "sd")


def run(out: Path, pipeline: Path, *more: str) -> list[str]:
    few = ("prompts.prompts_per_class=3", "images.images_per_prompt=2", "scoring.keep_per_prompt=2", f"images.model={pipeline}")
    return arguments(out, "--until", "images", settings=(*SETTINGS, *few, *more))


def test_a_run_paints_stores_its_invariance_and_can_be_reproduced(pipeline: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    done = synthseg(*run(out, pipeline))
    assert done.returncode == 0, done.stderr
    made = images(out)
    assert len(set(made.values())) == len(made) >= 12
    measured = metrics(out)["invariance"]
    assert (measured["num_images"], measured["num_identical"], measured["max_difference"]) == (8, 8, 0)
    again = synthseg("reproduce", str(out), next(iter(made)))
    assert again.returncode == 0, again.stderr
    assert "identical" in again.stdout
    done = synthseg(*run(other, pipeline, "execution.image_batch_size=3", "execution.max_in_flight=4"), "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert images(other) == made


def test_a_run_without_its_weights_ends_before_anything_starts(pipeline: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for more, says in (
        ((f"images.model={tmp_path}/nowhere",), "images.model"),
        (("images.parameters={steps=2, guidance=3}",), "did you mean 'guidance_scale'?"),
    ):
        done = synthseg(*run(out, pipeline, *more), timeout_s=60)
        assert done.returncode == 2, done.stderr
        assert says in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert not out.exists()


@pytest.mark.server
def test_a_server_paints_with_it(pipeline: Path, tmp_path: Path) -> None:
    settings = (*SETTINGS, f"images.model={pipeline}", "prompts.engine=template", "serving.jobs=false")
    with live_server(tmp_path, *settings) as server:
        body = {"prompt": "a red car on a street", "size": "64x64", "seed": 1, "steps": 3}
        answers = [httpx.post(f"{server.url}/v1/images/generations", json=body, timeout=120) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
        first, second = (answer.json()["data"][0] for answer in answers)
        assert first == second
        assert hashlib.sha256(base64.b64decode(first["b64_json"])).hexdigest() == first["sha256"]
        assert (
            json.loads(httpx.post(f"{server.url}/v1/images/generations", json={**body, "size": "60x64"}, timeout=60).text)["error"]["param"]
            == "size"
        )
