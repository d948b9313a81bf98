"""Results on standard output: whole lines, JSON and tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def console(*, stderr: bool = False) -> Console:
    """Standard output, or standard error for progress."""
    from rich.console import Console

    return Console(stderr=stderr)


def print_line(text: str) -> None:
    """One line, as it is."""
    print(text)  # noqa: T201 (results go to standard output, whole lines, never wrapped)


def print_json(value: Mapping[str, Any]) -> None:
    """An object for programs."""
    print_line(json.dumps(value, indent=2, sort_keys=True))


def new_table(title: str, *columns: str) -> Table:
    """An empty table with these columns."""
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
