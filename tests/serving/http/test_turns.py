"""Whose request it is goes with it to the engines; a share that is used up is told with its size."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.http.backend import FoundPrompt, ImageEvent, Overloaded, RefinedPrompt
from serving.keys import KeyStore, keys_path
from synthseg.config.schema import RunConfig
from synthseg.engines.text import TextReply
from tests.serving.http.local_backend import LocalBackend

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
