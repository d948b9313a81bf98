"""A gateway of a few lines behind a real front, and a client's view of both."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from serving.deploy.edge.bounds import Bounds
from serving.deploy.edge.front import Front
from tests.serving.deploy.edge.serve_configuration import serve_configuration
from tests.serving.deploy.live import descendants

BOUNDS = Bounds(connections=5000, source_connections=0, source_rate=0, request_s=10.0, silence_s=30.0)


class Gateway(BaseHTTPRequestHandler):
    """Answers everything; `/slow` after a second, `/-/healthz` as Serve's replicas do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(1.0)
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Says nothing about clients that leave."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Pass over it."""


@contextmanager
def gateway() -> Iterator[int]:
    """One that is up; its port."""
    server = Server(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@contextmanager
def front(folder: Path, bounds: Bounds = BOUNDS) -> Iterator[Front]:
    """A front that waits for its first configuration."""
    listener = socket.create_server(("127.0.0.1", 0))
    made = Front(listener, folder, bounds)
    made.start()
    try:
        yield made
    finally:
        made.stop(1.0)


def told(made: Front, text: str, folder: Path) -> dict[str, str]:
    """Hand the front a configuration as Serve's proxy actor does; its reply."""
    path = folder / "serve.cfg"
    path.write_text(text, encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(made.control))
        control.sendall(json.dumps({"file": str(path)}).encode() + b"\n")
        reply: dict[str, str] = json.loads(control.makefile().readline())
    return reply


@contextmanager
def serving(folder: Path, bounds: Bounds = BOUNDS) -> Iterator[Front]:
    """A front with one gateway behind it."""
    with gateway() as port, front(folder, bounds) as made:
        assert "error" not in told(made, serve_configuration(folder, port), folder)
        yield made


def get(port: int, path: str = "/", source: str = "127.0.0.1", timeout_s: float = 10.0) -> http.client.HTTPResponse:
    """A request on a connection of its own, read to its end (`body`)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s, source_address=(source, 0))
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.body = response.read()  # type: ignore[attr-defined]
        return response
    finally:
        connection.close()


def half_open(port: int, number: int, keep: ExitStack, source: str = "127.0.0.1") -> list[socket.socket]:
    """Connections from the address `source` that have begun a request and do not end it; `keep` closes them."""
    made = []
    for _ in range(number):
        made.append(keep.enter_context(socket.create_connection(("127.0.0.1", port), source_address=(source, 0))))
        with suppress(ConnectionError):  # over a bound
            made[-1].sendall(b"POST / HTTP/1.1\r\nHost: x\r\n")
    return made


def haproxies(folder: Path) -> list[int]:
    """Living HAProxys of the front whose files are in `folder`, the one that takes requests last."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"/haproxy") and any(str(folder).encode() in word for word in words):
            found.append(pid)
    return sorted(found)
