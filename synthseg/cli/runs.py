"""Making a run, looking at it, and proving it: run, status, verify, reproduce, evaluate, report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthseg.cli.options import (
    ClassesOption,
    JsonOption,
    OutArgument,
    PerClassOption,
    PresetArgument,
    SeedOption,
    SetOption,
    UntilOption,
    VerboseOption,
    WorkersOption,
    load,
)
from synthseg.cli.output import console, new_table, print_json, print_line
from synthseg.redaction import redacted
from synthseg.stages import Stage

if TYPE_CHECKING:
    from rich.table import Table

    from synthseg.report.status import RunStatus
    from synthseg.store.verify import VerifyReport


app = typer.Typer()


@app.command()
def run(
    preset: PresetArgument = "embedded",
    out: Annotated[str, typer.Option("--out", metavar="OUT", help="Folder or URI of the run; runs/PRESET when not given.")] = "",
    classes: ClassesOption = "",
    per_class: PerClassOption = None,
    seed: SeedOption = None,
    workers: WorkersOption = None,
    settings: SetOption = None,
    until: UntilOption = Stage.report,
    verbose: VerboseOption = False,
) -> None:
    """Run the whole pipeline, or take up where the same command stopped."""
    config = load(preset, settings, classes, per_class, seed, workers)
    out = out or f"runs/{Path(preset).stem}"

    from synthseg.machine.availability import check_requirements

    # Before the imports below, which load torch and Ray: what is missing is said at once.
    check_requirements(config, "run")

    from pipelines.run import run_pipeline
    from synthseg.progress import progress_for
    from synthseg.store.run_folder import METRICS, RunFolder

    with progress_for(console(stderr=True)) as progress:
        run_pipeline(config, out, verbose=verbose, progress=progress, until=until)
    folder = RunFolder.open(out)
    _print_summary(f"Run {redacted(out)}", folder.metrics())
    print_line(f"metrics  {folder.files.path(METRICS)}")
    if folder.files.exists("report/index.html"):
        print_line(f"report   {folder.files.path('report/index.html')}")


@app.command()
def status(out: OutArgument, as_json: JsonOption = False) -> None:
    """Show how far a run is; safe while it is going."""
    from synthseg.report.cut_prompts import cut_prompts_note
    from synthseg.report.status import read_status

    found = read_status(out)
    if as_json:
        print_json(found.to_json())
        return
    state = "finished" if found.finished else "not finished"
    print_line(f"{found.out}: {found.preset}, seed {found.seed}, {len(found.classes)} classes, {state}")
    console().print(_status_table(found))
    if found.num_cut_prompts:
        print_line(f"note  {cut_prompts_note(found.num_cut_prompts)}")
    if found.last_event:
        print_line(f"last event  {found.last_event.get('event', '?')}")
    for problem in found.unreadable:
        print_line(f"unreadable  {problem}")


@app.command()
def verify(out: OutArgument, as_json: JsonOption = False) -> None:
    """Prove that a run is whole: nothing missing, nothing twice, every byte as published. Exit 1 on any fault."""
    from dataclasses import asdict

    from synthseg.store.verify import verify_run

    report = verify_run(out)
    if as_json:
        print_json({"ok": not report.faults, **asdict(report)})
    else:
        print_line(f"{redacted(out)}: {'not whole' if report.faults else 'whole'}")
        console().print(_verify_table(report))
        for reason, count in report.dropped_by_reason.items():
            print_line(f"{count} dropped or failed: {reason}")
        print_line(f"{report.duplicates} duplicate, {report.missing} missing, {report.unplanned} not planned")
        for fault in report.faults:
            print_line(f"fault: {fault}")
    if report.faults:
        raise typer.Exit(1)


@app.command()
def reproduce(out: OutArgument, sample_id: Annotated[str, typer.Argument(metavar="SAMPLE_ID", help="Id of a sample.")]) -> None:
    """Make one stored image again from its record and compare the bytes. Exit 1 when they differ."""
    from pipelines.reproduce import reproduce as make_again

    result = make_again(out, sample_id)
    print_line(f"stored  {result.expected_sha256}")
    print_line(f"again   {result.actual_sha256}")
    print_line("identical" if result.matches else "different")
    if not result.matches:
        raise typer.Exit(1)


@app.command()
def evaluate(out: OutArgument, verbose: VerboseOption = False) -> None:
    """Measure the trained networks of a run again on its evaluation split."""
    from pipelines.run import evaluate_pipeline
    from synthseg.progress import progress_for
    from synthseg.store.run_folder import RunFolder

    with progress_for(console(stderr=True)) as progress:
        evaluate_pipeline(out, verbose=verbose, progress=progress)
    _print_summary(f"Run {redacted(out)}", RunFolder.open(out).metrics())


@app.command()
def report(out: OutArgument) -> None:
    """Write OUT/report/index.html again and print its path."""
    from synthseg.report import build_report

    print_line(build_report(out))


def _print_summary(title: str, metrics: Mapping[str, Any]) -> None:
    from synthseg.report.summary import summary_lines

    table = new_table(title, "", "", "")
    table.show_header = False
    for label, value, remark in summary_lines(metrics):
        table.add_row(label, f"[bold]{value}[/bold]", f"[dim]{remark}[/dim]")
    console().print(table)


def _status_table(found: RunStatus) -> Table:
    table = new_table("", "stage", "shards", "rows", "MB", "s")
    for stage in found.stages:
        seconds = "" if stage.seconds is None else f"{stage.seconds:.1f}"
        counts = (str(stage.num_shards), str(stage.num_rows), f"{stage.num_bytes / 1e6:.1f}") if stage.num_shards else ("", "", "")
        table.add_row(stage.name, *counts, seconds)
    return table


def _verify_table(report: VerifyReport) -> Table:
    columns = ("planned", "ok", "dropped", "failed")
    table = new_table("", "class", *columns)
    for name, counts in report.per_class.items():
        table.add_row(name, *(str(counts[column]) for column in columns))
    table.add_section()
    table.add_row("all", *(str(getattr(report, column)) for column in columns))
    return table
