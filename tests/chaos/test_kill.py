"""Promises 1, 2 and 3: killed at any moment, the same command ends with the same samples, each exactly once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from synthseg.store.run_folder import RunFolder
from tests.e2e.small import arguments, command, events, images, synthseg

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

WORKERS = 2
SETTINGS = ("prompts.prompts_per_class=40", "execution.shard_size=8")


def started(out: Path) -> int:
    try:
        return len(events(out, "shard_started", "images"))
    except Exception:  # noqa: BLE001 - run.json may not be there yet
        return 0


def unfinished(out: Path) -> int:
    """Shards that the last start of the run began and did not publish."""
    history = list(RunFolder.open(str(out)).events())
    last_start = max(i for i, event in enumerate(history) if event["event"] in {"run_created", "run_resumed"})
    begun = {event["shard"] for event in history[last_start:] if event["event"] == "shard_started" and event["stage"] == "images"}
    published = {path.stem for path in (out / "images").glob("*.json")}
    return len(begun - published)


def wait_for_shards(process: subprocess.Popen[bytes], out: Path, count: int) -> None:
    deadline = time.monotonic() + 240
    while started(out) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)


def test_three_kills_lose_at_most_one_shard_a_worker_each(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.SystemRandom().randrange(10**6)))
    print(f"CHAOS_SEED={seed}")  # noqa: T201 - to repeat a failure
    rng = random.Random(seed)
    whole, out = tmp_path / "whole", tmp_path / "killed"
    until = ("--until", "relabel", "--workers", str(WORKERS))
    lost = []
    for _ in range(3):
        process = subprocess.Popen(
            command(*arguments(out, *until, settings=SETTINGS)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for_shards(process, out, started(out) + rng.randint(1, 8))
        time.sleep(rng.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(3)  # the orphaned workers notice that their driver is gone
        lost.append(unfinished(out))
    assert max(lost) <= WORKERS, lost
    done = synthseg(*arguments(out, *until, settings=SETTINGS))
    assert done.returncode == 0, done.stderr
    verified = synthseg("verify", str(out))
    assert verified.returncode == 0, verified.stdout
    assert len(events(out, "shard_started", "images")) <= len(list((out / "images").glob("*.json"))) + sum(lost)
    assert synthseg(*arguments(whole, "--until", "images", settings=SETTINGS)).returncode == 0
    assert images(out) == images(whole)


def test_ctrl_c_exits_130_and_the_same_command_resumes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    until = ("--until", "images")
    process = subprocess.Popen(
        command(*arguments(out, *until, settings=SETTINGS)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_shards(process, out, 2)  # type: ignore[arg-type]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command resumes" in said
    assert synthseg(*arguments(out, *until, settings=SETTINGS)).returncode == 0
