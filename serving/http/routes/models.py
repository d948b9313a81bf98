"""`GET /v1/models`: what is being served."""

from __future__ import annotations

from typing import Literal, get_args

from fastapi import APIRouter
from pydantic import BaseModel

from serving.http.contracts import ModelInfo, ModelKind
from serving.http.deps import AUTHENTICATED, Deps
from serving.http.errors import not_found, responses
from serving.http.models import find_model


class Model(BaseModel):
    """One model, as OpenAI lists it, with what SynthSeg knows besides."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "synthseg"
    root: str
    """The model itself, where `id` is another name of it."""
    kind: ModelKind
    digest: str
    """Changes whenever the same request could give another result."""


class ModelList(BaseModel):
    """All models by their own names; the first of a kind is that kind's default."""

    object: Literal["list"] = "list"
    data: list[Model]


def router(deps: Deps) -> APIRouter:
    """Routes under /v1/models."""
    routes = APIRouter(tags=["models"], dependencies=AUTHENTICATED)

    @routes.get("/v1/models", summary="List the models")
    async def list_models() -> ModelList:
        return ModelList(data=[_model(info) for info in deps.backend.models()])

    @routes.get("/v1/models/{model_id:path}", summary="One model", responses=responses(404))
    async def get_model(model_id: str) -> Model:
        own = next((info for info in deps.backend.models() if info.model_id == model_id), None)
        if found := own or next(filter(None, (find_model(deps, kind, model_id) for kind in get_args(ModelKind))), None):
            return _model(found, model_id)
        raise not_found(f"The model '{model_id}' is not served here; GET /v1/models lists those that are.", code="model_not_found")

    return routes


def _model(info: ModelInfo, asked_for: str = "") -> Model:
    return Model(id=asked_for or info.model_id, root=info.model_id, kind=info.kind, digest=info.digest)
