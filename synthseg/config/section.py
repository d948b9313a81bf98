"""The base of every section of a configuration."""

from __future__ import annotations

import math
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

STORED: Final = {"stored": True}
"""Validation context of a configuration that a run was begun with: what was accepted then still opens."""


class Section(BaseModel):
    """Base of all sections: frozen; unknown keys, infinity and NaN refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="after", check_fields=False)
    @classmethod
    def _finite(cls, value: Any, info: ValidationInfo) -> Any:
        if info.context != STORED and not _is_finite(value):
            raise PydanticCustomError("finite_number", "Input should be a finite number")
        return value


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return all(map(_is_finite, value)) if isinstance(value, (list, tuple)) else True
