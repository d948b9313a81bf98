"""Signs of life of long work: a worker touches a file of its own, and a watcher notes when it last saw one change."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

_PREFIX = "alive-"


def sign_of(folder: Path, worker: int) -> Path:
    """The file of the worker that goes by this number (a rank or a process id); its time changes at each `beat`."""
    return folder / f"{_PREFIX}{worker}"


def signs(folder: Path) -> list[Path]:
    """The files of all workers that have called `beat`."""
    return sorted(folder.glob(f"{_PREFIX}*"))


def beat(folder: Path, worker: int) -> None:
    """Say that this worker gets on."""
    sign_of(folder, worker).touch()


def forget(folder: Path) -> None:
    """Remove the signs of an earlier start."""
    for path in signs(folder):
        path.unlink(missing_ok=True)


class Watch:
    """Looks for new signs of life in `folder`.

    That a sign has changed decides, and not the time it carries: clocks are set anew, and a file server has a clock of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._times()
        self._changed = time.monotonic()

    @property
    def heard(self) -> bool:
        """Whether any worker had given a sign at the last look."""
        return bool(self._seen)

    def quiet_s(self) -> float:
        """Look, and say for how many seconds no look has found a new sign; the first seconds are counted from the watch's beginning."""
        times = self._times()
        if times != self._seen:
            self._seen, self._changed = times, time.monotonic()
        return time.monotonic() - self._changed

    def _times(self) -> dict[str, int]:
        """The time of each worker's last sign, in ns by the clock of whoever keeps the file."""
        found = {}
        for path in signs(self._folder):
            with contextlib.suppress(FileNotFoundError):
                found[path.name] = path.stat().st_mtime_ns
        return found
