"""`GET /v1/files/{id}`: results of `response_format = url`."""

from __future__ import annotations

import time

from fastapi import APIRouter
from fastapi.responses import Response

from serving.http.deps import CurrentTenant, Deps
from serving.http.errors import not_found, responses


def router(deps: Deps) -> APIRouter:
    """Routes under /v1/files."""
    routes = APIRouter(tags=["files"])
    images = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/png", "image/webp", "image/jpeg")}

    @routes.get(
        "/v1/files/{file_id}",
        summary="The bytes behind a URL",
        response_class=Response,
        responses={200: {"description": "The image.", "content": images}, **responses(404)},
    )
    async def get_file(file_id: str, tenant: CurrentTenant) -> Response:
        try:
            found = await deps.files.get(tenant.tenant_id, file_id)
        except KeyError:
            raise not_found(f"There is no file '{file_id}', or not any more.") from None
        seconds = max(int(found.expires - time.time()), 0)
        return Response(found.body, media_type=found.media_type, headers={"cache-control": f"private, max-age={seconds}, immutable"})

    return routes
