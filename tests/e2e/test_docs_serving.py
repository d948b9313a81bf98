"""Every example of docs/serving.md, in its order, on a real `synthseg serve`: what the guide says is what happens."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.serving.deploy.live import LiveServer, live_server

pytestmark = [pytest.mark.e2e, pytest.mark.server, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = [(match[1], match[2]) for match in BLOCK.finditer(GUIDE)]
LIMIT_S = 400


@dataclass(slots=True)
class Desk:
    """A reader's shell: one folder, and the variables that earlier examples exported."""

    server: LiveServer
    folder: Path
    home: Path

    def run(self, language: str, text: str) -> str:
        """Output of an example; AssertionError when it fails."""
        text = text.replace(ADDRESS, self.server.url)
        variables = self.folder / "variables.sh"
        script = f"set -euo pipefail\n[ -e {variables} ] && . {variables}\n"
        if language == "bash":
            script += f"{text}\nexport -p > {variables}\n"
        else:
            (self.folder / "example.py").write_text(text, encoding="utf-8")
            script += "python example.py\n"
        environment = {
            **os.environ,
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
        }
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=environment, capture_output=True, encoding="utf-8", timeout=LIMIT_S, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder, home = tmp_path_factory.mktemp("reader"), tmp_path_factory.mktemp("home")
    with live_server(home / ".synthseg" / "serving") as server:
        yield Desk(server, folder, home)


def test_the_guide_as_a_whole(desk: Desk) -> None:
    told = [desk.run(language, text) for language, text in EXAMPLES]
    assert len(told) >= 10

    def said(part: str) -> str:
        return next(output for (_, text), output in zip(EXAMPLES, told, strict=True) if part in text)

    assert "alice" in said("synthseg keys list")
    assert {model["kind"] for model in json.loads(said("v1/models -H"))["data"]} == {"image", "text"}
    assert Image.open(desk.folder / "bus.png").size == (256, 256)
    assert Image.open(desk.folder / "horses.png").size == (256, 256)
    seeds = [line.split()[0] for line in said("n=2").splitlines()]
    assert seeds[0] == "3"
    assert len(set(seeds)) == 2
    assert [line.split()[0] for line in said("partial_images=1").splitlines()][-1] == "image_generation.completed"
    assert said('response_format="url"').strip() == "image/png"
    prompts = json.loads(said("/v1/prompts"))["data"]
    assert all(prompt["class_name"] == "horse" for prompt in prompts)
    assert said("chat.completions").strip()
    assert '"status":"cancelled"' in said("/cancel").replace(" ", "")
    assert "job_finished" in said("/cancel")
    assert "the same bytes" in said("Idempotency-Key")


def test_the_error_in_the_guide_is_the_servers(desk: Desk) -> None:
    shown = json.loads(re.search(r"^```json\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)[1])  # type: ignore[index]
    command = f"""curl -sS {ADDRESS}/v1/images/generations -H "Authorization: Bearer $SYNTHSEG_API_KEY" \
      -H 'Content-Type: application/json' -d '{{"prompt": "a cat", "n": 11}}'"""
    assert json.loads(desk.run("bash", command)) == shown


def test_without_a_key_the_door_is_shut(desk: Desk) -> None:
    answer = json.loads(desk.run("bash", f"curl -sS {ADDRESS}/v1/models"))
    assert answer["error"]["code"] == "invalid_api_key"
