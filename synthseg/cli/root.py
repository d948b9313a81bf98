"""The command line's root, with the groups of commands in the order of its help."""

from __future__ import annotations

from typing import Annotated

import typer

from synthseg import __version__
from synthseg.cli import configuration, machine, runs, server

app = typer.Typer(
    name="synthseg",
    help="From a list of class names to a trained segmentation network, without one real image.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _group in (runs.app, server.app, configuration.app, machine.app):
    app.add_typer(_group)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    if version:
        print(__version__)  # noqa: T201 (the answer itself)
        raise typer.Exit
