"""Any server that speaks OpenAI's completions (vLLM, SGLang, llama.cpp, `synthseg serve`, hosted ones), reached through httpx.

The key is read from the environment when an engine is built, is sent in one header, and is cut out of whatever the server says.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from synthseg.config.text import EndpointConfig
from synthseg.engines.openai.dialect import DIALECTS, WRAPPED, Dialect, has_bare_schema, heard
from synthseg.engines.openai.protocol import (
    CompletionStream,
    Refused,
    completion_body,
    completion_reply,
    error_message,
    streamed,
    whole_event,
)
from synthseg.engines.text import RequestRefused, TextReply, TextRequest
from synthseg.errors import RunFailure, UsageProblem
from synthseg.ids import digest
from synthseg.machine.network import client_from

_RETRYABLE: Final = frozenset({408, 409, 425, 429})
_BLAMES_REQUEST: Final = frozenset({400, 413, 422})
"""Statuses that speak of one request; any other refusal would meet every request."""
_FIRST_PAUSE_S: Final = 0.5
_CONNECT_TIMEOUT_S: Final = 10.0
_UNREADABLE: Final = 502
"""Status of an answer that came and cannot be read."""


class _Again(Exception):
    """This try failed in a way that another may mend; `pause_s` is what the server asked for, if it did."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


@dataclass(slots=True)
class Connection:
    """Connections and the bound on open requests; both belong to one event loop."""

    http: httpx.AsyncClient
    slots: asyncio.Semaphore


class OpenAiEngine:
    """Text engine at an endpoint. It takes any number of requests at once and keeps `max_concurrent` of them open.

    Equal requests get equal text only as far as the server keeps to the seed.
    """

    def __init__(self, base_url: str, model: str, settings: EndpointConfig | None = None) -> None:
        """UsageProblem when the environment holds a key that no header can carry."""
        self._settings = settings or EndpointConfig()
        self._url = base_url.rstrip("/")
        self._model = model
        self._key = _key_in(self._settings.api_key_env)
        self.digest = digest("openai", self._url, model)
        self.max_concurrent = self._settings.max_concurrent

    def generate(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        """One reply a request, in order. RequestRefused when the endpoint refuses one, UsageProblem for what is wrong with the endpoint's
        settings, RunFailure when it fails. Not for code that runs in an event loop, which has `answer`.
        """
        return asyncio.run(self._generate(requests))

    def check(self) -> None:
        """`probe` for code that runs in no event loop."""
        asyncio.run(self.probe())

    async def probe(self) -> None:
        """One token over a connection of its own, without retries: UsageProblem or RunFailure, with the way out, when this endpoint cannot
        serve the model.
        """
        async with self.connected() as connection:
            await self._answer(connection, TextRequest(({"role": "user", "content": "Hi"},), seed=0, max_tokens=1), max_retries=0)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """Connections for `answer` and `tell`, closed at the end. UsageProblem for a proxy or certificates that cannot be used."""
        limits = httpx.Limits(max_connections=self.max_concurrent, max_keepalive_connections=self.max_concurrent)
        timeout = httpx.Timeout(self._settings.timeout_s, connect=min(_CONNECT_TIMEOUT_S, self._settings.timeout_s), pool=None)
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        async with client_from(lambda: httpx.AsyncClient(headers=headers, limits=limits, timeout=timeout)) as http:
            yield Connection(http, asyncio.Semaphore(self.max_concurrent))

    async def answer(self, connection: Connection, request: TextRequest) -> TextReply:
        """The reply to one request; the errors of `generate`."""
        async with connection.slots:
            return await self._answer(connection, request, self._settings.max_retries)

    async def tell(self, connection: Connection, request: TextRequest) -> AsyncGenerator[str | TextReply, None]:
        """Pieces of the text as they come, then the reply; the errors of `generate`. Only what fails before the first piece is retried."""
        async with connection.slots:
            pauses = self._pauses(self._settings.max_retries)
            dialect = first = replace(self._dialect(), wraps=False)  # the pieces are told as they come
            while True:
                telling, begun = CompletionStream(), False
                body = dialect.spoken(streamed(completion_body(request, self._model)))
                try:
                    async with aclosing(self._lines(connection, request, body)) as lines:
                        async for line in lines:
                            if piece := telling.take(line):
                                begun = True
                                yield piece
                    yield telling.reply()
                except _Again as failed:
                    if begun:
                        raise self._given_up(failed, 0) from failed
                    await pauses.after(failed)
                except Refused as refused:
                    better = None if begun else self._heard(refused, body, dialect, None)
                    if better is None:
                        raise self._problem(refused) from None
                    dialect = better
                else:
                    DIALECTS.learn(self._url, self._model, dialect.since(first))
                    return

    async def _generate(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        async with self.connected() as connection:
            return list(await asyncio.gather(*(self.answer(connection, request) for request in requests)))

    async def _answer(self, connection: Connection, request: TextRequest, max_retries: int) -> TextReply:
        pauses = self._pauses(max_retries)
        dialect = first = self._dialect()
        while True:
            body = dialect.spoken(completion_body(request, self._model))
            try:
                response = await self._post(connection, request, body)
                reply = completion_reply(_json(response))
            except _Again as failed:
                await pauses.after(failed)
            except Refused as refused:
                better = self._heard(refused, body, dialect, request.json_schema)
                if better is None:
                    raise self._problem(refused) from None
                dialect = better
            else:
                DIALECTS.learn(self._url, self._model, dialect.since(first))
                wrapped = dialect.wraps and "response_format" in body and has_bare_schema(request.json_schema or {})
                return _unwrapped(reply) if wrapped else reply

    def _dialect(self) -> Dialect:
        """What is known of the endpoint by now, under the user's settings."""
        return DIALECTS.of(self._url, self._model).held_to(self._settings)

    def _heard(self, refused: Refused, body: Mapping[str, Any], dialect: Dialect, schema: Mapping[str, Any] | None) -> Dialect | None:
        if refused.status not in (400, 422):
            return None
        return heard(refused.answer, body, dialect, self._settings.fields.keys(), schema)

    async def _post(self, connection: Connection, request: TextRequest, body: Mapping[str, Any]) -> httpx.Response:
        with _transport_errors():
            response = await connection.http.post(self._path(request), json=body)
        self._check_status(response)
        return response

    async def _lines(self, connection: Connection, request: TextRequest, body: Mapping[str, Any]) -> AsyncGenerator[str, None]:
        with _transport_errors():
            async with connection.http.stream("POST", self._path(request), json=body) as response:
                if not response.is_success:
                    await response.aread()
                self._check_status(response)
                if response.headers.get("content-type", "").startswith("application/json"):
                    await response.aread()
                    yield whole_event(_json(response))  # a server that does not stream, or its error
                    return
                async for line in _event_lines(response):
                    yield line

    def _path(self, request: TextRequest) -> str:
        return f"{self._url}/{'chat/completions' if request.prompt is None else 'completions'}"

    def _check_status(self, response: httpx.Response) -> None:
        """_Again or Refused unless the response is a success."""
        status = response.status_code
        if response.is_success:
            return
        answer = _json_or_text(response)
        said = self._safe(error_message(answer))
        if status in _RETRYABLE or status >= 500:
            raise _Again(f"{status}: {said}", _retry_after_s(response.headers))
        raise Refused(status, said, answer)

    def _problem(self, refused: Refused) -> UsageProblem | RunFailure:
        """One line with the way out."""
        status, said, variable = refused.status, self._safe(refused.message), self._settings.api_key_env
        if status in (401, 403):
            fix = f"the key in {variable} does not open it" if self._key else f"put a key into the environment variable {variable}"
            return UsageProblem(f"prompts.base_url: {self._url} answered {status} ({said}); {fix}")
        if status in (404, 405):
            return UsageProblem(
                f"prompts.model: {self._url} answered {status} for '{self._model}' ({said}); take a model of its /models, "
                "and an address that ends where /chat/completions begins, usually in /v1"
            )
        if 300 <= status < 400:
            return UsageProblem(f"prompts.base_url: {self._url} answered {status}, a redirect; give the address that it leads to")
        if status < 500:
            kind = RequestRefused if status in _BLAMES_REQUEST else UsageProblem
            return kind(f"prompts.engine: the endpoint refused a request: {said}")
        return RunFailure(f"prompts.base_url: {self._url} failed ({said})")

    def _pauses(self, max_retries: int) -> _Pauses:
        return _Pauses(max_retries, self._settings.max_retry_wait_s, self._given_up)

    def _given_up(self, failed: _Again, num_retries: int) -> UsageProblem | RunFailure:
        if isinstance(failed.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol):
            return UsageProblem(f"prompts.base_url: nothing answers at {self._url} ({failed}); start that server or correct the address")
        tries = f" after {num_retries + 1} tries" if num_retries else ""
        return RunFailure(
            f"prompts.base_url: {self._url} did not answer{tries} ({failed}); wait and run the same command again, or lower "
            "execution.endpoint.max_concurrent"
        )

    def _safe(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


class _Pauses:
    """The waits between the tries of one request: what the server asked for, else twice the last one, with jitter."""

    def __init__(self, max_retries: int, longest_s: float, give_up: Callable[[_Again, int], Exception]) -> None:
        self._left = self._max_retries = max_retries
        self._longest_s = longest_s
        self._give_up = give_up
        self._next_s = _FIRST_PAUSE_S

    async def after(self, failed: _Again) -> None:
        """Wait for the next try, or raise what says that there is none."""
        asked_s = failed.pause_s
        if not self._left or (asked_s is not None and asked_s > self._longest_s):
            raise self._give_up(failed, self._max_retries - self._left) from failed
        self._left -= 1
        # Many requests that were turned away together must not come back together.
        pause_s = min(self._next_s, self._longest_s) * random.uniform(0.75, 1.25) if asked_s is None else asked_s + random.uniform(0, 0.25)
        self._next_s *= 2
        await asyncio.sleep(pause_s)


def _key_in(variable: str) -> str:
    """The key in the environment `variable`; empty where there is none. UsageProblem, without the key, when no header can carry it."""
    key = os.environ.get(variable, "").strip()
    if not all("!" <= char <= "~" for char in key):
        raise UsageProblem(
            f"execution.endpoint.api_key_env: the value of {variable} is no key, for it holds white space, control characters or letters "
            "beyond ASCII; set that environment variable again"
        )
    return key


@contextmanager
def _transport_errors() -> Iterator[None]:
    """Broken connections and time-outs as _Again, with httpx's error as the cause."""
    try:
        yield
    except httpx.LocalProtocolError as error:
        # It quotes the header that could not be sent, which may be the one with the key.
        raise _Again(type(error).__name__) from None
    except httpx.TransportError as error:
        raise _Again(str(error) or type(error).__name__) from error
    except httpx.InvalidURL as error:
        raise Refused(404, str(error)) from error
    except httpx.DecodingError as error:
        raise Refused(_UNREADABLE, f"its answer is not in the content-encoding that it names: {error}") from error


async def _event_lines(response: httpx.Response) -> AsyncGenerator[str, None]:
    """Lines of server-sent events. They end with a line feed; a text may hold what Python takes for other ends of lines."""
    rest = b""
    async for piece in response.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip("\r")
    yield rest.decode("utf-8", "replace")


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (RecursionError, ValueError) as error:
        raise Refused(404, "the answer is not JSON") from error


def _json_or_text(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (RecursionError, ValueError):
        return response.text


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, which holds a number or a date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _unwrapped(reply: TextReply) -> TextReply:
    """The property's JSON alone; a text that was cut short stays as it is."""
    try:
        return replace(reply, text=json.dumps(json.loads(reply.text)[WRAPPED]))
    except (KeyError, RecursionError, TypeError, ValueError):
        return reply
