"""What HAProxy itself answers when no gateway does, in the shape of every other error (docs/serving.md).

A request whose head does not end, or cannot be read, gets HAProxy's own page with 408 or 400: its HTTP/1 parser knows no files for that.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path

RETRY_AFTER_S = 1
_AWAY = (503, "server_error", "unavailable", "no part of the server can answer just now; try again")
_REPLIES = {
    400: (400, "invalid_request_error", "invalid_request", "this is no HTTP request that can be read"),
    408: (408, "invalid_request_error", "request_timeout", "the request did not arrive in time (serving.request_timeout_s)"),
    # A gateway that dies has not answered: a client that tries again reaches another.
    500: _AWAY,
    502: _AWAY,
    503: _AWAY,
    504: (504, "server_error", "deadline_exceeded", "no answer came in time (serving.deadline_s)"),
}


def error_body(code: int) -> str:
    """JSON of HAProxy's own error `code`."""
    _, kind, name, message = _REPLIES[code]
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": name}})


def write_error_files(folder: Path) -> dict[int, Path]:
    """A whole HTTP reply for each of HAProxy's own errors, by code (its `errorfile`)."""
    files = {}
    for code, (status, *_) in _REPLIES.items():
        body = error_body(code)
        head = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "Connection: close",
            *([f"Retry-After: {RETRY_AFTER_S}"] if status == 503 else []),
        ]
        files[code] = folder / f"{code}.http"
        files[code].write_text("\r\n".join([*head, "", body]), newline="", encoding="utf-8")
    return files
