"""Which model answers to a name: a model's own, or one of those that clients of OpenAI's API send by themselves."""

from __future__ import annotations

from fnmatch import fnmatchcase

from serving.http.contracts import ModelInfo, ModelKind
from serving.http.deps import Deps
from serving.http.errors import not_found


def find_model(deps: Deps, kind: ModelKind, name: str) -> ModelInfo | None:
    """The served model of this kind and name. A model's own name comes before the aliases of another."""
    served = [info for info in deps.backend.models() if info.kind == kind]
    for info in served:
        if info.model_id == name:
            return info
    aliases = deps.serving.image_model_aliases if kind == "image" else deps.serving.text_model_aliases
    return served[0] if served and any(fnmatchcase(name, alias) for alias in aliases) else None


def served_model(deps: Deps, kind: ModelKind, wanted: str | None) -> ModelInfo:
    """The model that a request gets: the first of its kind unless it names one. ApiError 404 for a name that nothing answers to."""
    served = [info for info in deps.backend.models() if info.kind == kind]
    found = find_model(deps, kind, wanted) if wanted else next(iter(served), None)
    if found is None:
        message = f"The {kind} model '{wanted or ''}' is not served here; GET /v1/models lists those that are."
        raise not_found(message, code="model_not_found", param="model")
    return found
