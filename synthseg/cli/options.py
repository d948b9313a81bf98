"""What several commands take, and what becomes of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from synthseg.stages import Stage

if TYPE_CHECKING:
    from synthseg.config.schema import RunConfig


PresetArgument = Annotated[str, typer.Argument(metavar="PRESET|FILE", help="Preset (embedded, laptop, voc, coco) or a TOML file.")]
OutArgument = Annotated[str, typer.Argument(metavar="OUT", help="Folder or URI of a run.")]
ClassesOption = Annotated[str, typer.Option("--classes", metavar="A,B", help="Only these classes, separated by commas.")]
PerClassOption = Annotated[int | None, typer.Option("--per-class", metavar="N", help="Kept images to aim at for each class.")]
SeedOption = Annotated[int | None, typer.Option("--seed", metavar="S", help="Seed of the whole run.")]
WorkersOption = Annotated[int | None, typer.Option("--workers", metavar="W", help="Replicas, stage workers and training processes.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change one setting; may be given again.")]
PresetOption = Annotated[str, typer.Option("--preset", metavar="PRESET|FILE", help="Configuration of the server.")]
UntilOption = Annotated[Stage, typer.Option("--until", help="Stop after this stage; the same command without it goes on.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
VerboseOption = Annotated[bool, typer.Option("-v", "--verbose", help="Let Ray speak, and show tracebacks.")]


def finite(value: float | None) -> float | None:
    """A number that can be reckoned with: what typer takes for one includes inf and nan."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("must be a finite number")
    return value


def load(preset: str, settings: list[str] | None, classes: str, per_class: int | None, seed: int | None, workers: int | None) -> RunConfig:
    """The configuration that a command line asks for. UsageProblem names what is wrong with it."""
    from synthseg.config.loading import load_config

    names = [name for name in (part.strip() for part in classes.split(",")) if name]
    return load_config(preset, settings or (), names, per_class, seed, workers)
