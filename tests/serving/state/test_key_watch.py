"""What is under way for a key ends when the key is revoked, with an error that says so; other keys' requests go on."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.http.app import create_app
from serving.http.contracts import ImageEvent
from serving.jobs import RayJobService
from serving.state.key_watch import LOOK_S, KeyWatch
from serving.state.keys import LOCAL, KeyStore, Tenant, keys_path
from synthseg.config.schema import RunConfig
from synthseg.engines.image import GeneratedImage, ImageRequest
from tests.serving.http.live import serve
from tests.serving.http.local_backend import LocalBackend
from tests.serving.jobs.fakes import FakeRunner

BODY: dict[str, Any] = {"prompt": "a boat on a lake", "size": "64x64"}
ROUTE = "/v1/images/generations"
SOON_S = LOOK_S + 5
"""Well above the second between two looks, for a machine that is busy."""


class Unfinished(LocalBackend):
    """Shows a preview where one is wanted, and never comes to an end."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.preview = self.image_engine.generate([ImageRequest("a boat on a lake", 1, 64, 64)])[0]
        self.begun, self.closed = threading.Semaphore(0), threading.Semaphore(0)

    async def images(self, _: Any, *, previews: int, **__: Any) -> AsyncIterator[ImageEvent]:
        try:
            if previews:
                assert isinstance(self.preview, GeneratedImage)
                yield ImageEvent(0, self.preview, final=False)
            self.begun.release()
            await asyncio.Event().wait()
        finally:
            self.closed.release()


def bearer(keys: KeyStore, name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {keys.add(name)}"}


def last_event(text: str) -> dict[str, Any]:
    name, data = text.strip().split("\n\n")[-1].split("\n")
    assert name == "event: error"
    error: dict[str, Any] = json.loads(data.removeprefix("data: "))["error"]
    return error


def test_a_stream_ends_with_the_reason_and_another_key_s_goes_on(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    backend, keys = Unfinished(config), KeyStore(keys_path(config.serving))
    alice, bob = bearer(keys, "alice"), bearer(keys, "bob")
    body = {**BODY, "stream": True, "partial_images": 1}
    with (
        serve(create_app(backend, None, config)) as address,
        httpx.Client(base_url=address, timeout=60) as client,
        client.stream("POST", ROUTE, json=body, headers=bob) as other,
        client.stream("POST", ROUTE, json=body, headers=alice) as own,
    ):
        assert (own.status_code, other.status_code) == (200, 200)
        keys.revoke("alice")
        started = time.monotonic()
        text = own.read().decode()
        assert time.monotonic() - started < SOON_S
        assert text.startswith("event: image_generation.partial_image")
        assert (last_event(text)["code"], last_event(text)["type"]) == ("invalid_api_key", "invalid_request_error")
        assert backend.closed.acquire(timeout=10), "the work behind it has ended, too"
        assert not backend.closed.acquire(timeout=0.1), "and nobody else's"
        keys.revoke("bob")
        assert last_event(other.read().decode())["code"] == "invalid_api_key"


def test_a_watched_job_ends_with_the_reason(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    keys = KeyStore(keys_path(config.serving))
    alice = bearer(keys, "alice")
    service = RayJobService(config, FakeRunner(), poll_s=0.01)
    with serve(create_app(LocalBackend(config), service, config)) as address, httpx.Client(base_url=address, timeout=60) as client:
        job = client.post("/v1/jobs", json={"classes": ["car"], "seed": 4}, headers=alice).json()
        with client.stream("GET", f"/v1/jobs/{job['id']}/events", headers=alice) as events:
            assert events.status_code == 200
            keys.revoke("alice")
            started = time.monotonic()
            assert last_event(events.read().decode())["code"] == "invalid_api_key"
            assert time.monotonic() - started < SOON_S


@pytest.mark.parametrize("extra", [{}, {"stream": True}], ids=["plain", "a stream before its first event"])
def test_a_request_without_an_answer_yet_is_refused(configure: Callable[..., RunConfig], extra: dict[str, Any]) -> None:
    config = configure()
    backend, keys = Unfinished(config), KeyStore(keys_path(config.serving))
    alice = bearer(keys, "alice")
    with serve(create_app(backend, None, config)) as address, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.post, address + ROUTE, json={**BODY, **extra}, headers=alice, timeout=60)
        assert backend.begun.acquire(timeout=20)
        keys.revoke("alice")
        refused = asked.result(SOON_S)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert backend.closed.acquire(timeout=10)


def test_a_file_that_cannot_be_read_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.state.key_watch.LOOK_S", 0.01)
    keys = KeyStore(tmp_path / "keys.json")
    keys.add("alice")
    whole = (tmp_path / "keys.json").read_text(encoding="utf-8")
    alice = Tenant(keys.records()[0].key_id, "alice", 0, 0.0)

    async def scenario() -> None:
        watch = KeyWatch(keys)
        with watch.watched(alice) as first, watch.watched(alice) as second, watch.watched(LOCAL) as local:
            (tmp_path / "keys.json").write_text("{", encoding="utf-8")
            await asyncio.sleep(0.1)
            assert not first.is_set()
            (tmp_path / "keys.json").write_text(whole.replace('"revoked": null', '"revoked": 5.0'), encoding="utf-8")
            async with asyncio.timeout(5):
                await first.wait()
            assert second.is_set()
            assert not local.is_set()
        assert watch._looking is not None
        async with asyncio.timeout(5):
            await watch._looking

    asyncio.run(scenario())
