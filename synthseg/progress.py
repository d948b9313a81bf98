"""How a run tells what it is doing: a small protocol, and its three voices (live bars, plain lines, silence)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

LINE_INTERVAL_S: Final = 10.0
"""Plain output says at most this often how far a stage is."""


class Progress(Protocol):
    """What the pipeline calls. A stage is known by its name; samples that a resumed run finds done are advanced at the start."""

    def start_stage(self, name: str, total: int) -> None:
        """Stage `name` begins with `total` units of work; 0 when the number is not known yet."""
        ...

    def advance(self, name: str, *, ok: int = 0, dropped: int = 0, failed: int = 0) -> None:
        """So many more units ended so."""
        ...

    def finish_stage(self, name: str, seconds: float, summary: str) -> None:
        """The stage is done; `summary` is a few words on its result."""
        ...

    def message(self, text: str) -> None:
        """One line worth reading."""
        ...


class SilentProgress:
    """Says nothing."""

    def start_stage(self, name: str, total: int) -> None:
        """Ignore."""

    def advance(self, name: str, *, ok: int = 0, dropped: int = 0, failed: int = 0) -> None:
        """Ignore."""

    def finish_stage(self, name: str, seconds: float, summary: str) -> None:
        """Ignore."""

    def message(self, text: str) -> None:
        """Ignore."""


@dataclass(slots=True)
class _Count:
    total: int
    started: float
    said: float
    done: int = 0
    dropped: int = 0
    failed: int = 0

    def add(self, ok: int, dropped: int, failed: int) -> None:
        self.done += ok + dropped + failed
        self.dropped += dropped
        self.failed += failed

    @property
    def losses(self) -> str:
        return "".join(f", {number} {what}" for number, what in ((self.dropped, "dropped"), (self.failed, "failed")) if number)


@dataclass
class LineProgress:
    """Plain lines, for logs and pipes."""

    console: Console
    _counts: dict[str, _Count] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Nothing to set up."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to put back."""

    def start_stage(self, name: str, total: int) -> None:
        """One line."""
        now = time.monotonic()
        self._counts[name] = _Count(total, now, now)
        self.message(f"{name}: started" + (f", {total} to do" if total else ""))

    def advance(self, name: str, *, ok: int = 0, dropped: int = 0, failed: int = 0) -> None:
        """A line now and then, with rate and time left."""
        count, now = self._counts[name], time.monotonic()
        count.add(ok, dropped, failed)
        if now - count.said < LINE_INTERVAL_S:
            return
        count.said = now
        rate = count.done / max(now - count.started, 1e-9)
        left = f" of {count.total}, {_duration((count.total - count.done) / rate)} left" if count.total and rate > 0 else ""
        self.message(f"{name}: {count.done}{left}, {rate:.1f}/s{count.losses}")

    def finish_stage(self, name: str, seconds: float, summary: str) -> None:
        """One line."""
        count = self._counts.pop(name, None)
        self.message(f"{name}: done in {_duration(seconds)}{count.losses if count else ''}" + (f"; {summary}" if summary else ""))

    def message(self, text: str) -> None:
        """Print it, markup left alone."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveProgress:
    """One bar a stage, with rate and time left; finished stages stay above as one line each."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self.console = console
        self._bars = Bars(
            SpinnerColumn(finished_text=" "),
            TextColumn("[bold]{task.description:<12}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("[cyan]{task.fields[rate]:>8}"),
            TimeElapsedColumn(),
            TextColumn("[dim]left"),
            TimeRemainingColumn(compact=True),
            TextColumn("[yellow]{task.fields[losses]}"),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, tuple[TaskID, _Count]] = {}

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop drawing and give the terminal back, whatever happened."""
        self._bars.stop()

    def start_stage(self, name: str, total: int) -> None:
        """A new bar; it pulses while the total is not known."""
        now = time.monotonic()
        task = self._bars.add_task(name, total=total or None, rate="", losses="")
        self._tasks[name] = task, _Count(total, now, now)

    def advance(self, name: str, *, ok: int = 0, dropped: int = 0, failed: int = 0) -> None:
        """Move the bar."""
        task, count = self._tasks[name]
        count.add(ok, dropped, failed)
        rate = count.done / max(time.monotonic() - count.started, 1e-9)
        self._bars.update(task, completed=count.done, rate=f"{rate:.1f}/s", losses=count.losses.lstrip(", "))

    def finish_stage(self, name: str, seconds: float, summary: str) -> None:
        """Replace the bar by one line."""
        task, count = self._tasks.pop(name)
        self._bars.remove_task(task)
        self._bars.console.print(
            f"[green]done[/green]  [bold]{name:<12}[/bold] {_duration(seconds):>8}",
            f"{summary}{count.losses}",
            highlight=False,
            soft_wrap=True,
        )

    def message(self, text: str) -> None:
        """Print it above the bars."""
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)


def progress_for(console: Console) -> LiveProgress | LineProgress:
    """Live bars on a terminal, plain lines anywhere else. Use as a context manager."""
    return LiveProgress(console) if console.is_terminal else LineProgress(console)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
