"""A batch run's images, asked for again over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from synthseg.config import load_config
from synthseg.store.run_folder import RunFolder
from synthseg.store.verify import stage_schema
from tests.e2e.small import arguments, synthseg
from tests.serving.http.local_backend import LocalBackend

pytestmark = [pytest.mark.e2e, pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_same_prompt_size_and_seed_give_the_same_hash_over_http(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = synthseg(*arguments(out, "--until", "images"))
    assert done.returncode == 0, done.stderr
    rows = RunFolder.open(str(out)).shards.read_all("images", stage_schema("images")).to_pylist()
    assert len(rows) >= 8
    config = load_config("embedded", [f"serving.state_dir={tmp_path / 'state'}"])
    with TestClient(create_app(LocalBackend(config), None, config), base_url="http://127.0.0.1") as client:
        for row in rows:
            size = f"{row['image']['width']}x{row['image']['height']}"
            body = {"prompt": row["prompt"]["text"], "seed": row["seed"], "size": size}
            (image,) = client.post("/v1/images/generations", json=body).json()["data"]
            assert image["sha256"] == row["image"]["sha256"]
