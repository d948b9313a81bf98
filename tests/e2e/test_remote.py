"""A whole run whose OUT is an object store, then the same run taken up on another machine: one with an empty scratch folder."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.e2e.bucket_store import install
from tests.e2e.small import arguments, images, metrics, synthseg

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

URI = "bucket://runs/small"


class Machine:
    """Commands with a scratch folder of their own; only the object store is shared."""

    def __init__(self, folder: Path, store: dict[str, str]) -> None:
        folder.mkdir()
        # Ray's sockets need a short path.
        self._environment = {**store, "TMPDIR": str(folder), "RAY_TMPDIR": tempfile.gettempdir()}
        self.scratch = folder

    def __call__(self, *args: str) -> subprocess.CompletedProcess[str]:
        done = synthseg(*args, timeout_s=600, **self._environment)
        assert done.returncode == 0, done.stderr
        return done


def checkpoints(out: Path) -> dict[str, int]:
    """When each file of the trained networks was written."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for name in ("classifier", "segmenter") for path in (out / name).iterdir()}


def test_a_run_in_an_object_store_can_be_taken_up_anywhere(tmp_path: Path) -> None:
    store = install(tmp_path)
    out = Path(store["BUCKETS"]) / "runs" / "small"
    first, second = Machine(tmp_path / "first", store), Machine(tmp_path / "second", store)

    first(*arguments(URI, "--workers", "2"))
    assert not Path("bucket:").exists()
    assert list(first.scratch.rglob("*.safetensors")) == []
    written = checkpoints(out)
    assert {"classifier/fold-0.safetensors", "segmenter/decoder.safetensors", "segmenter/state.pt"} <= written.keys()
    measured = metrics(out)
    assert 0 < measured["segmenter"]["field_miou"] <= 1
    assert (out / "report" / "index.html").stat().st_size > 10_000

    second("evaluate", URI)
    for section in ("segmenter", "classifier", "control"):
        assert metrics(out)[section] == measured[section]
    assert list(second.scratch.rglob("*.safetensors")) == []

    second(*arguments(URI, "--workers", "2"))
    assert checkpoints(out) == written
    found = json.loads(second("verify", URI, "--json").stdout)
    assert (found["planned"], found["faults"]) == (len(images(out)), [])
