from __future__ import annotations

import io

from rich.console import Console

from synthseg.machine.hub.progress import LineFetch, LiveFetch, fetch_progress_for


def test_a_pipe_gets_a_line_when_a_model_comes_and_when_it_is_here() -> None:
    out = io.StringIO()
    with fetch_progress_for(Console(file=out)) as progress:
        assert isinstance(progress, LineFetch)
        progress.message("waiting [for] it")
        progress.start("acme/model from the hub", 2_500_000)
        progress.advance(2_500_000)
        progress.finish()
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["waiting [for] it", "acme/model from the hub: 2.5 MB"]
    assert lines[2].startswith("acme/model from the hub: done in ")


def test_a_terminal_gets_bytes_and_a_full_bar() -> None:
    out = io.StringIO()
    with fetch_progress_for(Console(file=out, force_terminal=True, width=140)) as progress:
        assert isinstance(progress, LiveFetch)
        progress.start("acme/[odd] from the hub", 2_000_000)
        progress.advance(500_000)
        progress.finish()
    assert "acme/[odd] from the hub" in out.getvalue()
    assert "2.0/2.0 MB" in out.getvalue()
