"""The first contact with a remote OUT, in a process that can be given up.

The libraries behind s3://, gs:// and the like wait for a network or for credentials as long as suits a run that has them: pyarrow's S3
tries a host that does not resolve for 10 s, its GCS asks the metadata server and tries again for 15 minutes. The process that called
cannot stop them. So another process asks first.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import IO, cast
from urllib.parse import parse_qs, urlsplit

from synthseg.errors import UsageProblem
from synthseg.redaction import redacted

PATIENCE_S = 7.0
"""For one look-up, once the libraries are loaded."""
_LOAD_S = 60.0
"""For loading them, on a machine that is busy."""
_SHOWN_CHARACTERS = 300
_CHECK = "check network, credentials and the bucket's name"


@cache
def reach(root: str, field: str) -> None:
    """UsageProblem, naming `field`, when the store of the URI `root` does not answer soon or refuses; a local folder is not looked at."""
    if "://" not in root or root.startswith("file:"):
        return
    command = [sys.executable, "-P", "-m", __name__, root, field]
    # It finds what this process finds, and nothing in the folder where the user happens to be.
    places = [*(path or str(Path.cwd()) for path in sys.path), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    asking = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    try:
        pipe = cast("IO[bytes]", asking.stdout).fileno()
        answer = _line(pipe, PATIENCE_S) if _line(pipe, _LOAD_S) else ""
    finally:
        asking.kill()
        asking.communicate()
    if answer is None:
        raise UsageProblem(f"{field}: '{root}' did not answer in {PATIENCE_S:.0f} s; {_CHECK}")
    problem = json.loads(answer) if answer else "its libraries cannot be loaded, or end the process"
    if problem:
        raise UsageProblem(f"{field}: '{root}' cannot be reached ({problem[:_SHOWN_CHARACTERS]}); {_CHECK}")


def _line(pipe: int, timeout_s: float) -> str | None:
    """The next line, empty at the end, None when it does not come in time. Reads no byte beyond it, for whoever waits for the next one."""
    give_up = time.monotonic() + timeout_s
    found = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not found.endswith(b"\n"):
            if not selector.select(max(0.0, give_up - time.monotonic())):
                return None
            byte = os.read(pipe, 1)
            if not byte:
                return ""
            found += byte
    return found.decode()


def _main(root: str, field: str) -> None:
    from synthseg.store.files import Files

    problem = ""
    if root.startswith("s3://"):
        doubt = threading.Timer(PATIENCE_S - 1, lambda: _answer(_no_connection(root)))
        doubt.daemon = True
        doubt.start()
    if root.startswith(("gs://", "gcs://")) and "retry_limit_seconds" not in root:
        root += f"{'&' if '?' in root else '?'}retry_limit_seconds={PATIENCE_S / 2:.0f}"
    sys.stdout.write("loaded\n")
    sys.stdout.flush()
    try:
        Files(root, field).exists("run.json")
    except UsageProblem as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 - whatever a store's library raises, the caller tells it
        problem = f"{type(error).__name__}: {error}"
    _answer(problem)
    time.sleep(PATIENCE_S)  # the caller ends this process: libraries that wait at exit have no say


def _answer(problem: str) -> None:
    # Before the caller cuts it: half a URI would no longer be known as one.
    sys.stdout.write(json.dumps(redacted(" ".join(problem.split()))) + "\n")
    sys.stdout.flush()


def _no_connection(root: str) -> str:
    """Why pyarrow, which tries again and again, gets no answer: it says so only in the end."""
    parts = urlsplit(root)
    options = parse_qs(parts.query)
    given = options.get("endpoint_override") or [os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""]
    endpoint = urlsplit(given[0] if "//" in given[0] else f"//{given[0] or f'{parts.hostname}.s3.amazonaws.com'}")
    scheme = (options.get("scheme") or [endpoint.scheme or "https"])[0]
    host, port = endpoint.hostname or "", endpoint.port or (80 if scheme == "http" else 443)
    try:
        socket.create_connection((host, port), 0.5).close()
    except OSError as error:
        return f"no connection to {host}:{port}: {error.strerror or error}"
    return f"{host}:{port} takes connections and does not answer"


if __name__ == "__main__":
    _main(*sys.argv[1:])
