from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from serving.http import streams
from serving.http.app import create_app
from serving.jobs import RayJobService
from serving.jobs.runner import Found
from serving.state.keys import KeyStore, keys_path
from synthseg.config.schema import RunConfig
from synthseg.store.run_folder import RunFolder
from tests.serving.http.live import serve
from tests.serving.http.local_backend import LocalBackend
from tests.serving.jobs.fakes import FakeRunner
from tests.waiting import until

BODY = {"classes": ["car"], "seed": 4, "settings": ["prompts.max_rounds=2"]}


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
def client(backend: LocalBackend, runner: FakeRunner) -> Iterator[TestClient]:
    service = RayJobService(backend.config, runner, poll_s=0.01)
    with TestClient(create_app(backend, service, backend.config)) as client:
        yield client


def submitted(client: TestClient, **headers: str) -> str:
    reply = client.post("/v1/jobs", json=BODY, headers=headers)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


def wait(client: TestClient, job_id: str, status: str) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while (job := client.get(f"/v1/jobs/{job_id}").json())["status"] != status:
        assert time.monotonic() < deadline, job
        time.sleep(0.01)
    return dict(job)


def begun(runner: FakeRunner) -> RunFolder:
    """The folder of the one run that was started, as the run makes it."""
    return RunFolder.create(runner.outs[0], next(iter(runner.configs.values())))


def test_submit_watch_and_stop(client: TestClient, runner: FakeRunner) -> None:
    reply = client.post("/v1/jobs", json=BODY)
    assert reply.status_code == 201
    job = reply.json()
    assert job["object"] == "job"
    assert job["spec"] == BODY
    assert client.get(reply.headers["location"]).json()["id"] == job["id"]
    wait(client, job["id"], "running")
    assert [found["id"] for found in client.get("/v1/jobs").json()["data"]] == [job["id"]]
    assert client.post(f"/v1/jobs/{job['id']}/cancel").json()["status"] in ("running", "cancelled")
    done = wait(client, job["id"], "cancelled")
    assert done["finished_at"] >= done["created_at"]
    assert runner.stopped == [f"{job['id']}-1"]


def test_a_deleted_job_is_gone_and_its_run_stopped(client: TestClient, runner: FakeRunner) -> None:
    job_id = submitted(client)
    wait(client, job_id, "running")
    assert client.delete(f"/v1/jobs/{job_id}").json() == {"id": job_id, "object": "job", "deleted": True}
    assert client.get(f"/v1/jobs/{job_id}").status_code == 404
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 404
    assert client.get("/v1/jobs").json()["data"] == []
    deadline = time.monotonic() + 10
    while not runner.stopped and time.monotonic() < deadline:
        time.sleep(0.01)
    assert runner.stopped == [f"{job_id}-1"]


def test_no_answer_names_a_place_on_the_server(client: TestClient, runner: FakeRunner, backend: LocalBackend) -> None:
    job_id = submitted(client)
    wait(client, job_id, "running")
    runner.known[f"{job_id}-1"] = Found("failed", f"{backend.config.serving.state_dir}/jobs: disk full")
    job = wait(client, job_id, "failed")
    assert job["message"].endswith(": disk full")
    assert backend.config.serving.state_dir not in json.dumps(job)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"preset": "/etc/passwd"}, "preset"),
        ({"classes": ["unicorn"]}, "classes"),
        ({"settings": ["execution.workers=3"]}, "settings"),
        ({"settings": ["prompts.max_roundz=3"]}, "settings"),
        ({"settings": ["prompts.max_rounds=0"]}, "settings"),
        ({"per_class": 0}, "per_class"),
        ({"seed": -1}, "seed"),
        ({"out": "/tmp"}, "out"),
        ({"classes": "car"}, "classes"),
    ],
)
def test_a_wrong_body_is_refused_by_field(client: TestClient, body: dict[str, Any], param: str) -> None:
    reply = client.post("/v1/jobs", json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param
    assert client.get("/v1/jobs").json()["data"] == []


def test_the_same_run_twice_is_a_conflict(client: TestClient) -> None:
    job_id = submitted(client)
    reply = client.post("/v1/jobs", json=BODY)
    assert reply.status_code == 409
    assert job_id in reply.json()["error"]["message"]
    assert reply.headers["x-should-retry"] == "false"


def test_the_newest_jobs_come_first(client: TestClient) -> None:
    ids = [client.post("/v1/jobs", json={**BODY, "seed": seed}).json()["id"] for seed in range(3)]
    assert [job["id"] for job in client.get("/v1/jobs?limit=2").json()["data"]] == [ids[2], ids[1]]
    assert client.get("/v1/jobs?limit=0").status_code == 400


@pytest.mark.parametrize("path", ["", "/events", "/gallery", "/images/" + "0" * 24, "/report"])
def test_unknown_jobs(client: TestClient, path: str) -> None:
    for job_id in ("job_" + "0" * 24, "nonsense", "..%2F..%2Fetc"):
        assert client.get(f"/v1/jobs/{job_id}{path}").status_code == 404


def test_a_key_sees_its_own_jobs_only(configure: Callable[..., RunConfig], runner: FakeRunner) -> None:
    config = configure()
    keys = KeyStore(keys_path(config.serving))
    ann, bob = ({"authorization": f"Bearer {keys.add(name)}"} for name in ("ann", "bob"))
    service = RayJobService(config, runner, poll_s=0.01)
    with TestClient(create_app(LocalBackend(config), service, config)) as client:
        job_id = submitted(client, **ann)
        assert client.get("/v1/jobs").status_code == 401
        assert client.get("/v1/jobs", headers=bob).json()["data"] == []
        for path in ("", "/events", "/gallery", "/images/" + "0" * 24, "/report"):
            foreign = client.get(f"/v1/jobs/{job_id}{path}", headers=bob)
            unknown = client.get(f"/v1/jobs/job_{'0' * 24}{path}", headers=bob)
            assert foreign.status_code == 404
            assert foreign.json() == unknown.json()
        assert client.delete(f"/v1/jobs/{job_id}", headers=bob).status_code == 404
        assert client.post(f"/v1/jobs/{job_id}/cancel", headers=bob).status_code == 404
        assert client.get(f"/v1/jobs/{job_id}", headers=ann).status_code == 200


def test_events_arrive_as_they_are_written_and_end_with_the_job(client: TestClient, runner: FakeRunner) -> None:
    job_id = submitted(client)
    wait(client, job_id, "running")
    folder = begun(runner)
    folder.event("stage_started", stage="images", total=8)
    runner.known[f"{job_id}-1"] = Found("succeeded")
    reply = client.get(f"/v1/jobs/{job_id}/events")
    assert reply.headers["content-type"].startswith("text/event-stream")
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in reply.text.strip().split("\n\n")]
    assert [block["event"] for block in blocks] == ["run_created", "stage_started", "job_finished"]
    assert json.loads(blocks[1]["data"]).items() >= {"event": "stage_started", "stage": "images", "total": 8}.items()
    assert json.loads(blocks[-1]["data"])["status"] == "succeeded"


def test_the_stream_of_a_job_that_has_done_nothing_yet_begins_at_once(
    backend: LocalBackend, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.02)
    service = RayJobService(backend.config, runner, poll_s=0.01)
    with serve(create_app(backend, service, backend.config)) as address, httpx.Client(base_url=address, timeout=10) as client:
        job_id = client.post("/v1/jobs", json=BODY).json()["id"]
        with client.stream("GET", f"/v1/jobs/{job_id}/events") as watched:
            assert watched.status_code == 200
            lines = watched.iter_lines()
            assert next(lines) == ": still working"
            client.post(f"/v1/jobs/{job_id}/cancel")
            assert "event: job_finished" in list(lines)


def test_a_repeated_submission_says_where_the_job_is(client: TestClient) -> None:
    first, again = (client.post("/v1/jobs", json=BODY, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert (again.status_code, again.headers["idempotent-replayed"], again.content) == (201, "true", first.content)
    assert again.headers["location"] == first.headers["location"]


def test_progress_gallery_and_report_of_a_run_that_has_begun(client: TestClient, runner: FakeRunner) -> None:
    job_id = submitted(client)
    assert client.get(f"/v1/jobs/{job_id}/gallery").json() == {"object": "list", "offset": 0, "data": []}
    wait(client, job_id, "running")
    folder = begun(runner)
    progress = client.get(f"/v1/jobs/{job_id}").json()["progress"]
    assert progress["classes"] == ["car"]
    assert [stage["num_rows"] for stage in progress["stages"]] == [0, 0, 0, 0, 0]
    assert client.get(f"/v1/jobs/{job_id}/report").status_code == 409
    folder.files.write("report/index.html", b"<html><script>1</script></html>")
    report = client.get(f"/v1/jobs/{job_id}/report")
    assert report.content == b"<html><script>1</script></html>"
    assert report.headers["content-type"].startswith("text/html")
    assert "sandbox allow-scripts" in report.headers["content-security-policy"]


@pytest.mark.parametrize("query", ["offset=-1", "limit=0", "limit=201", "limit=x"])
def test_gallery_pages_have_bounds(client: TestClient, query: str) -> None:
    reply = client.get(f"/v1/jobs/{submitted(client)}/gallery?{query}")
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == query.split("=", maxsplit=1)[0]


def test_without_jobs_the_server_says_so(backend: LocalBackend) -> None:
    with TestClient(create_app(backend, None, backend.config)) as client:
        for reply in (client.post("/v1/jobs", json={}), client.get("/v1/jobs"), client.get("/v1/jobs/x/report")):
            assert reply.status_code == 404
            assert reply.json()["error"]["code"] == "jobs_disabled"


def test_a_purged_job_takes_its_folder_with_it(client: TestClient, runner: FakeRunner) -> None:
    job_id = submitted(client)
    wait(client, job_id, "running")
    out = Path(runner.outs[-1])
    out.mkdir(parents=True)
    refused = client.delete(f"/v1/jobs/{job_id}?purge=maybe")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "purge")
    assert client.delete(f"/v1/jobs/{job_id}?purge=true").json() == {"id": job_id, "object": "job", "deleted": True}
    assert client.get(f"/v1/jobs/{job_id}").status_code == 404
    until(lambda: not out.exists())


@pytest.mark.parametrize(
    "setting",
    [
        "execution.stall_timeout_s=1e18",
        "segmenter.iterations=1000000000",
        "images.images_per_prompt=100000000",
        "execution.stall_timeout_s=inf",
        "images.parameters.a.b=/etc/passwd",
    ],
)
def test_a_setting_beyond_what_http_may_set_is_refused_by_name(client: TestClient, setting: str) -> None:
    refused = client.post("/v1/jobs", json={"settings": [setting]})
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, "settings")
    assert setting.partition("=")[0] in error["message"]
    assert "/etc/passwd" not in error["message"]


def test_the_most_images_a_class_are_accepted_for_every_class_of_the_preset(client: TestClient) -> None:
    """What the API's description allows is not refused by a limit behind it."""
    assert client.post("/v1/jobs", json={"per_class": 2000}).status_code == 201
    refused = client.post("/v1/jobs", json={"per_class": 2001})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "per_class")
