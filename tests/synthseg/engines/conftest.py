from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from synthseg.engines.openai.dialect import Dialects

PipelineFolder = Callable[[str], Path]


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> PipelineFolder:
    """`pipeline("sd")`: folder of the tiny pipeline of that family, made once. Copy it to change it."""
    pytest.importorskip("diffusers", reason="needs the extra 'diffusion'")
    from tests.tiny_diffusers import FAMILIES

    root = tmp_path_factory.mktemp("pipelines")

    def folder(family: str) -> Path:
        return root / family if (root / family).exists() else FAMILIES[family](root / family)

    return folder


@pytest.fixture(autouse=True)
def _strange_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of the endpoints of earlier tests, whose ports come again."""
    monkeypatch.setattr("synthseg.engines.openai.engine.DIALECTS", Dialects())
