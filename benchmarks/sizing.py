"""Write into docs/sizing.md what its commands print: python -m benchmarks.sizing."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Final

from synthseg import cli

PAGE: Final = Path(__file__).parents[1] / "docs" / "sizing.md"
_BLOCK: Final = re.compile(r"```console\n\$ (?P<command>synthseg plan [^\n]*)\n(?P<output>.*?)```", re.DOTALL)


def commands(text: str) -> list[str]:
    """The commands that the page shows with their output."""
    return [match["command"] for match in _BLOCK.finditer(text)]


def page(text: str) -> str:
    """The page with what each command prints now."""
    return _BLOCK.sub(lambda match: f"```console\n$ {match['command']}\n{_printed(match['command'])}```", text)


def _printed(command: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        cli.app(command.split()[1:], standalone_mode=False)
    return out.getvalue()


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
