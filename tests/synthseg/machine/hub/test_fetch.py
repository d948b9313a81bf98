"""The fetch command with huggingface_hub's real client against a hub on this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from synthseg.config import load_config
from synthseg.machine.availability import missing_weights
from synthseg.machine.hub.cache import RepoCache
from synthseg.machine.hub.ids import HubId
from synthseg.machine.hub.snapshot import find_snapshot
from tests.hub_server import Hub, Repo, running_hub

REPO = "acme/tiny-lm"
FILES = {
    "config.json": b'{"model_type": "tiny"}',
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights" * 3000,
    "pytorch_model.bin": b"weights" * 3000,
    "onnx/model.onnx": b"weights" * 3000,
    "README.md": b"# Tiny",
}
NEEDED = ["config.json", "model.safetensors", "tokenizer.json"]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as running:
        running.repos[REPO] = Repo(FILES)
        yield running


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> dict[str, str]:
    cleared = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "SYNTHSEG"))}
    return {
        **cleared,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "COLUMNS": "240",
        "NO_COLOR": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_ETAG_TIMEOUT": "5",
    }


def arguments(model: str, *extra: str) -> list[str]:
    sets = ["--set", "prompts.engine=vllm", "--set", f"prompts.model={model}"]
    return [sys.executable, "-m", "synthseg", "fetch", "embedded", *sets, *extra]


@pytest.fixture
def fetch(environment: dict[str, str]) -> Run:
    def run(model: str = REPO, *extra: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments(model, *extra), capture_output=True, encoding="utf-8", check=False, timeout=100, env={**environment, **changes}
        )

    return run


def cache(tmp_path: Path) -> RepoCache:
    return RepoCache(REPO, tmp_path / "home" / "hub")


def test_a_fetch_brings_what_is_needed_checks_it_and_then_works_offline(fetch: Run, hub: Hub, tmp_path: Path) -> None:
    done = fetch(REPO, "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["weights"]
    assert (row["field"], row["state"], row["licence"], row["commit"]) == (
        "prompts.model",
        "from the hub",
        "apache-2.0",
        hub.repos[REPO].commit,
    )
    folder = Path(row["path"])
    assert sorted(path.name for path in folder.iterdir()) == NEEDED
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]

    before = len(hub.requests)
    again = fetch(REPO, "--json", HF_HUB_OFFLINE="1")
    assert json.loads(again.stdout)["weights"][0]["state"] == "was here"
    assert len(hub.requests) == before
    found = cache(tmp_path).find(HubId(REPO))
    assert found == folder

    # The hub's own client finds the files by the repository's name, as every library does through it.
    script = f"from huggingface_hub import hf_hub_download; print(hf_hub_download({REPO!r}, 'model.safetensors'))"
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    offline = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=True, env=environment)
    assert Path(offline.stdout.strip()) == folder / "model.safetensors"


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("gated", 2, "is gated; accept its licence at"),
        ("hidden", 2, "the hub has no model acme/tiny-lm"),
        ("token", 2, "refuses the token"),
        ("forbidden", 2, "the token may not read acme/tiny-lm (403)"),
        ("busy", 1, "asks to wait (429)"),
        ("corrupt", 1, "checksum of 'model.safetensors' of acme/tiny-lm differs from the hub's"),
    ],
)
def test_what_the_hub_answers_badly_is_one_line(fault: str, code: int, says: str, fetch: Run, hub: Hub, tmp_path: Path) -> None:
    hub.repos[REPO].fault = fault
    done = fetch()
    assert done.returncode == code, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: prompts.model: ")
    assert says in last
    assert cache(tmp_path).find(HubId(REPO)) is None
    assert not any(path.is_file() and path.read_bytes()[:7] == b"weights" for path in (tmp_path / "home").rglob("*.safetensors"))

    hub.repos[REPO].fault = ""
    assert fetch().returncode == 0
    assert cache(tmp_path).find(HubId(REPO)) is not None


def test_no_network_is_one_line(fetch: Run) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    done = fetch(HF_ENDPOINT=url)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert f"cannot be had from {url}" in done.stderr
    assert "SYNTHSEG_WEIGHTS" in done.stderr
    offline = fetch(HF_HUB_OFFLINE="1")
    assert offline.returncode == 2
    assert "HF_HUB_OFFLINE is set" in offline.stderr


def test_a_network_that_goes_away_in_between_is_one_line(fetch: Run, hub: Hub) -> None:
    hub.closed = "/resolve/"
    done = fetch()
    assert done.returncode == 1
    assert "cannot be had from" in done.stderr.strip().splitlines()[-1]


def test_an_unknown_revision_a_commit_and_a_tag(fetch: Run, hub: Hub) -> None:
    done = fetch(f"{REPO}@nowhere")
    assert (done.returncode, "has no revision 'nowhere'" in done.stderr) == (2, True)
    commit = hub.repos[REPO].commit
    for revision in (commit, "v1"):
        done = fetch(f"{REPO}@{revision}", "--json")
        assert json.loads(done.stdout)["weights"][0]["commit"] == commit


def test_a_revision_stays_at_the_commit_of_its_first_fetch(fetch: Run, hub: Hub, tmp_path: Path) -> None:
    fetch()
    first = hub.repos[REPO].commit
    (tmp_path / "home/hub/models--acme--tiny-lm/synthseg" / f"{first}.json").unlink()
    hub.repos[REPO].files = {**FILES, "model.safetensors": b"newer" * 3000}
    done = fetch()
    # The old commit is asked for, which this hub does not know any more.
    assert f"/api/models/{REPO}/revision/{first}" in hub.requests[-1]
    assert done.returncode == 2
    updated = fetch(REPO, "--update", "--json")
    assert json.loads(updated.stdout)["weights"][0]["commit"] == hub.repos[REPO].commit


def test_a_download_that_is_cut_off_does_not_count_and_goes_on(fetch: Run, hub: Hub, tmp_path: Path) -> None:
    hub.repos[REPO].cuts = 1
    done = fetch()
    assert done.returncode == 0, done.stderr
    assert (cache(tmp_path).snapshot(hub.repos[REPO].commit) / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_killed_fetch_does_not_count(
    environment: dict[str, str], fetch: Run, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.slow_s = 1.0
    process = subprocess.Popen(arguments(REPO), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(hub.downloads()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    commit = hub.repos[REPO].commit
    assert list(cache(tmp_path).snapshot(commit).iterdir())
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    for revision in ("main", commit):
        assert find_snapshot(HubId(REPO, revision)) is None
    hub.slow_s = 0.0
    assert fetch().returncode == 0


def test_of_two_at_once_the_second_waits_and_finds_everything(environment: dict[str, str], hub: Hub) -> None:
    hub.slow_s = 1.0
    both = [
        subprocess.Popen(arguments(REPO, "--json"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=100) for process in both]
    states = sorted(json.loads(out)["weights"][0]["state"] for out, _ in answers)
    assert states == ["from the hub", "was here"]
    assert sorted(hub.downloads()) == NEEDED
    assert any("waiting for it" in said for _, said in answers)


def test_a_mirror_is_filled_and_used_without_the_hub(fetch: Run, hub: Hub, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    done = fetch(REPO, "--to", str(mirror))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (mirror / REPO / "main").iterdir()) == sorted([*NEEDED, "synthseg-manifest.json"])
    before = len(hub.requests)
    other = {"HF_HOME": str(tmp_path / "other"), "SYNTHSEG_WEIGHTS": str(mirror)}
    done = fetch(REPO, "--json", **other)
    (row,) = json.loads(done.stdout)["weights"]
    assert row["state"] == "from the mirror"
    assert (Path(row["path"]) / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert len(hub.requests) == before

    weights = mirror / REPO / "main" / "model.safetensors"
    weights.write_bytes(b"other" + weights.read_bytes()[5:])
    done = fetch(HF_HOME=str(tmp_path / "third"), SYNTHSEG_WEIGHTS=str(mirror))
    assert done.returncode == 1
    assert "differs from the mirror's manifest" in done.stderr
    assert not list((tmp_path / "third").rglob("model.safetensors"))


def test_a_file_the_repository_does_not_have_is_named_with_those_it_has(fetch: Run, hub: Hub) -> None:
    hub.repos["acme/tiny-gguf"] = Repo({"tiny-q8_0.gguf": b"GGUF" * 100, "tiny-q4_k_m.gguf": b"GGUF" * 50})
    llama = ["--set", "prompts.engine=llama"]
    done = fetch("acme/tiny-gguf/tiny-q5.gguf", *llama)
    assert done.returncode == 2
    assert "has no file 'tiny-q5.gguf'; it has tiny-q4_k_m.gguf, tiny-q8_0.gguf" in done.stderr
    done = fetch("acme/tiny-gguf/tiny-q4_k_m.gguf", *llama)
    assert done.returncode == 0
    assert hub.downloads() == ["tiny-q4_k_m.gguf"]


def test_everything_laptop_needs_comes_by_one_command(
    environment: dict[str, str], hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf, clip = b"GGUF" * 50, {"open_clip_config.json": b"{}", "open_clip_model.safetensors": b"w" * 99, "model.safetensors": b"w"}
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"], "safety_checker": [None, None]}
    unet = {f"unet/diffusion_pytorch_model{part}.safetensors": b"w" * 80 for part in ("", ".fp16")}
    hub.repos |= {
        "Qwen/Qwen2.5-0.5B-Instruct-GGUF": Repo({f"qwen2.5-0.5b-instruct-{kind}.gguf": gguf for kind in ("q4_k_m", "q8_0")}),
        "stabilityai/sd-turbo": Repo({"model_index.json": json.dumps(index).encode(), "unet/config.json": b"{}", **unet}, licence="other"),
        "timm/vit_base_patch32_clip_224.openai": Repo(clip),
        "timm/vit_base_patch16_clip_224.openai": Repo(clip),
        "timm/vit_small_patch16_224.augreg_in21k": Repo({"config.json": b"{}", "model.safetensors": b"w" * 70}),
    }
    command = [sys.executable, "-m", "synthseg"]
    run = subprocess.run([*command, "fetch", "laptop"], capture_output=True, encoding="utf-8", check=False, timeout=100, env=environment)
    assert run.returncode == 0, run.stderr
    assert hub.downloads().count("model.safetensors") == 1
    assert "qwen2.5-0.5b-instruct-q8_0.gguf" not in hub.downloads()
    (unet_file,) = (name for name in hub.downloads() if "diffusion_pytorch_model" in name)
    assert "fp16" in unet_file

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    assert missing_weights(load_config("laptop")) == []
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    listed = subprocess.run(
        [*command, "fetch", "laptop", "--list", "--json"], capture_output=True, encoding="utf-8", check=True, env=offline
    )
    assert {row["state"] for row in json.loads(listed.stdout)["weights"]} == {"here"}
