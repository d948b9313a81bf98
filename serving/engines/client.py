"""Calling the engine replicas from a batch stage: a bounded window in flight, retries that cannot change a result. Giving calls up."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponse, DeploymentResponseGenerator

from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.engines.text import TextReply, TextRequest
from synthseg.errors import RunFailure, SynthSegError, UsageProblem

_Response = DeploymentResponse[Any] | DeploymentResponseGenerator[Any]

MAX_ATTEMPTS = 4
"""Tries for one request. A replica that died is replaced meanwhile; equal requests give equal bytes, so retries are free."""


def generate_texts(handle: DeploymentHandle[Any], requests: Sequence[TextRequest]) -> list[TextReply]:
    """One reply a request, in order; all in flight at once, spread over the replicas by Serve."""
    pending = [handle.generate.remote([request]) for request in requests]
    replies = []
    for request, response in zip(requests, pending, strict=True):
        result: list[TextReply] = _settle(handle, [request], response)
        replies.append(result[0])
    return replies


def stream_images(
    handle: DeploymentHandle[Any], requests: Sequence[ImageRequest], batch_size: int, max_in_flight: int
) -> Iterator[tuple[int, list[GeneratedImage | GenerationFailure]]]:
    """Results in order as (index of the first, results of one batch) with at most `max_in_flight` requests open.

    Yields while later batches are still being made, so the caller can score meanwhile.
    """
    starts = deque(range(0, len(requests), batch_size))
    window: deque[tuple[int, _Response]] = deque()
    while starts or window:
        while starts and (not window or (len(window) + 1) * batch_size <= max_in_flight):
            start = starts.popleft()
            window.append((start, handle.generate.remote(list(requests[start : start + batch_size]))))
        start, response = window.popleft()
        batch = list(requests[start : start + batch_size])
        results: list[GeneratedImage | GenerationFailure] = _settle(handle, batch, response)
        yield start, [_retry(handle, request, result) for request, result in zip(batch, results, strict=True)]


def engine_digest(handle: DeploymentHandle[Any]) -> str:
    """The digest that the engines of all image replicas share. UsageProblem when they differ."""
    digests = {str(handle.digest.remote().result())}  # waits for a replica, which `broadcast` does not
    answers = handle.broadcast("digest").results(return_exceptions=True)
    digests |= {answer for answer in answers if isinstance(answer, str)}
    if len(digests) > 1:
        raise UsageProblem(
            f"images.model: the replicas' engines differ ({', '.join(sorted(digests))}); "
            "bring the same weights and the same packages to every node"
        )
    return digests.pop()


def cancel(response: _Response) -> None:
    """Cancel a call of a handle, if it is still going on."""
    with suppress(Exception):  # a call that has failed raises its error again
        response.cancel()  # type: ignore[no-untyped-call]


def _retry(
    handle: DeploymentHandle[Any], request: ImageRequest, result: GeneratedImage | GenerationFailure
) -> GeneratedImage | GenerationFailure:
    for _ in range(MAX_ATTEMPTS - 1):
        if not (isinstance(result, GenerationFailure) and result.retryable):
            break
        result = _settle(handle, [request], handle.generate.remote([request]))[0]
    return result


def _settle(handle: DeploymentHandle[Any], batch: Sequence[Any], response: _Response) -> list[Any]:
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return _results(response)
        except (RayError, RayServeException, RunFailure):
            response = handle.generate.remote(list(batch))
    return _results(response)


def _results(response: _Response) -> list[Any]:
    """The replica's results, or our own error in its own words, which are one line. A UsageProblem would only come again."""
    try:
        return list(response.result())
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, SynthSegError) else error from None
