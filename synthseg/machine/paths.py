"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path

from synthseg.errors import UsageProblem


def expanded(path: str, field: str) -> Path:
    """`path` with `~` and `~USER` put in full, which no shell does in `--out=~/run` or in a file.

    UsageProblem, naming `field`, where there is no such user or path.
    """
    if "\0" in path:
        raise UsageProblem(f"{field}: {path!r} holds a zero byte, which no path can")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageProblem(f"{field}: '{path}' begins with no user of this machine; write ./{path} or the whole path") from None
