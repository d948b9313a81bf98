"""What the routes need from the engines and from the job runner. The Serve backend calls deployments; tests call engines in-process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from serving.agent.results import FoundPrompt, RefinedPrompt
from serving.engines.fair_queue import SHARED
from serving.engines.stats import EngineStats
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.engines.text import TextReply, TextRequest

ModelKind = Literal["image", "text"]
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
JobReason = Literal["wall_time_exceeded", "disk_exceeded"]
"""Why a server ends a run."""
FINISHED: frozenset[JobStatus] = frozenset(("succeeded", "failed", "cancelled"))


class Overloaded(Exception):
    """Every queue is full, or this tenant's share of it (`own`); the same request will be welcome in `retry_after_s` seconds."""

    def __init__(self, retry_after_s: float, queued: int, *, own: bool = False) -> None:
        super().__init__(f"{queued} requests are queued")
        self.retry_after_s = retry_after_s
        self.queued = queued
        self.own = own


class Conflict(Exception):
    """The state of things does not allow this now; the message says what stands in the way."""


class EngineUnavailable(Exception):
    """No replica of an engine can answer: dead, still starting, or without the endpoint or the settings that it needs."""


class DeadlineExceeded(Exception):
    """The deadline passed before the engine had answered; the work was given up."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One entry of `GET /v1/models`."""

    model_id: str
    kind: ModelKind
    digest: str


@dataclass(frozen=True, slots=True)
class ImageEvent:
    """Something about the image at `index` of a request: a preview (`final` False) or its one outcome (`final` True)."""

    index: int
    result: GeneratedImage | GenerationFailure
    final: bool = True
    engine_s: float = 0.0
    """This image's share of its batch's engine time, in a final event; it is charged to the key's image seconds."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether traffic may come, and the state of each part (`ready`, `starting`, or what is wrong)."""

    ready: bool
    parts: dict[str, str]


class Backend(Protocol):
    """The engines. Every method may raise Overloaded, EngineUnavailable or DeadlineExceeded, and those that are given a text
    RequestRefused.

    Cancelling a call or closing a generator frees its slot. `tenant` is who asks: tenants take turns at the engines, and each has a share
    of their queues. Work of no tenant in particular takes turns like one more.
    """

    def models(self) -> list[ModelInfo]:
        """What is being served; the first of a kind is that kind's default."""
        ...

    def images(
        self, requests: Sequence[ImageRequest], *, previews: int, deadline_s: float, tenant: str = SHARED
    ) -> AsyncGenerator[ImageEvent, None]:
        """Events as they come, in any order of `index`; exactly one final event a request. `previews` is the most wanted for each."""
        ...

    async def complete(self, request: TextRequest, *, deadline_s: float, tenant: str = SHARED) -> TextReply:
        """One completion."""
        ...

    def stream_text(self, request: TextRequest, *, deadline_s: float, tenant: str = SHARED) -> AsyncGenerator[str | TextReply, None]:
        """Pieces of one completion, then the whole reply."""
        ...

    def find_prompts(
        self, class_name: str, count: int, seed: int, *, deadline_s: float, tenant: str = SHARED
    ) -> AsyncGenerator[FoundPrompt, None]:
        """Accepted, diverse prompts of a class as the agent finds them; may end with fewer than `count`."""
        ...

    async def refine(self, prompt: str, class_names: Sequence[str], seed: int, *, deadline_s: float, tenant: str = SHARED) -> RefinedPrompt:
        """The agent's better wording of `prompt`, which must show `class_names`."""
        ...

    async def score(self, prompt: str, encoded: bytes, *, deadline_s: float) -> float:
        """Cosine of prompt and picture (encoded) by the run's CLIP, as a run's `clip_score`."""
        ...

    async def readiness(self) -> Readiness:
        """Ready only after each engine has answered a warm-up request, and while replicas are alive."""
        ...

    async def stats(self) -> list[EngineStats]:
        """One entry a living replica; what does not answer in time is left out."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """A run that was submitted. Times are seconds since the epoch; `progress` is `synthseg status --json` of its folder."""

    job_id: str
    tenant: str
    status: JobStatus
    created_at: float
    finished_at: float | None
    out: str
    spec: dict[str, Any]
    message: str = ""
    progress: dict[str, Any] | None = None
    reason: JobReason | None = None
    """Of a job that failed because the server stopped it."""


class JobService(Protocol):
    """Runs of the pipeline as Ray jobs. A tenant sees its own jobs only; a foreign id is as unknown as a wrong one (KeyError)."""

    def start(self) -> None:
        """Watch over the jobs that an earlier server has left, from the running event loop."""
        ...

    async def close(self) -> None:
        """Stop watching. Jobs go on."""
        ...

    async def submit(self, tenant: str, spec: dict[str, Any]) -> Job:
        """Start `synthseg run` with `spec` (preset, classes, per_class, seed, settings as section.key=value).

        UsageProblem before anything starts, Conflict while the same run is going, Overloaded when too many of the tenant's wait.
        """
        ...

    async def get(self, tenant: str, job_id: str) -> Job:
        """The job now."""
        ...

    async def jobs(self, tenant: str, limit: int) -> list[Job]:
        """The tenant's newest `limit` jobs, newest first."""
        ...

    async def cancel(self, tenant: str, job_id: str) -> Job:
        """Stop the job; what it published stays and the same spec resumes it."""
        ...

    async def delete(self, tenant: str, job_id: str, *, purge: bool = False) -> None:
        """Stop the job and forget it: its id is unknown from now on. What it published stays for the same spec; with `purge` its folder
        goes, that of a running job once the run has ended. Conflict while another job is going there.
        """
        ...

    def events(self, tenant: str, job_id: str) -> AsyncGenerator[dict[str, Any], None]:
        """Lines of the run's events.jsonl from the first on, then a last one whose `event` is job_finished."""
        ...

    async def gallery(self, tenant: str, job_id: str, *, offset: int, limit: int) -> list[dict[str, Any]]:
        """Kept samples of the run, with prompt, scores, labels and a `sample_id`; without image bytes."""
        ...

    async def image(self, tenant: str, job_id: str, sample_id: str) -> bytes:
        """Encoded image of one sample (KeyError when there is none)."""
        ...

    async def report(self, tenant: str, job_id: str) -> bytes:
        """The run's page as HTML (KeyError before the run has written it)."""
        ...
