"""A small server that speaks OpenAI's completions over a real socket, with faults on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Fault:
    """What is answered in place of a completion. `cut_after` breaks the connection after that many chunks of a stream."""

    status: int = 500
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int = -1
    silent_s: float = 0.0


@dataclass(frozen=True)
class Shape:
    """How a server says a text: the content of a message or delta, what stands beside it, and the extra chunks of a stream."""

    content: Callable[[str], Any] = lambda text: text
    beside: Mapping[str, Any] = field(default_factory=dict)
    finish: str = "stop"
    first_chunks: tuple[Any, ...] = ()
    last_chunks: tuple[Any, ...] = ({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}},)
    comment: str = "comment"


@dataclass
class Endpoint:
    """Each request takes the next of `faults`, if there is one, else what `refuse(body)` gives; else it is answered with `say(body)`,
    in the shape that a server gives its answers.
    """

    url: str
    say: Callable[[dict[str, Any]], str]
    faults: list[Fault] = field(default_factory=list)
    refuse: Callable[[dict[str, Any]], Fault | None] = lambda _: None
    shape: Shape = field(default_factory=Shape)
    hold_s: float = 0.0
    seen: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    num_open: int = 0
    most_open: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, body, _ in self.seen]


@contextmanager
def endpoint(say: Callable[[dict[str, Any]], str]) -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with served.lock:
                served.seen.append((self.path, body, {name.lower(): value for name, value in self.headers.items()}))
                fault = served.faults.pop(0) if served.faults else served.refuse(body)
                served.num_open += 1
                served.most_open = max(served.most_open, served.num_open)
            try:
                time.sleep(served.hold_s)
                if fault is not None and fault.cut_after < 0:
                    time.sleep(fault.silent_s)
                    self._send(fault.status, fault.body, fault.headers)
                elif body.get("stream"):
                    self._stream(body, fault.cut_after if fault else 1 << 30)
                else:
                    self._send(200, self._answer(body), {})
            except OSError:
                self.close_connection = True  # the client has left
            finally:
                with served.lock:
                    served.num_open -= 1

        def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
            text, shape = served.say(body), served.shape
            message = {"role": "assistant", "content": shape.content(text), **shape.beside}
            choice = {"index": 0, **({"message": message} if "messages" in body else {"text": text}), "finish_reason": shape.finish}
            return {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}

        def _send(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _stream(self, body: dict[str, Any], cut_after: int) -> None:
            text, chat, shape = served.say(body), "messages" in body, served.shape
            pieces = [text[start : start + 4] for start in range(0, len(text), 4)]
            said: list[dict[str, Any]] = [{"delta": {"role": "assistant", "content": "", **shape.beside}}] if chat else []
            said += [{"delta": {"content": shape.content(piece)}} if chat else {"text": piece} for piece in pieces]
            chunks = [*shape.first_chunks, *({"choices": [{"index": 0, **choice, "finish_reason": None}]} for choice in said)]
            chunks.append({"choices": [{"index": 0, **({"delta": {}} if chat else {"text": ""}), "finish_reason": shape.finish}]})
            chunks += shape.last_chunks
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for number, line in enumerate([*(json.dumps(chunk, ensure_ascii=False) for chunk in chunks), "[DONE]"]):
                if number == cut_after:
                    self.close_connection = True
                    return
                data = f": {served.shape.comment}\n\ndata: {line}\n\n".encode()
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 64
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    served = Endpoint(f"http://127.0.0.1:{server.server_port}/v1", say)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
