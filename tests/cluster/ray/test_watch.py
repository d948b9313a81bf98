"""The watch over Ray, with small processes and a socket in place of Ray's."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

START = """
import subprocess, sys, time
from cluster.ray import watch as ray_watch
watch = ray_watch.Watch("the same command resumes")
held = [subprocess.Popen(["sleep", "20"], stdout=-3, stderr=-3) for _ in range(2)]
watch.own({"gcs_server": held[0], "raylet": held[1]})
"""


def ended(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, encoding="utf-8", timeout=60, check=False)


@pytest.mark.parametrize(("index", "who"), [(0, "the head of Ray (gcs_server)"), (1, "Ray's raylet")])
@pytest.mark.parametrize(
    ("number", "how"), [(signal.SIGKILL, "SIGKILL, as the system does when memory runs out"), (signal.SIGTERM, "SIGTERM")]
)
def test_what_dies_is_named_in_one_line_though_the_main_thread_is_stuck(index: int, who: str, number: int, how: str) -> None:
    done = ended(f"{START}\nheld[{index}].send_signal({int(number)})\ntime.sleep(30)")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {who} has ended (killed by {how}); the same command resumes\n"


def test_an_end_that_is_meant_says_nothing() -> None:
    done = ended(f"{START}\nwatch.stop()\n[process.kill() for process in held]\ntime.sleep(1.5)")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_end_that_comes_at_the_same_moment_says_nothing() -> None:
    """A signal to the process group."""
    done = ended(f"{START}\n[process.terminate() for process in held]\ntime.sleep(0.2)\nwatch.stop()\ntime.sleep(1)")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_signal_to_every_process_is_told_and_not_the_end_of_ray() -> None:
    """Slurm's way: Ray is gone, and the main thread hears the signal only later, or is stuck while it puts things in order."""
    done = ended(f"""{START}
import os, signal
from synthseg.machine import interrupt
with interrupt.remembered():
    [process.terminate() for process in held]
    time.sleep(1)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        time.sleep(30)
""")
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "terminated; the same command resumes\n")


def test_a_head_elsewhere_that_goes_away_is_named() -> None:
    done = ended("""
        import socket, time
        from cluster.ray import watch as ray_watch
        ray_watch._AWAY_S, ray_watch._DIAL_S = 1.0, 0.1
        with socket.create_server(("127.0.0.1", 0)) as head:
            port = head.getsockname()[1]
            ray_watch.Watch("the same command resumes").joined(f"127.0.0.1:{port}")
            time.sleep(2)
            print(port, flush=True)
        time.sleep(30)
    """)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: execution.address: the head of Ray at 127.0.0.1:{done.stdout.strip()} has not answered for 1 s; the same command resumes\n"
    )
