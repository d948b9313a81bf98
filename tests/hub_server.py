"""A hub on this machine: as much of its HTTP API as huggingface_hub's own client uses to list and download a model.

Repositories are dicts of file contents. Faults are asked for by repository: gated, forbidden, hidden (404), token (401), busy (429) and
corrupt (other bytes than announced); `cuts` is how often a download ends in the middle.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".gguf", ".bin", ".onnx", ".msgpack")


@dataclass
class Repo:
    files: Mapping[str, bytes]
    fault: str = ""
    cuts: int = 0
    licence: str = "apache-2.0"
    branches: set[str] = field(default_factory=lambda: {"main", "v1"})

    @property
    def commit(self) -> str:
        parts = [f"{name}:{hashlib.sha1(content).hexdigest()}" for name, content in sorted(self.files.items())]
        return hashlib.sha1("".join(parts).encode()).hexdigest()


@dataclass
class Hub:
    repos: dict[str, Repo] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    url: str = ""
    slow_s: float = 0.0
    closed: str = ""
    """Paths with this in them get no answer: the connection is closed."""

    def downloads(self) -> list[str]:
        return [line.rpartition("/")[2] for line in self.requests if line.startswith("GET") and "/resolve/" in line]


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.closed and self.hub.closed in path:
            self.close_connection = True
            return self.connection.close()
        parts = path.strip("/").split("/")
        listing = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if listing else parts[:2])
        repo = self.hub.repos.get(name)
        if repo is None or repo.fault == "hidden":
            return self._error(404, "RepoNotFound")
        if repo.fault == "gated" and not listing:
            # What a gated repository holds may be seen by everybody; its files may not be had.
            return self._error(401, "GatedRepo")
        if repo.fault == "forbidden" and not listing:
            return self._error(403, "")
        if repo.fault == "busy":
            return self._error(429, "")
        if repo.fault == "token":
            return self._error(401, "", "Invalid credentials in Authorization header")
        if listing:
            return self._list(name, repo, parts[5] if len(parts) > 5 else "main")
        return self._file(repo, "/".join(parts[4:]), body)

    def _list(self, name: str, repo: Repo, revision: str) -> None:
        if revision not in repo.branches and revision != repo.commit:
            return self._error(404, "RevisionNotFound")
        siblings = []
        for path, content in repo.files.items():
            entry: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": _git(content)}
            if path.endswith(LARGE):
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        info = {"id": name, "sha": repo.commit, "siblings": siblings, "cardData": {"license": repo.licence}, "private": False}
        return self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def _file(self, repo: Repo, path: str, body: bool) -> None:
        if path not in repo.files:
            return self._error(404, "EntryNotFound")
        content = repo.files[path]
        etag = hashlib.sha256(content).hexdigest() if path.endswith(LARGE) else _git(content)
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{etag}"', "X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{etag}"'}
        if not body:
            return self._send(200, content, headers, body=False)
        if repo.fault == "corrupt" and path.endswith(LARGE):
            content = content[:-1] + bytes([content[-1] ^ 1])
        if self.hub.slow_s:
            threading.Event().wait(self.hub.slow_s)
        if repo.cuts and path.endswith(LARGE):
            repo.cuts -= 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return None
        return self._send(200, content, headers)

    def _error(self, status: int, code: str, message: str = "") -> None:
        headers = {"X-Error-Code": code} if code else {}
        headers |= {"X-Error-Message": message} if message else {}
        return self._send(status, b'{"error":"no"}', {"Content-Type": "application/json", **headers})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str], *, body: bool = True) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(content)


def _git(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
