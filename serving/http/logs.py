"""One JSON object a line: what was asked, by whom, what came of it. Never a key, a body or, unless configured, a prompt."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from synthseg.config.serving import ServingConfig
from synthseg.errors import UsageProblem
from synthseg.redaction import redacted

LOGGER: Final = logging.getLogger("synthseg.serving")
_FILE_BYTES: Final = 10 << 20
_OLD_FILES: Final = 3
_ENDED_GATEWAYS: Final = 8
"""Gateways that have ended whose logs are kept."""


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, event, and the fields given as `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": redacted(record.getMessage()),
            **fields,
        }
        if record.exc_info:
            line["traceback"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


def configure(serving: ServingConfig) -> Path | None:
    """Send this process's lines where serving.logs says; a gateway has a file of its own (returned), rotated by size."""
    handler: logging.Handler
    path = None
    if serving.logs == "files":
        folder = Path(serving.state_dir).expanduser() / "logs"
        path = folder / f"gateway-{os.getpid()}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _remove_old(folder, _ENDED_GATEWAYS + max(serving.gateway.num_replicas, serving.gateway.max_replicas))
            handler = RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_OLD_FILES, encoding="utf-8", delay=True)
        except OSError as error:
            raise UsageProblem(f"serving.state_dir: {folder} cannot hold log files: {error}") from error
    else:
        handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for old in LOGGER.handlers[:]:
        LOGGER.removeHandler(old)
        old.close()
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    return path


def _remove_old(folder: Path, num_kept: int) -> None:
    """Keep the newest logs only: each process that was a gateway has left one, in up to four files."""
    written: dict[str, float] = {}
    for path in folder.glob("gateway-*.jsonl*"):
        with contextlib.suppress(FileNotFoundError):  # another gateway is doing the same
            name = path.name.partition(".")[0]
            written[name] = max(written.get(name, 0.0), path.stat().st_mtime)
    for name in sorted(written, key=written.__getitem__, reverse=True)[num_kept:]:
        for path in folder.glob(f"{name}.jsonl*"):
            path.unlink(missing_ok=True)


def event(name: str, **fields: Any) -> None:
    """Write one line."""
    LOGGER.info(name, extra={"fields": fields})
