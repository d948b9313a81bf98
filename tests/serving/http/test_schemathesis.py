from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.http.app import create_app
from serving.jobs import RayJobService
from serving.jobs.runner import Found
from serving.state.keys import KeyStore, keys_path
from synthseg.config.schema import RunConfig
from tests.serving.http.live import serve
from tests.serving.http.local_backend import LocalBackend
from tests.serving.jobs.fakes import FakeRunner

ROOT = Path(__file__).resolve().parents[3]
SMALL = (
    "images.width=64",
    "images.height=64",
    "serving.max_side_px=64",
    "serving.image.max_queued_requests=10000",
    "serving.max_queued_jobs=10000",
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing(configure: Callable[..., RunConfig], tmp_path: Path) -> None:
    """All checks of schemathesis over /openapi.json, valid and invalid data, at least 500 cases, keys required."""
    config = configure(*SMALL)
    key = KeyStore(keys_path(config.serving)).add("fuzzer", 0, 0)
    command = [
        *(str(Path(sys.executable).parent / "schemathesis"), "run", "--checks", "all", "--mode", "all", "--max-examples", "25"),
        *("--seed", "1", "--no-color", "-H", f"Authorization: Bearer {key}"),
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.serving.http.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    backend = LocalBackend(config)
    assert backend.scorer.digest  # loaded before the first request with `refine`, as a server does
    with serve(create_app(backend, RayJobService(config, FakeRunner(Found("succeeded")), poll_s=0.01), config)) as address:
        done = subprocess.run(
            [*command, f"{address}/openapi.json"], capture_output=True, encoding="utf-8", check=False, env=environment, cwd=tmp_path
        )
    assert done.returncode == 0, done.stdout[-8000:]
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated is not None
    assert int(generated[1]) >= 500
    logged = [
        json.loads(line)
        for file in Path(config.serving.state_dir, "logs").iterdir()
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    assert sum(line["event"] == "request" for line in logged) >= 500
    assert not [line for line in logged if "traceback" in line]
    assert key not in str(logged)
