"""Promises 1, 2 and 3: killed at any moment, the same command ends with the same samples, each exactly once."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from synthseg.machine import interrupt
from synthseg.store.run_folder import RunFolder
from tests.e2e.small import arguments, command, events, images, synthseg
from tests.waiting import until

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


def processes_with(mark: str) -> list[str]:
    """Command lines of the processes whose environment holds `mark`."""
    found = []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdigit() and mark.encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def begun(out: Path, stage: str) -> bool:
    return (out / "run.json").exists() and bool(events(out, "stage_started", stage))


@pytest.mark.usefixtures("hangup_heard")
@pytest.mark.parametrize(
    ("number", "everybody", "moment"),
    [
        pytest.param(signal.SIGINT, False, "images", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, False, "start", marks=pytest.mark.slow),
        (signal.SIGTERM, True, "ray"),
        (signal.SIGTERM, True, "prompts"),
        pytest.param(signal.SIGTERM, False, "images", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, True, "images", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, True, "segmenter", marks=pytest.mark.slow),
    ],
)
def test_a_signal_is_one_line_and_the_same_command_resumes(number: signal.Signals, everybody: bool, moment: str, tmp_path: Path) -> None:
    """To the process alone, as Kubernetes and docker send it, or to its group, as a shell and a batch system do; at any moment."""
    out, mark = tmp_path / "out", f"SIGNAL_TEST={uuid.uuid4().hex}"
    stop = ("--until", "segmenter" if moment == "segmenter" else "images")
    settings = (*SETTINGS, "segmenter.iterations=400")
    name, _, value = mark.partition("=")
    process = subprocess.Popen(
        command(*arguments(out, *stop, settings=settings)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, name: value},
        start_new_session=True,
    )
    try:
        comes = {
            "start": out.exists,
            "ray": lambda: any("raylet" in line for line in processes_with(mark)),
            "images": lambda: started(out) >= 2,
        }.get(moment, lambda: begun(out, moment))
        until(lambda: comes() or process.poll() is not None, seconds=300)
        (os.killpg if everybody else os.kill)(process.pid, number)
        _, said = process.communicate(timeout=90)
    finally:
        if process.poll() is None:  # the test has failed; Ray's own processes end with it
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 128 + number
    lines = [line for line in said.splitlines() if not re.match(r"\w+: (started|done|\d+)", line)]
    assert lines == [f"{interrupt.WORDS[number]}; the same command resumes"]
    until(lambda: not processes_with(mark), seconds=30)
    assert synthseg(*arguments(out, "--until", "images", settings=settings)).returncode == 0
