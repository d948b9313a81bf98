"""Jobs on a real `synthseg serve`: a run submitted over HTTP, watched to its end; another stopped and taken up again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from synthseg.ids import image_sha256
from tests.e2e import small
from tests.serving.deploy.live import LiveServer, live_server

pytestmark = [pytest.mark.e2e, pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]

BODY = {"classes": small.CLASSES.split(","), "settings": list(small.SETTINGS)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("state"), "prompts.engine=template") as live:
        yield live


def events(server: LiveServer, job_id: str) -> Iterator[dict[str, Any]]:
    with httpx.stream("GET", f"{server.url}/v1/jobs/{job_id}/events", timeout=300) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def submit(server: LiveServer, **fields: Any) -> str:
    reply = httpx.post(f"{server.url}/v1/jobs", json={**BODY, **fields}, timeout=60)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


def job(server: LiveServer, job_id: str) -> dict[str, Any]:
    return dict(httpx.get(f"{server.url}/v1/jobs/{job_id}", timeout=60).json())


def rows(found: dict[str, Any]) -> dict[str, int]:
    return {stage["name"]: stage["num_rows"] for stage in found["progress"]["stages"]}


def test_a_run_over_http(server: LiveServer) -> None:
    job_id = submit(server, seed=1)
    seen = list(events(server, job_id))
    kinds = [event["event"] for event in seen]
    assert kinds[0] == "run_created"
    assert kinds[-2:] == ["run_finished", "job_finished"]
    assert seen[-1]["status"] == "succeeded", seen[-1]
    stages = [event["stage"] for event in seen if event["event"] == "stage_finished"]
    assert stages == ["prompts", "images", "classifier", "relabel", "masks", "segmenter", "evaluate"]

    done = job(server, job_id)
    assert done["status"] == "succeeded"
    assert done["progress"]["finished"]
    kept = httpx.get(f"{server.url}/v1/jobs/{job_id}/gallery?limit=200", timeout=60).json()["data"]
    assert 0 < len(kept) <= rows(done)["labels"]
    sample = kept[0]
    image = httpx.get(f"{server.url}/v1/jobs/{job_id}/images/{sample['sample_id']}", timeout=60)
    assert image.headers["content-type"] == "image/png"
    assert image_sha256(image.content) == sample["sha256"]
    assert set(sample["labels"]) == set(BODY["classes"])
    report = httpx.get(f"{server.url}/v1/jobs/{job_id}/report", timeout=60)
    assert "<html" in report.text[:1000]


def test_a_sample_is_the_same_over_the_image_endpoint(server: LiveServer) -> None:
    (job_id,) = [found["id"] for found in httpx.get(f"{server.url}/v1/jobs", timeout=60).json()["data"]]
    (sample,) = httpx.get(f"{server.url}/v1/jobs/{job_id}/gallery?limit=1", timeout=60).json()["data"]
    body = {"prompt": sample["prompt"], "seed": sample["seed"], "size": f"{sample['width']}x{sample['height']}"}
    painted = httpx.post(f"{server.url}/v1/images/generations", json=body, timeout=60).json()
    assert painted["data"][0]["sha256"] == sample["sha256"]


def test_a_run_is_stopped_and_taken_up_again(server: LiveServer) -> None:
    job_id = submit(server, seed=2)
    for event in events(server, job_id):
        if event["event"] == "stage_finished" and event["stage"] == "prompts":
            break
    assert httpx.post(f"{server.url}/v1/jobs/{job_id}/cancel", timeout=60).status_code == 200
    last = list(events(server, job_id))[-1]
    assert (last["event"], last["status"]) == ("job_finished", "cancelled")
    stopped = job(server, job_id)
    assert stopped["status"] == "cancelled"
    assert not stopped["progress"]["finished"]
    published = rows(stopped)["prompts"]
    assert published > 0

    again = submit(server, seed=2)
    assert again != job_id
    seen = list(events(server, again))
    assert seen[-1]["status"] == "succeeded", seen[-1]
    assert [event["event"] for event in seen].count("run_resumed") == 1
    assert [event["stage"] for event in seen if event["event"] == "stage_started"].count("prompts") == 1


def test_a_run_outlives_its_server(tmp_path: Path) -> None:
    """The server is killed in the middle of a run; the next one on the same state finds the job and ends it."""
    with live_server(tmp_path, "prompts.engine=template") as first:
        job_id = submit(first, seed=3)
        for event in events(first, job_id):
            if event["event"] == "stage_finished" and event["stage"] == "prompts":
                break
        first.process.kill()
        first.process.wait(30)
    started = time.monotonic()
    with live_server(tmp_path, "prompts.engine=template") as second:
        assert job(second, job_id)["status"] in ("running", "queued")
        seen = list(events(second, job_id))
        assert seen[-1]["status"] == "succeeded", seen[-1]
        assert [event["event"] for event in seen].count("run_resumed") == 1
    assert time.monotonic() - started < 600
