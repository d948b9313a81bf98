"""How a fetch tells what it is doing: bars with bytes and speed on a terminal, a line a repository anywhere else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.console import Console


class FetchProgress(Protocol):
    """What a fetch calls; one repository at a time."""

    def start(self, name: str, num_bytes: int) -> None:
        """`num_bytes` of `name` are about to come."""
        ...

    def advance(self, num_bytes: int) -> None:
        """So many more came."""
        ...

    def finish(self) -> None:
        """All came."""
        ...

    def message(self, text: str) -> None:
        """One line worth reading."""
        ...


class SilentFetch:
    """Says nothing."""

    def start(self, name: str, num_bytes: int) -> None:
        """Ignore."""

    def advance(self, num_bytes: int) -> None:
        """Ignore."""

    def finish(self) -> None:
        """Ignore."""

    def message(self, text: str) -> None:
        """Ignore."""


@dataclass
class LineFetch:
    """Plain lines, for logs and pipes."""

    console: Console
    _name: str = ""
    _num_bytes: int = 0
    _started: float = 0.0

    def __enter__(self) -> Self:
        """Nothing to set up."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to put back."""

    def start(self, name: str, num_bytes: int) -> None:
        """One line."""
        self._name, self._num_bytes, self._started = name, num_bytes, time.monotonic()
        self.message(f"{name}: {num_bytes / 1e6:,.1f} MB")

    def advance(self, num_bytes: int) -> None:
        """Not worth a line."""

    def finish(self) -> None:
        """One line."""
        self.message(f"{self._name}: done in {time.monotonic() - self._started:.1f} s")

    def message(self, text: str) -> None:
        """Print it, markup left alone."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveFetch:
    """A bar a repository."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._task = self._bars.add_task("", visible=False)

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop drawing and give the terminal back, whatever happened."""
        self._bars.stop()

    def start(self, name: str, num_bytes: int) -> None:
        """A new bar."""
        self._task = self._bars.add_task(name, total=num_bytes)

    def advance(self, num_bytes: int) -> None:
        """Move the bar."""
        self._bars.advance(self._task, num_bytes)

    def finish(self) -> None:
        """Fill the bar: what was here before was not counted byte by byte."""
        task = self._bars.tasks[self._task]
        self._bars.update(self._task, completed=task.total or 0)

    def message(self, text: str) -> None:
        """Print it above the bars."""
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)


def fetch_progress_for(console: Console) -> LiveFetch | LineFetch:
    """Bars on a terminal, plain lines anywhere else. Use as a context manager."""
    return LiveFetch(console) if console.is_terminal else LineFetch(console)
