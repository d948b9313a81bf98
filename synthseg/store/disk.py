"""A full disk, wherever it shows: one line that names the place and the way out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from synthseg.errors import DiskFull

_CODES = (errno.ENOSPC, errno.EDQUOT)


def is_full(error: BaseException) -> bool:
    """Whether `error` says that no space is left.

    Native libraries and Ray raise errors of their own, of which only the text is the system's.
    """
    if isinstance(error, DiskFull) or (isinstance(error, OSError) and error.errno in _CODES):
        return True
    return any(os.strerror(code) in str(error) for code in _CODES)


def disk_full(error: BaseException, place: str = "") -> DiskFull:
    """What to tell the user about `error`, for which `is_full` holds, while `place` was written; without one, what the error names."""
    if isinstance(error, DiskFull):
        return error
    named = place or (error.filename if isinstance(error, OSError) else None)
    where = f"'{named}'" if named else f"({type(error).__name__}: {str(error).strip().splitlines()[-1]})"
    return DiskFull(f"out: no space left to write {where}; free some and run the same command again")


@contextmanager
def full_disk_named(place: str = "") -> Iterator[None]:
    """DiskFull, as `disk_full` words it, instead of anything else that a full disk raises in the block."""
    try:
        yield
    except Exception as error:
        if isinstance(error, DiskFull) or not is_full(error):
            raise
        raise disk_full(error, place) from error
