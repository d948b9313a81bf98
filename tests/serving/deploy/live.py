"""A real `synthseg serve` in a process of its own, for tests and benchmarks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import httpx

START_TIMEOUT_S = 180.0


@dataclass(slots=True)
class LiveServer:
    """A server that is ready."""

    process: subprocess.Popen[str]
    url: str

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        """Signal the server and wait for its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def replica_pids(self, deployment: str) -> list[int]:
        """Processes of the living replicas of a deployment such as ImageEngine."""
        title = f"ray::ServeReplica:synthseg:{deployment}"
        return [pid for pid in descendants(self.process.pid) if _command(pid).startswith(title)]

    def haproxy_pids(self) -> list[int]:
        """Living processes of the HAProxy in front."""
        return [pid for pid in descendants(self.process.pid) if _command(pid).split(" ")[0].endswith("/haproxy")]

    def memory_bytes(self) -> int:
        """Resident memory of the server and all its processes, shared pages counted once each."""
        return sum(_proportional_bytes(pid) for pid in (self.process.pid, *descendants(self.process.pid)))

    def gauge(self, name: str) -> float:
        """Sum of a metric over its labels, as /metrics shows it."""
        lines = httpx.get(f"{self.url}/metrics", timeout=30).text.splitlines()
        values = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        if not values:
            raise AssertionError(f"/metrics does not show {name}")
        return sum(values)


@contextmanager
def live_server(state_dir: Path, *settings: str, preset: str = "embedded") -> Iterator[LiveServer]:
    """`synthseg serve PRESET --port 0` with settings `section.key=value`, from ready to its end."""
    sets = [part for setting in (f"serving.state_dir={state_dir}", *settings) for part in ("--set", setting)]
    process = start([preset, "--port", "0", *sets])
    # Only a line ends the wait for one, so a server that hangs while it starts must be ended from outside.
    watchdog = Timer(START_TIMEOUT_S, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline() if process.stdout else ""
        watchdog.cancel()
        if not line.startswith("ready"):
            _, said = process.communicate(timeout=30)
            raise AssertionError(f"the server did not start: {line}{said}")
        yield LiveServer(process, line.split()[1])
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    """`synthseg serve ARGUMENTS`, started."""
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "synthseg", "serve", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=environment)


def descendants(pid: int) -> list[int]:
    """All living processes below `pid`."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue  # it has just ended
        children.setdefault(parent, []).append(int(path.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def listening(pid: int) -> list[str]:
    """Addresses, as /proc/net/tcp has them, at which a process takes connections."""
    return [address.partition(":")[0] for address in listeners(pid)]


def listeners(pid: int) -> list[str]:
    """Addresses and ports, as /proc/net/tcp and tcp6 have them, at which a process takes connections."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(str(descriptor.readlink()))
        except OSError:
            continue  # closed meanwhile
    rows = [
        line.split()
        for family in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{family}").read_text(encoding="utf-8").splitlines()[1:]
    ]
    return [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
