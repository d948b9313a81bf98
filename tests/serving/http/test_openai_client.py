"""The official client, unmodified, against uvicorn on loopback."""

from __future__ import annotations

import base64
import hashlib
import threading
import urllib.request
from collections.abc import Callable, Iterator

import openai
import pytest

from serving.http.app import create_app
from serving.state.keys import KeyStore, keys_path
from synthseg.config.schema import RunConfig
from synthseg.embedded.painter.engine import PainterEngine
from synthseg.engines.image import GeneratedImage, ImageRequest
from tests.serving.http.live import serve
from tests.serving.http.local_backend import LocalBackend

PROMPT = "a black dog on a beach"


@pytest.fixture
def api(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none")


@pytest.fixture
def once(api: openai.OpenAI) -> openai.OpenAI:
    """The client without its retries, to see the first answer."""
    return api.with_options(max_retries=0)


def engine_image(seed: int) -> bytes:
    result = PainterEngine().generate([ImageRequest(PROMPT, seed, 128, 128)])[0]
    assert isinstance(result, GeneratedImage)
    return result.encoded


def test_images_as_base64(api: openai.OpenAI) -> None:
    reply = api.images.generate(prompt=PROMPT, n=2, size="128x128", response_format="b64_json", extra_body={"seed": 3})  # type: ignore[call-overload]
    assert base64.b64decode(reply.data[0].b64_json) == engine_image(3)
    assert len(reply.data) == 2
    assert reply.output_format == "png"


def test_images_as_url(api: openai.OpenAI) -> None:
    reply = api.images.generate(prompt=PROMPT, response_format="url", extra_body={"seed": 3})
    assert reply.data is not None
    with urllib.request.urlopen(str(reply.data[0].url)) as found:
        assert found.read() == engine_image(3)


def test_images_as_a_stream(api: openai.OpenAI) -> None:
    stream = api.images.generate(prompt=PROMPT, stream=True, partial_images=1, extra_body={"seed": 3})
    events = list(stream)
    assert [event.type for event in events] == ["image_generation.partial_image", "image_generation.completed"]
    assert base64.b64decode(events[-1].b64_json) == engine_image(3)


def test_models(api: openai.OpenAI) -> None:
    assert [model.id for model in api.models.list()] == ["painter", "template"]
    assert api.models.retrieve("painter").owned_by == "synthseg"


def test_raw_responses_have_their_headers(api: openai.OpenAI) -> None:
    raw = api.images.with_raw_response.generate(prompt=PROMPT)
    assert raw.request_id is not None
    assert raw.request_id.startswith("req_")
    assert int(raw.headers["openai-processing-ms"]) > 0


def test_400_names_the_field(once: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        once.images.generate(prompt=PROMPT, n=11)
    assert (caught.value.param, caught.value.code, caught.value.type) == ("n", "invalid_value", "invalid_request_error")


def test_404_for_an_unknown_model(once: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="imagen-4"):
        once.images.generate(prompt=PROMPT, model="imagen-4")
    with pytest.raises(openai.NotFoundError):
        once.models.retrieve("imagen-4")


def test_409_while_the_first_request_runs_and_the_same_answer_afterwards(once: openai.OpenAI, backend: LocalBackend) -> None:
    key = {"Idempotency-Key": "order-1"}
    found: list[object] = []
    backend.gate.close()
    first = threading.Thread(target=lambda: found.append(once.images.generate(prompt=PROMPT, extra_headers=key)))
    first.start()
    assert backend.gate.reached.wait(20)
    with pytest.raises(openai.ConflictError) as caught:
        once.images.generate(prompt=PROMPT, extra_headers=key)
    assert caught.value.code == "request_in_progress"
    backend.gate.open()
    first.join(20)
    assert once.images.generate(prompt=PROMPT, extra_headers=key) == found[0]
    assert len(backend.image_calls) == 1


def test_413_for_a_body_that_is_too_large(once: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        once.images.generate(prompt="x" * (1 << 20))
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")


@pytest.fixture
def full(configure: Callable[..., RunConfig]) -> Iterator[tuple[openai.OpenAI, LocalBackend]]:
    """A server whose engine is held and whose queue of one is taken."""
    config = configure("serving.image.max_batch_size=1", "serving.image.max_queued_requests=1")
    backend = LocalBackend(config)
    with serve(create_app(backend, None, config)) as address:
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        backend.gate.close()
        waiting = [threading.Thread(target=lambda: client.images.generate(prompt=PROMPT)) for _ in range(2)]
        waiting[0].start()
        assert backend.gate.reached.wait(20)
        waiting[1].start()
        while backend.batcher.stats.queued < 1:
            pass
        yield client, backend
        backend.gate.open()
        for thread in waiting:
            thread.join(20)


def test_429_on_overload_and_recovery(full: tuple[openai.OpenAI, LocalBackend]) -> None:
    client, backend = full
    with pytest.raises(openai.RateLimitError) as caught:
        client.images.generate(prompt=PROMPT)
    assert caught.value.code == "overloaded"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    threading.Timer(0.2, backend.gate.open).start()
    assert client.with_options(max_retries=2).images.generate(prompt=PROMPT).data


def test_keys_are_asked_for_and_files_stay_with_their_key(configure: Callable[..., RunConfig]) -> None:
    config = configure()
    store = KeyStore(keys_path(config.serving))
    alice, bob = store.add("alice", requests_per_min=1000), store.add("bob", requests_per_min=2)
    with serve(create_app(LocalBackend(config), None, config)) as address:

        def client(key: str) -> openai.OpenAI:
            return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)

        with pytest.raises(openai.AuthenticationError) as caught:
            client("sk-synthseg-wrong").images.generate(prompt=PROMPT)
        assert (caught.value.code, caught.value.status_code) == ("invalid_api_key", 401)

        raw = client(alice).images.with_raw_response.generate(prompt=PROMPT, response_format="url")
        assert raw.headers["x-ratelimit-limit-requests"] == "1000"
        assert raw.headers["x-ratelimit-remaining-requests"] == "999"
        data = raw.parse().data
        assert data is not None
        file_id = str(data[0].url).rpartition("/")[2]
        own = client(alice).files.with_raw_response.retrieve(file_id)
        assert hashlib.sha256(own.content).hexdigest() == data[0].sha256  # type: ignore[attr-defined]
        with pytest.raises(openai.NotFoundError):
            client(bob).files.retrieve(file_id)

        client(bob).models.list()
        with pytest.raises(openai.RateLimitError) as limited:
            client(bob).models.list()
        assert limited.value.code == "rate_limit_exceeded"
        assert 1 <= int(limited.value.response.headers["retry-after"]) <= 60

        store.revoke("alice")
        with pytest.raises(openai.AuthenticationError):
            client(alice).models.list()
