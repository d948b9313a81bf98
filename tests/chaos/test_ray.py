"""Promises 2 and 3 when Ray itself dies or is slow under a run: one line, exit code 1, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.small import arguments, command, events, images, synthseg
from tests.serving.deploy.live import descendants
from tests.waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

SETTINGS = ("prompts.prompts_per_class=40", "execution.shard_size=8")


def named(pid: int, program: str) -> list[int]:
    """Living processes below `pid` whose program is `program`."""
    found = []
    for below in descendants(pid):
        try:
            if Path(f"/proc/{below}/cmdline").read_bytes().split(b"\0")[0].endswith(f"/{program}".encode()):
                found.append(below)
        except OSError:
            continue  # it has just ended
    return found


def painted(out: Path) -> bool:
    try:
        return bool(events(out, "shard_published", "images"))
    except Exception:  # noqa: BLE001 - run.json may not be there yet
        return False


@pytest.mark.parametrize(
    ("program", "who"),
    [("gcs_server", "the head of Ray (gcs_server)"), pytest.param("raylet", "Ray's raylet", marks=pytest.mark.slow)],
)
def test_kill_9_of_ray_is_one_line_and_the_same_command_resumes(tmp_path: Path, program: str, who: str) -> None:
    told = command(*arguments(tmp_path, "--until", "images", settings=SETTINGS))
    with subprocess.Popen(told, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8") as run:
        until(lambda: painted(tmp_path) or run.poll() is not None, 240)
        below = descendants(run.pid)
        (victim,) = named(run.pid, program)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        _, said = run.communicate(timeout=60)
    assert time.monotonic() - killed < 20
    *progress, last = said.splitlines()
    assert last == f"error: {who} has ended (killed by SIGKILL, as the system does when memory runs out); the same command resumes"
    assert not any(word in line for line in progress for word in ("Traceback", "Error", "***", "gcs", "raylet"))
    assert run.returncode == 1
    # Nobody stays behind.
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), 60)
    before = {path.name for path in (tmp_path / "images").glob("*.json")}
    again = synthseg(*arguments(tmp_path, "--until", "images", settings=SETTINGS))
    assert again.returncode == 0, again.stderr
    assert before <= {path.name for path in (tmp_path / "images").glob("*.json")}
    assert images(tmp_path)


def with_raylet(tmp_path: Path, script: str, *more: str) -> subprocess.CompletedProcess[str]:
    """A small run whose raylet is started by `script`."""
    slow = tmp_path / "raylet"
    slow.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    slow.chmod(0o755)
    program = (
        "import sys\nfrom ray._private import services\n"
        f"real, services.RAYLET_EXECUTABLE = services.RAYLET_EXECUTABLE, {str(slow)!r}\n"
        "import os\nos.environ['REAL_RAYLET'] = real\n"
        "from synthseg.cli import main\nsys.argv = ['synthseg', *sys.argv[1:]]\nmain()\n"
    )
    run = [sys.executable, "-c", program, *arguments(tmp_path / "out", "--until", "prompts", *more)]
    return subprocess.run(run, capture_output=True, encoding="utf-8", timeout=300, check=False)


@pytest.mark.slow
def test_a_ray_that_needs_longer_than_its_own_half_minute_is_waited_for(tmp_path: Path) -> None:
    done = with_raylet(tmp_path, 'sleep 40; exec "$REAL_RAYLET" "$@"')
    assert done.returncode == 0, done.stderr


def test_a_ray_that_does_not_come_up_is_one_line_that_says_so(tmp_path: Path) -> None:
    started = time.monotonic()
    done = with_raylet(tmp_path, "exec sleep 300", "--set", "execution.stall_timeout_s=10")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: execution.stall_timeout_s: Ray on this machine was not up after 10 s; the machine is busy")
    assert done.stderr.count("\n") == 1
    assert time.monotonic() - started < 60


def test_a_raylet_that_ends_at_once_is_not_waited_for(tmp_path: Path) -> None:
    started = time.monotonic()
    done = with_raylet(tmp_path, "exit 3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: execution.address: Ray's raylet has ended while it started (exit code 3)\n"
    assert time.monotonic() - started < 60
