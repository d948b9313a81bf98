from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from serving.http import middleware
from serving.http.app import create_app
from serving.http.contracts import DeadlineExceeded, EngineUnavailable, Overloaded, Readiness
from serving.http.drain import Drain
from serving.state.keys import KeyStore, keys_path
from synthseg.config.schema import RunConfig
from synthseg.engines.text import RequestRefused
from synthseg.errors import UsageProblem
from tests.serving.http.local_backend import LocalBackend

ROUTE = "/v1/images/generations"
BODY = {"prompt": "a cow in a field", "size": "64x64"}


def log_lines(config: RunConfig) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in Path(config.serving.state_dir, "logs").iterdir()
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


def numbers(client: TestClient) -> dict[tuple[str, ...], float]:
    """(name, label values in order of label names) to value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }


def test_every_answer_has_an_id_a_time_and_security_headers(client: TestClient) -> None:
    for path in ("/v1/models", "/nope", "/healthz", "/"):
        headers = client.get(path).headers
        assert headers["x-request-id"].startswith("req_")
        assert headers["openai-processing-ms"].isdecimal()
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "x-error-code" not in headers
        assert "access-control-allow-origin" not in headers


def test_a_server_that_ends_refuses_as_it_always_does(backend: LocalBackend) -> None:
    drain = Drain()
    with TestClient(create_app(backend, None, backend.config, drain)) as client:
        drain.closed = True
        refused = client.get("/v1/models", headers={"x-request-id": "trace-7"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        assert refused.headers["x-request-id"] == "trace-7"
        assert refused.headers["openai-processing-ms"].isdecimal()
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert client.get("/healthz").status_code == 200
        assert numbers(client)["synthseg_refusals_total", "shutting_down"] == 1


def test_a_client_s_own_request_id_comes_back_unless_it_is_odd(client: TestClient) -> None:
    assert client.get("/v1/models", headers={"x-request-id": "trace-7"}).headers["x-request-id"] == "trace-7"
    assert client.get("/v1/models", headers={"x-request-id": "a b"}).headers["x-request-id"].startswith("req_")


def test_an_id_that_the_server_adds_is_not_added_twice(backend: LocalBackend) -> None:
    with TestClient(create_app(backend, None, backend.config, server_adds_id=True)) as client:
        assert "x-request-id" not in client.get("/v1/models", headers={"x-request-id": "trace-7"}).headers
        # The log has this one under an id of ours, which the client must be told.
        assert client.get("/v1/models", headers={"x-request-id": "a b"}).headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/nope", 404), ("DELETE", "/v1/models", 405), ("PUT", ROUTE, 405)])
def test_routes_that_are_none_answer_in_the_same_shape(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert ("allow" in answer.headers) == (status == 405)


def test_405_names_the_methods_of_every_route_of_the_path(client: TestClient) -> None:
    assert client.put("/v1/jobs/x").headers["allow"] == "DELETE, GET"
    assert client.put(ROUTE).headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("raised", "status", "code", "header"),
    [
        (Overloaded(7.2, 40), 429, "overloaded", ("retry-after", "8")),
        (EngineUnavailable("gone"), 503, "engine_unavailable", ("retry-after", "1")),
        (DeadlineExceeded(), 504, "deadline_exceeded", ("x-should-retry", "false")),
        (
            RequestRefused("prompts.engine: refused: too long"),
            400,
            "invalid_value",
            ("x-content-type-options", "nosniff"),
        ),
        (UsageProblem("a secret path /root/x"), 500, "internal_error", ("x-content-type-options", "nosniff")),
        (RuntimeError("a secret path /root/x"), 500, "internal_error", ("x-content-type-options", "nosniff")),
    ],
)
def test_what_engines_raise_is_answered(
    configure: Callable[..., RunConfig], raised: Exception, status: int, code: str, header: tuple[str, str]
) -> None:
    class Failing(LocalBackend):
        async def images(self, *args: Any, **kwargs: Any) -> Any:
            raise raised
            yield

    config = configure()
    with TestClient(create_app(Failing(config), None, config)) as client:
        for extra in ({}, {"stream": True}):
            answer = client.post(ROUTE, json={**BODY, **extra})
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
            assert answer.headers[header[0]] == header[1]
            assert "secret" not in answer.text
        assert numbers(client)["synthseg_refusals_total", code] == 2
    tracebacks = [line["traceback"] for line in log_lines(config) if "traceback" in line]
    assert len(tracebacks) == (2 if status == 500 else 0)


def test_the_deadline_holds_even_when_the_engine_forgets_it(configure: Callable[..., RunConfig]) -> None:
    config = configure("serving.deadline_s=0.2")
    backend = LocalBackend(config)
    backend.gate.close()
    with TestClient(create_app(backend, None, config)) as client:
        assert client.post(ROUTE, json=BODY).status_code == 504
    backend.gate.open()


def test_a_large_body_is_refused_declared_or_not(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"prompt": "'
        for _ in range(20):
            yield b"x" * 100_000

    for body in (b"x" * (1 << 21), chunks()):
        answer = client.post(ROUTE, content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_a_body_that_does_not_come_is_refused(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_TIMEOUT_S", 0.05)
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": ROUTE, "raw_path": ROUTE.encode(), "query_string": b"", "headers": []}
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 408


def test_a_key_is_asked_for_before_the_body_is_read(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    KeyStore(keys_path(config.serving)).add("alice")
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        for headers in ({}, {"authorization": "Bearer sk-synthseg-x"}, {"authorization": "Basic abc"}, {"authorization": "Bearer"}):
            answer = client.post(ROUTE, content=b"x" * (1 << 21), headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for path in ("/healthz", "/readyz", "/metrics", "/", "/openapi.json"):
            assert client.get(path).status_code == 200
        for path in ("/v1/models", "/v1/models/painter", "/v1/files/x", "/v1/nope"):
            assert client.get(path).status_code == 401


def test_a_broken_file_of_keys_locks_the_door(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    KeyStore(keys_path(config.serving)).add("alice")
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        keys_path(config.serving).write_text("{", encoding="utf-8")
        assert client.get("/v1/models").status_code == 500


def test_logs_tell_what_happened_and_no_secret(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    key = KeyStore(keys_path(config.serving)).add("alice")
    with TestClient(create_app(LocalBackend(config), None, config), headers={"authorization": f"Bearer {key}"}) as client:
        painted = client.post(ROUTE, json={**BODY, "n": 2})
        client.post(ROUTE, json={**BODY, "n": 0})
    done, refused = (line for line in log_lines(config) if line["event"] == "request")
    assert done["request_id"] == painted.headers["x-request-id"]
    assert (done["route"], done["status"], done["images"], done["size"], done["model"]) == (ROUTE, 200, 2, "64x64", "painter")
    assert done["engine_s"] > 0
    assert done["tenant"].startswith("key-")
    assert (refused["status"], refused["error"]) == (400, "invalid_value")
    text = json.dumps(log_lines(config))
    assert key not in text
    assert "cow" not in text


def test_prompts_are_logged_where_configured(configure: Callable[..., RunConfig]) -> None:
    config = configure("serving.log_prompts=true")
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        client.post(ROUTE, json=BODY)
    assert [line["prompt"] for line in log_lines(config)] == [BODY["prompt"]]


def test_metrics_count_requests_images_and_refusals(client: TestClient) -> None:
    client.post(ROUTE, json={**BODY, "n": 3})
    client.post(ROUTE, json={"prompt": "qwert"})
    client.get("/nope")
    client.request("BREW", "/v1/models")
    found = numbers(client)
    assert found["synthseg_http_requests_total", "POST", ROUTE, "200"] == 1
    assert found["synthseg_http_requests_total", "POST", ROUTE, "400"] == 1
    assert found["synthseg_http_requests_total", "GET", "unmatched", "404"] == 1
    assert found["synthseg_http_requests_total", "other", "/v1/models", "405"] == 1
    assert found["synthseg_images_total", "painter", "ok"] == 3
    assert found["synthseg_images_total", "painter", "failed"] == 1
    assert found["synthseg_refusals_total", "unreadable_prompt"] == 1
    assert found["synthseg_image_seconds_total", "painter"] > 0
    assert found["synthseg_engine_requests_total", "ImageEngine", "local"] == 4
    assert found["synthseg_engine_seconds_total", "ImageEngine", "local"] >= found["synthseg_image_seconds_total", "painter"]
    assert 0 < found["synthseg_batch_fill", "ImageEngine", "local"] <= 1
    assert found["synthseg_queue_depth", "ImageEngine", "local"] == 0
    assert found["synthseg_ready",] == 1


@pytest.mark.parametrize(
    ("readiness", "healthy", "ready"),
    [
        (Readiness(ready=True, parts={"ImageEngine": "ready"}), 200, 200),
        (Readiness(ready=False, parts={"ImageEngine": "starting"}), 200, 503),
        (Readiness(ready=False, parts={"ImageEngine": "no replica answers"}), 503, 503),
    ],
)
def test_health_tells_the_truth(configure: Callable[..., RunConfig], readiness: Readiness, healthy: int, ready: int) -> None:
    class Backend(LocalBackend):
        async def readiness(self) -> Readiness:
            return readiness

    config = configure()
    with TestClient(create_app(Backend(config), None, config)) as client:
        found = client.get("/healthz")
        assert (found.status_code, client.get("/readyz").status_code) == (healthy, ready)
        assert found.json()["parts"] == readiness.parts
        assert numbers(client)["synthseg_ready",] == (ready == 200)


def test_other_origins_may_call_only_where_configured(configure: Callable[..., RunConfig]) -> None:
    config = configure('serving.cors_origins=["https://app.example.org"]')
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        allowed = client.options(ROUTE, headers={"origin": "https://app.example.org", **asking})
        other = client.options(ROUTE, headers={"origin": "https://evil.example.org", **asking})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://app.example.org")
    assert "access-control-allow-credentials" not in allowed.headers
    assert "access-control-allow-origin" not in other.headers


def test_image_seconds_of_a_key_run_out(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    key = KeyStore(keys_path(config.serving)).add("alice", image_seconds_per_min=0.001)
    with TestClient(create_app(LocalBackend(config), None, config), headers={"authorization": f"Bearer {key}"}) as client:
        first, second = (client.post(ROUTE, json=BODY) for _ in range(2))
    assert (first.status_code, first.headers["x-ratelimit-limit-image-seconds"]) == (200, "0.001")
    assert (second.status_code, second.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(second.headers["retry-after"]) >= 1


def test_a_form_s_content_type_is_no_json(client: TestClient) -> None:
    """A foreign page may send text/plain without being asked for leave."""
    answer = client.post(ROUTE, content=json.dumps(BODY), headers={"content-type": "text/plain"})
    assert answer.status_code == 400


def test_keys_hold_under_a_prefix(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    key = KeyStore(keys_path(config.serving)).add("alice")
    with TestClient(create_app(LocalBackend(config), None, config), root_path="/api") as client:
        assert client.get("/api/v1/models").status_code == 401
        assert client.get("/api/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == 200


def test_refine_keeps_to_the_deadline(configure: Callable[..., RunConfig]) -> None:
    class Slow(LocalBackend):
        async def refine(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.Event().wait()

    config = configure("serving.deadline_s=0.1")
    with TestClient(create_app(Slow(config), None, config)) as client:
        assert client.post(ROUTE, json={**BODY, "refine": True}).status_code == 504
