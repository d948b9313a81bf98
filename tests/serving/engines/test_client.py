"""The client against a handle that misbehaves; no Ray cluster is needed for its logic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError

from serving.engines.client import MAX_ATTEMPTS, engine_digest, generate_texts, stream_images
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.engines.text import TextReply, TextRequest
from synthseg.errors import RunFailure, UsageProblem


class Response:
    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome

    def result(self) -> Any:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


class Handle:
    """Answers `generate.remote`, remembers what was open at once, and fails as told."""

    def __init__(self, fail: int = 0, flaky: int = 0, failure: Exception | None = None) -> None:
        self.calls: list[list[Any]] = []
        self._fail, self._flaky = fail, flaky
        self._failure = failure or RayActorError()

    @property
    def generate(self) -> Handle:
        return self

    def remote(self, requests: Sequence[Any]) -> Response:
        self.calls.append(list(requests))
        if self._fail > 0:
            self._fail -= 1
            return Response(self._failure)
        if isinstance(requests[0], TextRequest):
            return Response([TextReply(f"text {r.seed}", "stop", 1, 1) for r in requests])
        results: list[Any] = [GeneratedImage(str(r.seed).encode(), r.width, r.height) for r in requests]
        if self._flaky > 0:
            self._flaky -= 1
            results[0] = GenerationFailure("out of memory", retryable=True)
        if requests[0].prompt == "bad":
            results[0] = GenerationFailure("names no class", retryable=False)
        return Response(results)


def image_requests(count: int) -> list[ImageRequest]:
    return [ImageRequest("a cat", seed, 8, 8) for seed in range(count)]


def collect(handle: Handle, requests: list[ImageRequest], batch_size: int = 4, max_in_flight: int = 8) -> list[Any]:
    return [result for _, batch in stream_images(handle, requests, batch_size, max_in_flight) for result in batch]  # type: ignore[arg-type]


def test_texts_come_in_order_after_a_replica_died() -> None:
    requests = [TextRequest(({"role": "user", "content": "x"},), seed) for seed in range(3)]
    replies = generate_texts(Handle(fail=2), requests)  # type: ignore[arg-type]
    assert [reply.text for reply in replies] == ["text 0", "text 1", "text 2"]


def test_images_come_in_order_and_in_batches() -> None:
    handle = Handle()
    assert [r.encoded for r in collect(handle, image_requests(10))] == [str(i).encode() for i in range(10)]
    assert [len(call) for call in handle.calls] == [4, 4, 2]


def test_no_more_than_the_window_is_open_before_the_first_result() -> None:
    handle = Handle()
    stream = stream_images(handle, image_requests(40), 4, 8)  # type: ignore[arg-type]
    next(stream)
    assert len(handle.calls) == 2


def test_a_window_below_one_batch_still_moves() -> None:
    assert len(collect(Handle(), image_requests(6), batch_size=4, max_in_flight=1)) == 6


def test_a_retryable_failure_is_tried_again_alone() -> None:
    handle = Handle(flaky=1)
    assert all(isinstance(result, GeneratedImage) for result in collect(handle, image_requests(4)))
    assert [len(call) for call in handle.calls] == [4, 1]


def test_a_lasting_failure_is_not_tried_again() -> None:
    handle = Handle()
    results = collect(handle, [ImageRequest("bad", 0, 8, 8)])
    assert results == [GenerationFailure("names no class", retryable=False)]
    assert len(handle.calls) == 1


def test_a_replica_that_never_comes_back_is_an_error() -> None:
    handle = Handle(fail=100)
    with pytest.raises(RayActorError):
        collect(handle, image_requests(1))
    assert len(handle.calls) == MAX_ATTEMPTS


def test_what_the_engine_refuses_comes_in_its_own_words_and_is_not_asked_again() -> None:
    refused = RayTaskError("generate", "a traceback\nof many lines", UsageProblem("prompts.model: no such model")).as_instanceof_cause()
    handle = Handle(fail=100, failure=refused)
    with pytest.raises(UsageProblem, match=r"^prompts\.model: no such model$"):
        generate_texts(handle, [TextRequest((), 0)])  # type: ignore[arg-type]
    assert len(handle.calls) == 1


def test_a_failure_is_tried_elsewhere_before_it_comes_in_its_own_words() -> None:
    failed = RayTaskError("generate", "a traceback\nof many lines", RunFailure("prompts.base_url: no answer")).as_instanceof_cause()
    assert generate_texts(Handle(fail=2, failure=failed), [TextRequest((), 0)])[0].text == "text 0"  # type: ignore[arg-type]
    handle = Handle(fail=100, failure=failed)
    with pytest.raises(RunFailure, match=r"^prompts\.base_url: no answer$"):
        generate_texts(handle, [TextRequest((), 0)])  # type: ignore[arg-type]
    assert len(handle.calls) == MAX_ATTEMPTS


class Replicas:
    """Replicas with these digests; a request goes to the first, one that has died answers with its error."""

    def __init__(self, *digests: str | Exception) -> None:
        self._digests = digests

    @property
    def digest(self) -> Replicas:
        return self

    def remote(self) -> Response:
        return Response(self._digests[0])

    def broadcast(self, method: str) -> Replicas:
        assert method == "digest"
        return self

    def results(self, *, return_exceptions: bool) -> list[str | Exception]:
        assert return_exceptions
        return list(self._digests)


def test_replicas_must_have_one_engine_between_them() -> None:
    assert engine_digest(Replicas("a", "a", RayActorError())) == "a"  # type: ignore[arg-type]
    with pytest.raises(UsageProblem, match=r"^images\.model: the replicas' engines differ \(a, b\); bring the same weights"):
        engine_digest(Replicas("a", "b"))  # type: ignore[arg-type]
