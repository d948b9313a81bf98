"""HEAD, slashes at the end of a path, and bodies that nothing says how to read."""

from __future__ import annotations

import gzip
import http.client
import json
import re
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.jobs import RayJobService
from synthseg.config.schema import RunConfig
from tests.serving.http.local_backend import LocalBackend
from tests.serving.http.test_middleware import log_lines, numbers
from tests.serving.jobs.fakes import FakeRunner

ROUTE = "/v1/images/generations"
BODY = {"prompt": "a cow in a field", "size": "64x64"}
_VARYING = {"x-request-id", "openai-processing-ms", "date", "x-ratelimit-remaining-requests", "content-length"}


@pytest.fixture
def full(configure: Callable[..., RunConfig]) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """The application with jobs, and a value for each parameter of a path."""
    config = configure()
    backend = LocalBackend(config)
    with TestClient(create_app(backend, RayJobService(config, FakeRunner(), poll_s=0.01), config)) as client:
        job = client.post("/v1/jobs", json={"classes": ["cat"]}).json()["id"]
        url = client.post(ROUTE, json={**BODY, "response_format": "url"}).json()["data"][0]["url"]
        yield client, {"job_id": job, "sample_id": "none", "file_id": url.rpartition("/")[2], "model_id": "painter", "name": "app.js"}


def gets(app: FastAPI, values: dict[str, str]) -> list[str]:
    routers = [getattr(route, "original_router", None) for route in app.routes]
    paths = [route.path for router in routers if router for route in router.routes if "GET" in route.methods]
    return [re.sub(r"{(\w+)(:path)?}", lambda found: values[found[1]], path) for path in paths]


def test_head_gets_what_get_gets_on_every_route(full: tuple[TestClient, dict[str, str]]) -> None:
    client, values = full
    paths = gets(client.app, values)  # type: ignore[arg-type]
    assert {"/", "/docs", "/healthz", "/readyz", "/metrics", "/page/config.json", "/v1/models", "/v1/jobs"} <= set(paths)
    assert any(path.startswith("/v1/files/") for path in paths)
    for path in paths:
        head = client.head(path, follow_redirects=False)
        assert head.content == b"", path
        if path.endswith("/events"):  # without an end; HEAD has one
            assert (head.status_code, head.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
            continue
        got = client.get(path, follow_redirects=False)
        assert head.status_code == got.status_code, path
        told, wanted = ({k: v for k, v in answer.headers.items() if k not in _VARYING} for answer in (head, got))
        assert told == wanted, path
        if path != "/metrics":  # whose figures move
            assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content)), path


def test_head_is_guarded_and_counted_as_itself(client: TestClient, configure: Callable[..., RunConfig]) -> None:
    assert client.head("/v1/models").status_code == 200
    assert client.head(ROUTE).status_code == 405
    assert client.head("/v1/models", headers={"host": "evil.example"}).status_code == 403
    assert numbers(client)["synthseg_http_requests_total", "HEAD", "/v1/models", "200"] == 1
    assert [line["route"] for line in log_lines(configure()) if line["method"] == "HEAD" and line["status"] == 200] == ["/v1/models"]


def test_head_over_a_socket_leaves_the_connection_usable(address: str) -> None:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    for path in ("/v1/models", "/", "/healthz"):
        connection.request("HEAD", path)
        head = connection.getresponse()
        assert (head.status, head.read()) == (200, b"")
        connection.request("GET", path)
        assert len(connection.getresponse().read()) == int(head.headers["content-length"])


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/models//", "/v1/models/painter/", "/healthz/", "/metrics/"])
def test_a_slash_at_the_end_means_the_same(client: TestClient, path: str) -> None:
    answer = client.get(path, follow_redirects=False)
    assert answer.status_code == 200
    if path.startswith("/v1"):
        assert answer.json() == client.get(path.rstrip("/")).json()
    assert client.post(f"{ROUTE}/", json=BODY, follow_redirects=False).status_code == 200


def test_a_slash_hides_nothing_from_the_checks(client: TestClient) -> None:
    for path in ("/v1/models/", "/metrics/", "/page/config.json/"):
        assert client.get(path, headers={"host": "evil.example"}).status_code == 403


def test_slashes_under_a_prefix(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    with TestClient(create_app(LocalBackend(config), None, config), root_path="/api") as client:
        assert client.get("/api/v1/models/").status_code == 200
        assert client.get("/api/").status_code == 200


def test_the_reference_keeps_its_files_where_it_looks_for_them(client: TestClient) -> None:
    answer = client.get("/docs/", headers={"host": "127.0.0.1"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "../docs")
    assert client.get("/docs/").text == client.get("/docs").text


@pytest.mark.parametrize(
    ("headers", "says"),
    [({}, "is missing"), ({"content-type": "application/xml"}, "is 'application/xml'")],
)
@pytest.mark.parametrize("route", [ROUTE, "/v1/chat/completions", "/v1/prompts"])
def test_a_body_that_nothing_says_to_be_json_names_the_header(client: TestClient, route: str, headers: dict[str, str], says: str) -> None:
    answer = client.post(route, content=json.dumps(BODY).encode(), headers=headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, "content-type", "unsupported_content_type")
    assert says in error["message"]
    assert "application/json" in error["message"]


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/vnd.api+json"])
def test_json_by_any_of_its_names_is_taken(client: TestClient, kind: str) -> None:
    assert client.post(ROUTE, content=json.dumps(BODY).encode(), headers={"content-type": kind}).status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "zstd", "gzip, identity"])
def test_a_compressed_body_is_refused_by_its_header(client: TestClient, encoding: str) -> None:
    body = gzip.compress(json.dumps(BODY).encode())
    answer = client.post(ROUTE, content=body, headers={"content-type": "application/json", "content-encoding": encoding})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (415, "content-encoding", "unsupported_content_encoding")
    assert answer.headers["accept-encoding"] == "identity"


def test_identity_is_no_compression(client: TestClient) -> None:
    assert client.post(ROUTE, json=BODY, headers={"content-encoding": "identity"}).status_code == 200
