"""Whose request it is goes with it to the engines; a share that is used up is told with its size."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from serving.agent.results import FoundPrompt, RefinedPrompt
from serving.http.app import create_app
from serving.http.contracts import ImageEvent, Overloaded
from serving.state.keys import KeyStore, keys_path
from synthseg.config.schema import RunConfig
from synthseg.engines.text import TextReply
from tests.serving.http.live import serve
from tests.serving.http.local_backend import LocalBackend
from tests.waiting import until

PAINT = {"prompt": "a red car", "size": "64x64"}
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/images/generations", PAINT),
    ("/v1/images/generations", {**PAINT, "stream": True}),
    ("/v1/images/generations", {**PAINT, "refine": True}),
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", {**CHAT, "stream": True}),
    ("/v1/completions", {"prompt": "hello"}),
    ("/v1/prompts", {"class_name": "horse", "count": 1}),
    ("/v1/prompts", {"class_name": "horse", "count": 1, "stream": True}),
]


class Full(LocalBackend):
    """Has no room for anybody, and remembers who asked."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.asked: list[str] = []

    def _refuse(self, tenant: str) -> None:
        self.asked.append(tenant)
        raise Overloaded(7.2, 32, own=True)

    async def images(self, requests: Sequence[Any], *, tenant: str = "", **_: Any) -> AsyncIterator[ImageEvent]:
        self._refuse(tenant)
        yield

    async def complete(self, request: Any, *, tenant: str = "", **_: Any) -> TextReply:
        self._refuse(tenant)
        raise AssertionError

    async def stream_text(self, request: Any, *, tenant: str = "", **_: Any) -> AsyncIterator[str | TextReply]:
        self._refuse(tenant)
        yield ""

    async def find_prompts(self, *_: Any, tenant: str = "", **__: Any) -> AsyncIterator[FoundPrompt]:
        self._refuse(tenant)
        yield

    async def refine(self, *_: Any, tenant: str = "", **__: Any) -> RefinedPrompt:
        self._refuse(tenant)
        raise AssertionError


@pytest.mark.parametrize(("route", "body"), REQUESTS)
def test_the_engines_hear_whose_request_it_is(configure: Callable[..., RunConfig], route: str, body: dict[str, Any]) -> None:
    config = configure()
    backend = Full(config)
    keys = KeyStore(keys_path(config.serving))
    with TestClient(create_app(backend, None, config)) as client:
        client.post(route, json=body)
        assert backend.asked == [""], "while there are no keys, all callers are one"
        wanted = []
        for name in ("alice", "bob"):
            headers = {"authorization": f"Bearer {keys.add(name)}"}
            wanted.append(keys.records()[-1].key_id)
            refused = client.post(route, json=body, headers=headers)
        assert backend.asked[1:] == wanted
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "8")
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert "32 requests of this key are queued already, which is its share" in refused.json()["error"]["message"]


def test_a_flood_over_http_leaves_another_key_the_next_batch(configure: Callable[..., RunConfig]) -> None:
    """40 clients of one key with ten pictures each, over real HTTP. The engine is held until all have sent, and its batches are counted."""
    config = configure()
    backend, keys = LocalBackend(config), KeyStore(keys_path(config.serving))
    alice, bob = ({"authorization": f"Bearer {keys.add(name)}"} for name in ("alice", "bob"))
    backend.gate.close()
    with serve(create_app(backend, None, config)) as address, ThreadPoolExecutor(41) as pool:

        def ask(headers: dict[str, str], **fields: Any) -> httpx.Response:
            return httpx.post(f"{address}/v1/images/generations", json={**PAINT, **fields}, headers=headers, timeout=60)

        flood = [pool.submit(ask, alice, n=10, seed=number, size=f"{64 + 16 * (number % 3)}x64") for number in range(40)]
        until(lambda: sum(future.done() for future in flood) >= 30)  # refused; the others wait
        lone = pool.submit(ask, bob, seed=77)
        until(lambda: backend.batcher._queue.count(keys.records()[1].key_id) == 1)
        backend.gate.open()
        assert lone.result().status_code == 200
        answers = [future.result() for future in flood]
    (place,) = (place for place, request in enumerate(backend.image_calls) if request.seed == 77)
    assert place < sum(backend.batch_sizes[:2]), "in the next batch after the one that ran"
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {answer.status_code for answer in refused} == {429}
    assert all("requests of this key are queued already" in answer.text for answer in refused)
