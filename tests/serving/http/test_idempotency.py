from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.state.keys import KeyStore, keys_path
from synthseg.config.schema import RunConfig
from tests.serving.http.local_backend import LocalBackend

BODY = {"prompt": "a white horse in a field", "size": "64x64"}


def post(client: TestClient, key: str, body: dict[str, Any] = BODY, **headers: str) -> Any:
    return client.post("/v1/images/generations", json=body, headers={"Idempotency-Key": key, **headers})


def test_the_same_request_gets_the_same_bytes_without_work(client: TestClient, backend: LocalBackend) -> None:
    first, again = post(client, "k"), post(client, "k")
    assert first.content == again.content
    assert (again.status_code, again.headers["content-type"]) == (200, "application/json")
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(backend.image_calls) == 1
    assert post(client, "other").json()["seed"] != first.json()["seed"]


def test_a_stream_is_replayed_event_by_event(client: TestClient, backend: LocalBackend) -> None:
    body = {**BODY, "stream": True, "partial_images": 1}
    first, again = post(client, "k", body), post(client, "k", body)
    assert first.content == again.content
    assert again.headers["content-type"].startswith("text/event-stream")
    assert len(backend.image_calls) == 1


def test_another_body_under_the_same_key_is_refused(client: TestClient) -> None:
    post(client, "k")
    refused = post(client, "k", {**BODY, "n": 2})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "idempotency_key_reused")


def test_a_refused_request_leaves_its_key_free(client: TestClient) -> None:
    assert post(client, "k", {**BODY, "n": 11}).status_code == 400
    assert post(client, "k").status_code == 200


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
def test_a_key_that_cannot_be_one_is_refused(client: TestClient, key: str) -> None:
    refused = post(client, key)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "Idempotency-Key")


def test_tenants_do_not_meet(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    store = KeyStore(keys_path(config.serving))
    tokens = [{"Authorization": f"Bearer {store.add(name)}"} for name in ("alice", "bob")]
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        alice, bob = (post(client, "k", **token) for token in tokens)
    assert alice.status_code == bob.status_code == 200
    assert alice.json()["seed"] != bob.json()["seed"]


def test_answers_survive_a_restart(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    answers = []
    for _ in range(2):
        with TestClient(create_app(LocalBackend(config), None, config)) as client:
            answers.append(post(client, "k").content)
    assert answers[0] == answers[1]


def test_old_answers_make_room(configure: Callable[..., RunConfig]) -> None:
    config = configure("serving.files_max_bytes=20000")
    backend = LocalBackend(config)
    with TestClient(create_app(backend, None, config)) as client:
        first = [post(client, f"k{i}").json()["seed"] for i in range(4)]
        assert post(client, "k3").json()["seed"] == first[3]
        assert post(client, "k0").json()["seed"] != first[0]
