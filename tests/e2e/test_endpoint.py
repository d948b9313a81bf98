"""One SynthSeg as the language model of another: its own server is an OpenAI-compatible endpoint, with keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serving.state.keys import KeyStore
from synthseg.records import CANDIDATE_SCHEMA
from synthseg.store.run_folder import RunFolder
from tests.e2e.small import synthseg
from tests.serving.deploy.live import live_server

pytestmark = [pytest.mark.e2e, pytest.mark.engines, pytest.mark.timeout(400)]


def prompts(out: Path, *settings: str, **environment: str) -> list[dict[str, object]]:
    """Candidates of one short round for one class."""
    short = ("prompts.max_rounds=1", "prompts.requests_per_round=6", "prompts.prompts_per_class=4", "execution.workers=1")
    sets = [part for setting in (*short, *settings) for part in ("--set", setting)]
    done = synthseg("run", "--classes", "horse", "--until", "prompts", "--out", str(out), *sets, **environment)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, object]] = RunFolder.open(str(out)).shards.read_all("prompts", CANDIDATE_SCHEMA).to_pylist()
    return rows


def test_a_run_that_asks_a_server_of_ours_gets_what_it_would_have_said_itself(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key = KeyStore(keys).add("run")
    with live_server(tmp_path / "state", "serving.jobs=false", f"serving.keys_file={keys}") as server:
        settings = ("prompts.engine=openai", "prompts.model=llama", f"prompts.base_url={server.url}/v1")
        asked = prompts(tmp_path / "asked", *settings, OPENAI_API_KEY=key)
        refused = synthseg(
            "run", "--out", str(tmp_path / "none"), *(part for setting in settings for part in ("--set", setting)), OPENAI_API_KEY="sk-no"
        )
    assert refused.returncode == 2
    assert "does not open it" in refused.stderr
    assert not (tmp_path / "none").exists()
    kept = (tmp_path / "asked" / "run.json").read_text(encoding="utf-8") + json.dumps(asked)
    assert key not in kept
    own = prompts(tmp_path / "own")
    assert any(row["accepted"] for row in own)
    assert [row["text"] for row in asked] == [row["text"] for row in own]
    assert {row["engine"] for row in asked} != {row["engine"] for row in own}
