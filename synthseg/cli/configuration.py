"""What a run would be, before it is one: config, plan."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from synthseg.cli.options import (
    ClassesOption,
    JsonOption,
    PerClassOption,
    PresetArgument,
    SeedOption,
    SetOption,
    WorkersOption,
    finite,
    load,
)
from synthseg.cli.output import print_json, print_line

app = typer.Typer()


@app.command()
def config(
    preset: PresetArgument = "embedded",
    classes: ClassesOption = "",
    per_class: PerClassOption = None,
    seed: SeedOption = None,
    workers: WorkersOption = None,
    settings: SetOption = None,
) -> None:
    """Print the resolved configuration as a TOML file that `run` accepts."""
    from synthseg.config.loading import to_toml

    sys.stdout.write(to_toml(load(preset, settings, classes, per_class, seed, workers)))


@app.command()
def plan(
    preset: PresetArgument,
    gpu: Annotated[str, typer.Option("--gpu", metavar="KIND", help="h100, a100, l4 or 4090.")] = "h100",
    gpus: Annotated[int, typer.Option("--gpus", metavar="N", help="How many of them.")] = 1,
    price: Annotated[float | None, typer.Option("--price", min=0, callback=finite, metavar="USD", help="Price of a GPU hour.")] = None,
    image_seconds: Annotated[
        float | None, typer.Option("--image-seconds", min=1e-6, callback=finite, metavar="S", help="Seconds an image, measured by you.")
    ] = None,
    tokens_per_s: Annotated[
        float | None,
        typer.Option("--tokens-per-s", min=1e-6, callback=finite, metavar="T", help="Output tokens a second of a GPU, measured by you."),
    ] = None,
    classes: ClassesOption = "",
    per_class: PerClassOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reckon what a run takes: prompts, images, GPU hours, memory, storage, cost; the source of every number under it."""
    from synthseg.machine.sizing import rates
    from synthseg.machine.sizing.estimate import Measured, plan_run
    from synthseg.machine.sizing.render import render

    configuration = load(preset, settings, classes, per_class, None, None)
    found = plan_run(configuration, rates.gpu(gpu), gpus, price, Measured(image_seconds, tokens_per_s))
    if as_json:
        print_json(found.to_json())
    else:
        print_line(render(found))
