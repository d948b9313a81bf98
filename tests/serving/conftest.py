"""The application over the real engines, without Ray: in-process (`client`) and over a real socket (`address`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partialmethod
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from serving.http.app import create_app
from synthseg.config import load_config
from synthseg.config.schema import RunConfig
from tests.serving.http.live import serve
from tests.serving.http.local_backend import LocalBackend

Configure = Callable[..., RunConfig]


@pytest.fixture(scope="session", autouse=True)
def _test_clients_call_loopback() -> Iterator[None]:
    """Starlette's client calls its server `testserver`, a name to which one without keys does not answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TestClient, "__init__", partialmethod(TestClient.__init__, base_url="http://127.0.0.1:8000"))
        yield


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """`configure("serving.x=1", ...)`: the embedded preset with the template text engine and state in the test's own folder."""

    def build(*settings: str) -> RunConfig:
        return load_config("embedded", ["prompts.engine=template", f"serving.state_dir={tmp_path / 'state'}", *settings])

    return build


@pytest.fixture
def backend(configure: Configure) -> Iterator[LocalBackend]:
    backend = LocalBackend(configure())
    yield backend
    backend.gate.open()


@pytest.fixture
def app(backend: LocalBackend) -> FastAPI:
    return create_app(backend, None, backend.config)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@pytest.fixture
def address(app: FastAPI) -> Iterator[str]:
    """http://127.0.0.1:PORT of the application behind uvicorn."""
    with serve(app) as address:
        yield address
