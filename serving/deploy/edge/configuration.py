"""Ray Serve's HAProxy configuration, made into that of the server's front.

Serve's has no time limit for a request's head, 4,096 connections for everybody, statistics on every interface, an admin socket for all
users, 500 for its own errors and a plain 404 while it knows no application. Its backends are kept as they are; only they change while a
server runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from serving.deploy.edge.bounds import Bounds
from serving.deploy.edge.replies import RETRY_AFTER_S, error_body

_FRONT = "frontend http_frontend"
_NOBODY = "backend default_backend"
_DROPPED = ("frontend prometheus", "listen stats")
"""Statistics over HTTP, which nobody reads here."""
_RATE_WINDOW_S = 10
_SOURCES = 100_000
"""Addresses remembered for the bounds of each; 100 bytes each. The one seen longest ago makes room."""


@dataclass(slots=True)
class Section:
    """A section's heading, such as `frontend http_frontend`, and its lines without comments and indentation."""

    heading: str
    lines: list[str]

    def set(self, keyword: str, value: str) -> None:
        """Have `keyword value`, once, in place of all lines of that keyword (which may have several words)."""
        self.drop(keyword)
        self.lines.append(f"{keyword} {value}")

    def drop(self, keyword: str) -> None:
        """Drop all lines of `keyword`."""
        words = keyword.split()
        self.lines = [line for line in self.lines if line.split()[: len(words)] != words]

    def __str__(self) -> str:
        return "\n    ".join([self.heading, *self.lines]) + "\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the front's HAProxy listens, and what it answers by itself."""

    listener: int
    """File descriptor of the socket that clients come to, which HAProxy inherits."""
    admin: Path
    """Its own admin socket."""
    errors: Mapping[int, Path]
    """A file with the whole reply for each of its own errors, by code."""


def parse(text: str) -> list[Section]:
    """The sections of a configuration. A line that is not indented begins one. ValueError for a line before the first."""
    sections: list[Section] = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if not line[0].isspace():
            sections.append(Section(stripped, []))
        elif not sections:
            raise ValueError(f"HAProxy's configuration begins with '{stripped}'")
        else:
            sections[-1].lines.append(stripped)
    return sections


def admin_socket(text: str) -> Path:
    """The admin socket that Serve asks its HAProxy at. ValueError when there is none."""
    for section in parse(text):
        for line in section.lines:
            if section.heading == "global" and (found := re.match(r"stats socket (\S+)", line)):
                return Path(found[1])
    raise ValueError("HAProxy's configuration has no 'stats socket'")


def knows_gateways(text: str) -> bool:
    """Whether any gateway can be reached by it. The successor of a dead proxy actor or controller begins with one that has none."""
    return any(
        line.startswith("server ") and line.split()[-1] != "backup"
        for section in parse(text)
        if section.heading.startswith("backend ") and section.heading != _NOBODY
        for line in section.lines
    )


def front_configuration(text: str, place: Place, bounds: Bounds) -> str:
    """Serve's configuration `text` for a HAProxy at `place`, held to `bounds`. ValueError where a section that it must have is missing."""
    sections = [section for section in parse(text) if section.heading not in _DROPPED]
    _set_global(_one(sections, "global"), place, bounds)
    _set_defaults(_one(sections, "defaults"), place, bounds)
    _set_frontend(_one(sections, _FRONT), place, bounds)
    _one(sections, _NOBODY).lines = [_unavailable()]
    return "".join(map(str, sections))


def _one(sections: Iterable[Section], heading: str) -> Section:
    found = [section for section in sections if section.heading == heading]
    if len(found) != 1:
        raise ValueError(f"HAProxy's configuration has {len(found)} sections '{heading}'")
    return found[0]


def _set_global(section: Section, place: Place, bounds: Bounds) -> None:
    section.set("stats socket", f"{place.admin} mode 600 level admin")
    section.set("maxconn", str(bounds.connections))
    # One that has been replaced goes on with the streams that it has; Serve's two minutes would cut those of a job's events.
    section.set("hard-stop-after", "1h")


def _set_defaults(section: Section, place: Place, bounds: Bounds) -> None:
    section.set("timeout http-request", _milliseconds(bounds.request_s))
    for name in ("client", "server", "queue"):
        section.set(f"timeout {name}", _milliseconds(bounds.silence_s))
    if not any(line.startswith("timeout connect") for line in section.lines):
        section.set("timeout connect", "5s")
    section.set("maxconn", str(bounds.connections))
    section.drop("errorfile")
    section.lines += [f"errorfile {code} {path}" for code, path in place.errors.items()]


def _set_frontend(section: Section, place: Place, bounds: Bounds) -> None:
    section.drop("bind")
    first = [f"bind fd@{place.listener}"]
    if bounds.source_connections or bounds.source_rate:
        # All clients of a reverse proxy on this machine come from loopback, and it has bounds of its own.
        first += [
            f"stick-table type ipv6 size {_SOURCES} expire 1m store conn_cur,conn_rate({_RATE_WINDOW_S}s)",
            "tcp-request connection track-sc0 src unless { src 127.0.0.1 ::1 }",
        ]
    if bounds.source_connections:
        first.append(f"tcp-request connection reject if {{ sc0_conn_cur gt {bounds.source_connections} }}")
    if bounds.source_rate:
        first.append(f"tcp-request connection reject if {{ sc0_conn_rate gt {bounds.source_rate} }}")
    # A body that fits into HAProxy's buffer waits here for its end, not in a gateway.
    section.lines = [*first, "option http-buffer-request", *section.lines]


def _unavailable() -> str:
    body = error_body(503).replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'")
    return f'http-request return status 503 content-type application/json string "{body}" hdr Retry-After {RETRY_AFTER_S}'


def _milliseconds(seconds: float) -> str:
    return f"{max(round(seconds * 1000), 1)}ms"
