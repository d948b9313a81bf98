from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.state.keys import KeyStore, keys_path
from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem
from tests.serving.http.local_backend import LocalBackend
from tests.serving.http.test_middleware import log_lines

ROUTE = "/v1/images/generations"
BODY = {"prompt": "a cow in a field", "size": "64x64"}


def test_lost_keys_lock_the_door_until_they_are_back(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    file = keys_path(config.serving)
    token = {"authorization": f"Bearer {KeyStore(file).add('alice')}"}
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        assert client.get("/v1/models", headers=token).status_code == 200
        kept = file.read_bytes()
        file.unlink()
        for headers in ({}, token):
            locked = client.get("/v1/models", headers=headers)
            assert (locked.status_code, locked.json()["error"]["code"]) == (500, "internal_error")
        assert str(file) not in locked.text
        file.write_bytes(kept)
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers=token).status_code == 200
    said = [line for line in log_lines(config) if line["event"] == "keys cannot be read"]
    assert said[-1]["request_id"] == locked.headers["x-request-id"]
    assert str(file) in said[-1]["problem"]


def test_a_gateway_that_others_reach_does_not_start_without_keys(configure: Callable[..., RunConfig]) -> None:
    config = configure("serving.host=0.0.0.0")
    with pytest.raises(UsageProblem, match="holds no keys"):
        create_app(LocalBackend(config), None, config)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200), ("127.0.0.2", 200), ("localhost:51234", 200), ("LOCALHOST", 200), ("[::1]:8000", 200),
        ("images.example.org", 200), ("evil.example:8000", 403), ("127.0.0.1.evil.example", 403), ("192.168.0.7:8000", 403), ("", 403),
        ("[", 403),
    ],
)  # fmt: skip
def test_without_keys_only_the_server_s_own_names_are_answered(configure: Callable[..., RunConfig], host: str, status: int) -> None:
    """A page of evil.example, which has been pointed here, may read what it gets: its browser takes it for its own server."""
    config = configure("serving.public_url=https://images.example.org/")
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        answer = client.get("/v1/models", headers={"host": host})
        assert answer.status_code == status
        assert status == 200 or answer.json()["error"]["code"] == "foreign_host"
        assert client.get("/healthz", headers={"host": host}).status_code == 200  # tells nothing, and probes come by any name


@pytest.mark.parametrize("path", ["/metrics", "/page/config.json"])
def test_what_tells_of_the_server_follows_the_check_of_the_host(configure: Callable[..., RunConfig], path: str) -> None:
    config = configure()
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        assert client.get(path).status_code == 200
        refused = client.get(path, headers={"host": "evil.example:8000"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "foreign_host")
        page = client.get(path, headers={"origin": "http://evil.example"})
        assert (page.status_code, page.json()["error"]["code"]) == (403, "foreign_origin")
        KeyStore(keys_path(config.serving)).add("alice")
        assert client.get(path, headers={"host": "images.example.org"}).status_code == 200
        keys_path(config.serving).unlink()
        assert client.get(path, headers={"host": "evil.example"}).status_code == 403
        assert client.get(path).status_code == 200


def test_with_keys_any_name_will_do(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    token = {"authorization": f"Bearer {KeyStore(keys_path(config.serving)).add('alice')}"}
    with TestClient(create_app(LocalBackend(config), None, config)) as client:
        assert client.get("/v1/models", headers={"host": "images.example.org", **token}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://127.0.0.1:8000", 200), ("http://localhost", 200), ("http://evil.example.org:8000", 403), ("null", 403), ("http://[", 403)],
)
def test_without_keys_a_foreign_page_is_refused(client: TestClient, origin: str, status: int) -> None:
    answer = client.post(ROUTE, json=BODY, headers={"origin": origin})
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["code"] == "foreign_origin"


def test_a_key_has_so_many_requests_open_and_others_do_not_feel_it(configure: Callable[..., RunConfig]) -> None:
    config = configure("serving.max_open_requests=2")
    store = KeyStore(keys_path(config.serving))
    alice, bob = ({"authorization": f"Bearer {store.add(name)}"} for name in ("alice", "bob"))
    backend = LocalBackend(config)
    stats = backend.batcher.stats

    async def scenario() -> None:
        transport = httpx.ASGITransport(create_app(backend, None, config))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            backend.gate.close()
            held = [asyncio.create_task(client.post(ROUTE, json=BODY, headers=alice)) for _ in range(2)]
            while stats.queued + stats.running < 2:
                await asyncio.sleep(0.01)
            refused = await client.get("/v1/models", headers=alice)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
            assert refused.headers["retry-after"] == "1"
            assert (await client.get("/v1/models", headers=bob)).status_code == 200
            assert (await client.get("/healthz")).status_code == 200
            backend.gate.open()
            assert [answer.status_code for answer in await asyncio.gather(*held)] == [200, 200]
            assert (await client.get("/v1/models", headers=alice)).status_code == 200

    asyncio.run(scenario())


def test_the_places_of_a_key_are_fewer_than_those_of_a_gateway(configure: Callable[..., RunConfig]) -> None:
    serving = configure().serving
    assert 128 < serving.max_open_requests < serving.gateway.max_ongoing_requests / 2
