"""`/v1/jobs`: submit a run, watch it, look through what it keeps, stop or delete it. A key sees its own jobs only."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from serving.http.contracts import Conflict, Job, JobReason, JobService, JobStatus
from serving.http.deps import CurrentTenant, Deps
from serving.http.errors import ApiError, invalid, not_found, responses
from serving.http.schemas import WHOLE, RequestModel, Seed
from serving.http.streams import EVENT_STREAM_CONTENT, Event, event_stream
from synthseg.errors import UsageProblem

JobId = Annotated[str, Path(description="Id of a job.")]
SampleId = Annotated[str, Path(description="Id of a sample of its gallery.")]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Setting = Annotated[str, Field(min_length=3, max_length=500)]

_MAGIC: Final = {b"\x89PNG": "image/png", b"RIFF": "image/webp", b"\xff\xd8": "image/jpeg"}

REPORT_HEADERS: Final = {
    # The page is whole in itself: its own script and style, pictures as data. Sandboxed, it cannot act as the server's page does.
    "content-security-policy": (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; font-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts"
    ),
    "cache-control": "private, no-store",
}


class JobRequest(RequestModel):
    """Body of `POST /v1/jobs`: what `synthseg run` takes, but for places and machines, which are the server's."""

    preset: Name | None = Field(None, description="The served one by default, with the server's own models and settings.")
    classes: list[Name] | None = Field(None, max_length=200, description="All of the preset by default.")
    per_class: Annotated[int, Field(ge=1, le=2000), WHOLE] | None = Field(None, description="Kept images to aim at for each class.")
    seed: Seed | None = Field(None, description="Seed of the whole run.")
    settings: list[Setting] | None = Field(None, max_length=100, description="Settings as section.key=value, as for --set.")


class StageProgress(BaseModel):
    """What is published of one stage, and its seconds where it has ended."""

    name: str
    num_shards: int
    num_rows: int
    num_bytes: int
    seconds: float | None


class Progress(BaseModel):
    """How far a run is, as `synthseg status --json` tells it."""

    preset: str
    fingerprint: str
    seed: int
    classes: list[str]
    stages: list[StageProgress]
    last_event: dict[str, Any]
    finished: bool


class JobReply(BaseModel):
    """One job. Times are seconds since the epoch."""

    id: str
    object: Literal["job"] = "job"
    status: JobStatus
    created_at: float
    finished_at: float | None
    spec: dict[str, Any]
    message: str
    """Why it failed or waits."""
    reason: JobReason | None
    """Why the server stopped it, where it did: its folder keeps what it made."""
    progress: Progress | None
    """None before the run has begun, and in lists."""


class DeletedJob(BaseModel):
    """A job that is no more."""

    id: str
    object: Literal["job"] = "job"
    deleted: Literal[True] = True


class JobList(BaseModel):
    """The key's jobs, newest first."""

    object: Literal["list"] = "list"
    data: list[JobReply]


class Sample(BaseModel):
    """A kept sample; its picture is at `/v1/jobs/{id}/images/{sample_id}`."""

    sample_id: str
    prompt: str
    owner: str
    """First class that the prompt was written for, or (context) for its usual surroundings without it."""
    classes: list[str]
    seed: int
    width: int
    height: int
    sha256: str
    clip_score: float
    quality: float
    class_similarity: float
    neighbour_similarity: float
    labels: dict[str, Literal["present", "unknown", "absent"]]
    relabelled: bool
    """Whether the labels are the classifier's already."""


class Gallery(BaseModel):
    """Kept samples in order of shard, from `offset` on."""

    object: Literal["list"] = "list"
    offset: int
    data: list[Sample]


def router(deps: Deps) -> APIRouter:
    """Routes under /v1/jobs. Where jobs are switched off, each answers 404 and says so."""
    routes = APIRouter(tags=["jobs"])

    @routes.post("/v1/jobs", status_code=201, summary="Submit a run", responses=responses(404, 408, 409, 413, 415, 422, 503))
    async def submit(body: JobRequest, tenant: CurrentTenant, request: Request, response: Response) -> JobReply:
        try:
            job = await _service(deps).submit(tenant.tenant_id, body.model_dump(exclude_none=True))
        except UsageProblem as problem:
            raise _refused(problem) from None
        request.state.log["job"] = job.job_id
        response.headers["location"] = f"/v1/jobs/{job.job_id}"
        return _reply(job)

    @routes.get("/v1/jobs", summary="List the jobs", responses=responses(404))
    async def list_jobs(tenant: CurrentTenant, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> JobList:
        """The newest `limit` of them."""
        return JobList(data=[_reply(job) for job in await _service(deps).jobs(tenant.tenant_id, limit)])

    @routes.get("/v1/jobs/{job_id}", summary="One job with its progress", responses=responses(404))
    async def get_job(job_id: JobId, tenant: CurrentTenant) -> JobReply:
        with _known("job"):
            return _reply(await _service(deps).get(tenant.tenant_id, job_id))

    @routes.post("/v1/jobs/{job_id}/cancel", summary="Stop a job", responses=responses(404, 409, 422))
    async def cancel(job_id: JobId, tenant: CurrentTenant) -> JobReply:
        """What the run has published stays, and the same body submitted again resumes it. A finished job stays as it is."""
        with _known("job"):
            return _reply(await _service(deps).cancel(tenant.tenant_id, job_id))

    @routes.delete("/v1/jobs/{job_id}", summary="Stop and forget a job", responses=responses(404, 409))
    async def delete(
        job_id: JobId,
        tenant: CurrentTenant,
        purge: Annotated[bool, Query(description="Remove the run's folder as well, that of a running job once its run has ended.")] = False,
    ) -> DeletedJob:
        """As `cancel`, and the job is gone. What the run has published still waits for the same body, unless it is purged."""
        with _known("job"):
            await _service(deps).delete(tenant.tenant_id, job_id, purge=purge)
        return DeletedJob(id=job_id)

    @routes.get(
        "/v1/jobs/{job_id}/events",
        summary="Watch a job",
        response_class=Response,
        responses={
            200: {
                "description": "The run's events from the first on, as they happen; `job_finished` is the last.",
                "content": EVENT_STREAM_CONTENT,
            },
            **responses(404),
        },
    )
    async def events(job_id: JobId, tenant: CurrentTenant, request: Request) -> Response:
        with _known("job"):
            await _service(deps).get(tenant.tenant_id, job_id)
        return await event_stream(request, _events(_service(deps).events(tenant.tenant_id, job_id)), at_once=True)

    @routes.get("/v1/jobs/{job_id}/gallery", summary="What the run keeps", responses=responses(404))
    async def gallery(
        job_id: JobId,
        tenant: CurrentTenant,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Gallery:
        with _known("job"):
            found = await _service(deps).gallery(tenant.tenant_id, job_id, offset=offset, limit=limit)
        return Gallery(offset=offset, data=[Sample(**sample) for sample in found])

    @routes.get(
        "/v1/jobs/{job_id}/images/{sample_id}",
        summary="One picture",
        response_class=Response,
        responses={200: {"description": "The encoded image.", "content": {"image/*": {}}}, **responses(404)},
    )
    async def image(job_id: JobId, sample_id: SampleId, tenant: CurrentTenant) -> Response:
        with _known("job or sample"):
            encoded = await _service(deps).image(tenant.tenant_id, job_id, sample_id)
        # A sample's id names its content, so it never changes; it is still one key's own.
        return Response(encoded, media_type=_media_type(encoded), headers={"cache-control": "private, max-age=86400, immutable"})

    @routes.get(
        "/v1/jobs/{job_id}/report",
        summary="The run's page",
        response_class=Response,
        responses={200: {"description": "A page that needs nothing else.", "content": {"text/html": {}}}, **responses(404, 409)},
    )
    async def report(job_id: JobId, tenant: CurrentTenant) -> Response:
        with _known("job"):
            await _service(deps).get(tenant.tenant_id, job_id)
        try:
            page = await _service(deps).report(tenant.tenant_id, job_id)
        except KeyError:
            raise Conflict("The run has not written its report yet; it does so at its end.") from None
        return Response(page, media_type="text/html", headers=REPORT_HEADERS)

    return routes


async def _events(found: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[Event, None]:
    with _known("job"):  # deleted between the look at it and the first of its events
        async with contextlib.aclosing(found):
            async for event in found:
                yield Event(event, str(event.get("event", "")))


def _refused(problem: UsageProblem) -> ApiError:
    """400. What is wrong with a configuration is told under the setting's own name, which the body holds in `settings`."""
    field = str(problem).partition(":")[0]
    return invalid(field if field in JobRequest.model_fields else "settings", str(problem))


@contextlib.contextmanager
def _known(what: str) -> Iterator[None]:
    """404 for a KeyError: a foreign id answers as a wrong one."""
    try:
        yield
    except KeyError:
        raise not_found(f"No such {what}.") from None


def _media_type(encoded: bytes) -> str:
    """By the first bytes; a run stores what its engine encoded."""
    return next((kind for start, kind in _MAGIC.items() if encoded.startswith(start)), "application/octet-stream")


def _service(deps: Deps) -> JobService:
    if deps.jobs is None:
        raise ApiError(404, "This server takes no jobs; serving.jobs = true offers them.", code="jobs_disabled")
    return deps.jobs


def _reply(job: Job) -> JobReply:
    progress = Progress(**job.progress) if job.progress else None
    return JobReply(
        id=job.job_id,
        status=job.status,
        created_at=job.created_at,
        finished_at=job.finished_at,
        spec=job.spec,
        message=job.message,
        reason=job.reason,
        progress=progress,
    )
