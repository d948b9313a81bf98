"""Run in HAProxy's place by Ray Serve: hands the configuration to the server's front and stands in for its HAProxy towards Serve.

Serve's proxy actor wants a process of its own to live and to answer at the admin socket with its number (ray/serve/_private/haproxy.py).
The real HAProxy is the front's, so it outlives the actor. Only the standard library: this starts at each change of the gateways.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

CONTROL = "SYNTHSEG_FRONT_SOCKET"
"""Environment variable: where the front takes configurations."""
_AWAY_S = 3.0
"""How long a question waits for a HAProxy that is just being started again."""


def main(arguments: list[str]) -> int:
    """Stand in until SIGTERM or SIGUSR1, with HAProxy's command line `arguments`; the exit code."""
    told = _hand_over(Path(arguments[arguments.index("-f") + 1]))
    if "error" in told:
        print(told["error"], file=sys.stderr)  # noqa: T201 - Serve shows it
        return 1
    asyncio.run(_stand_in(Path(told["asked_at"]), told["admin"], _predecessors(arguments)))
    return 0


def _hand_over(configuration: Path) -> dict[str, str]:
    with socket.socket(socket.AF_UNIX) as front:
        front.connect(os.environ[CONTROL])
        front.sendall(json.dumps({"file": str(configuration)}).encode() + b"\n")
        with front.makefile("rb") as reply:
            told: dict[str, str] = json.loads(reply.readline())
    return told


def _predecessors(arguments: list[str]) -> list[int]:
    """The processes after HAProxy's `-sf`, which finish when this one has taken over."""
    after = arguments[arguments.index("-sf") + 1 :] if "-sf" in arguments else []
    stop = next((place for place, word in enumerate(after) if not word.isdigit()), len(after))
    return [int(word) for word in after[:stop]]


async def _stand_in(asked_at: Path, admin: str, predecessors: list[int]) -> None:
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            command = await reader.readline()
            writer.write(re.sub(rb"(?m)^Pid: \d+$", b"Pid: %d" % os.getpid(), await _asked(admin, command)))
            await writer.drain()
        writer.close()

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    own = asked_at.with_suffix(f".{os.getpid()}")
    server = await asyncio.start_unix_server(relay, own)
    own.chmod(0o600)
    own.replace(asked_at)
    for pid in predecessors:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR1)
    await stopped.wait()
    server.close()


async def _asked(admin: str, command: bytes) -> bytes:
    """HAProxy's answer to a command. OSError when none is there for `_AWAY_S`."""
    deadline = asyncio.get_running_loop().time() + _AWAY_S
    while True:
        try:
            reader, writer = await asyncio.open_unix_connection(admin)
            break
        except OSError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.05)
    writer.write(command)
    answer = await reader.read()
    writer.close()
    return answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
