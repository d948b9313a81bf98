"""Where a server and a batch run take connections, as the kernel has it: on loopback and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from serving.state.keys import KeyStore
from tests.e2e.small import arguments, command
from tests.serving.deploy.live import descendants, listeners, live_server
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(400)]

LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
"""127.0.0.1, the same as an IPv6 socket has it, and ::1, as /proc/net/tcp and tcp6 write them."""


def seen_outside(pid: int) -> dict[str, str]:
    """Command line by address and port of each listener of a process and all below it that is not on loopback."""
    found = {}
    for process in (pid, *descendants(pid)):
        try:
            said = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            found |= {place: said for place in listeners(process) if place.partition(":")[0] not in LOOPBACK}
        except OSError:
            continue  # it has just ended
    return found


def all_listeners(pid: int) -> int:
    total = 0
    for process in (pid, *descendants(pid)):
        try:
            total += len(listeners(process))
        except OSError:
            continue
    return total


@pytest.mark.parametrize("jobs", ["true", "false"])
def test_a_server_is_reached_on_loopback_only(tmp_path: Path, jobs: str) -> None:
    with live_server(tmp_path, "prompts.engine=template", f"serving.jobs={jobs}") as server:
        assert all_listeners(server.process.pid) > 10
        assert seen_outside(server.process.pid) == {}


def test_behind_an_open_address_nothing_but_the_front_is_open(tmp_path: Path) -> None:
    KeyStore(tmp_path / "keys.json").add("alice")
    with live_server(tmp_path, "prompts.engine=template", "serving.jobs=false", "serving.host=0.0.0.0") as server:
        port = int(server.url.rpartition(":")[2])
        assert set(seen_outside(server.process.pid)) == {f"00000000:{port:04X}"}


def test_a_run_is_reached_on_loopback_only(tmp_path: Path) -> None:
    """Up to its images: PyTorch's TCPStore, which listens while a network trains, cannot be told where (docs/serving.md)."""
    small = command(*arguments(tmp_path / "out", "--until", "images"))
    with subprocess.Popen(small, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8") as run:
        most, outside = 0, {}

        def ended() -> bool:
            nonlocal most
            most = max(most, all_listeners(run.pid))
            outside.update(seen_outside(run.pid))
            return run.poll() is not None

        until(ended, 300)
        assert run.stderr is not None
        assert run.returncode == 0, run.stderr.read()
    assert most > 10
    assert outside == {}
