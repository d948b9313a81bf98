from __future__ import annotations

import io

import pytest
from rich.console import Console

from synthseg import progress as module
from synthseg.progress import LineProgress, LiveProgress, Progress, progress_for


def tell(progress: Progress) -> None:
    progress.start_stage("images", 4)
    progress.advance("images", ok=2)
    progress.advance("images", ok=1, dropped=1)
    progress.message("half [way]")
    progress.finish_stage("images", 75.0, "4 made")


def test_plain_lines_when_nobody_watches() -> None:
    stream = io.StringIO()
    with progress_for(Console(file=stream)) as progress:
        assert isinstance(progress, LineProgress)
        tell(progress)
    assert stream.getvalue().splitlines() == [
        "images: started, 4 to do",
        "half [way]",
        "images: done in 1 min 15 s, 1 dropped; 4 made",
    ]


def test_plain_lines_tell_rate_and_time_left_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 20.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    progress = LineProgress(Console(file=stream))
    progress.start_stage("images", 30)
    progress.advance("images", ok=5)
    progress.advance("images", ok=4, failed=1)
    assert stream.getvalue().splitlines()[1:] == ["images: 10 of 30, 40.0 s left, 0.5/s, 1 failed"]


def test_live_bars_end_as_lines() -> None:
    stream = io.StringIO()
    with progress_for(Console(file=stream, force_terminal=True, width=120)) as progress:
        assert isinstance(progress, LiveProgress)
        tell(progress)
        progress.start_stage("unknown", 0)
        progress.advance("unknown", ok=1)
    text = stream.getvalue()
    assert "half [way]" in text
    assert "4 made, 1 dropped" in text
