"""The front door. Commands import what they need when they run, so that help and mistakes answer at once.

Exit codes: 0 fine, 1 failed, 2 usage, 130 interrupted, 143 terminated, 129 hung up.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from synthseg import __version__, interrupt
from synthseg.errors import SynthSegError
from synthseg.stages import Stage

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from cluster.doctor import Check
    from serving.keys import KeyStore
    from synthseg.config.schema import RunConfig
    from synthseg.report.status import RunStatus
    from synthseg.store.verify import VerifyReport

_USAGE: Final = 2
_SHOWN_CHARACTERS: Final = 400


app = typer.Typer(
    name="synthseg",
    help="From a list of class names to a trained segmentation network, without one real image.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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


def _finite(value: float | None) -> float | None:
    """A number that can be reckoned with: what typer takes for one includes inf and nan."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("must be a finite number")
    return value


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    if version:
        print(__version__)  # noqa: T201 (the answer itself)
        raise typer.Exit


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
    config = _load(preset, settings, classes, per_class, seed, workers)
    out = out or f"runs/{Path(preset).stem}"

    from synthseg.engines.availability import check_requirements

    # Before the imports below, which load torch and Ray: what is missing is said at once.
    check_requirements(config, "run")

    from pipelines.run import run_pipeline
    from synthseg.progress import progress_for
    from synthseg.store.run_folder import METRICS, RunFolder

    with progress_for(_console(stderr=True)) as progress:
        run_pipeline(config, out, verbose=verbose, progress=progress, until=until)
    folder = RunFolder.open(out)
    _print_summary(f"Run {out}", folder.metrics())
    _print_line(f"metrics  {folder.files.path(METRICS)}")
    if folder.files.exists("report/index.html"):
        _print_line(f"report   {folder.files.path('report/index.html')}")


@app.command()
def serve(
    preset: PresetArgument = "embedded",
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on; serving.host when not given.")] = "",
    port: Annotated[int | None, typer.Option("--port", metavar="P", help="Port; serving.port when not given, 0 for any.")] = None,
    settings: SetOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Serve prompts to images over HTTP, OpenAI's API and a page, until Ctrl-C; requests under way then finish."""
    overrides = [*(settings or ())]
    if host:
        overrides.append(f"serving.host={host}")
    if port is not None:
        overrides.append(f"serving.port={port}")
    config = _load(preset, overrides, "", None, None, None)

    from synthseg.engines.availability import check_requirements

    check_requirements(config, "serve")

    from serving.server import serve_until_signal

    out = sys.stdout
    serve_until_signal(config, verbose=verbose, say=lambda line: print(line, file=out, flush=True))


@app.command()
def status(out: OutArgument, as_json: JsonOption = False) -> None:
    """Show how far a run is; safe while it is going."""
    from synthseg.report.cut_prompts import cut_prompts_note
    from synthseg.report.status import read_status

    found = read_status(out)
    if as_json:
        _print_json(found.to_json())
        return
    state = "finished" if found.finished else "not finished"
    _print_line(f"{out}: {found.preset}, seed {found.seed}, {len(found.classes)} classes, {state}")
    _console().print(_status_table(found))
    if found.num_cut_prompts:
        _print_line(f"note  {cut_prompts_note(found.num_cut_prompts)}")
    if found.last_event:
        _print_line(f"last event  {found.last_event.get('event', '?')}")
    for problem in found.unreadable:
        _print_line(f"unreadable  {problem}")


@app.command()
def verify(out: OutArgument, as_json: JsonOption = False) -> None:
    """Prove that a run is whole: nothing missing, nothing twice, every byte as published. Exit 1 on any fault."""
    from dataclasses import asdict

    from synthseg.store.verify import verify_run

    report = verify_run(out)
    if as_json:
        _print_json({"ok": not report.faults, **asdict(report)})
    else:
        _print_line(f"{out}: {'not whole' if report.faults else 'whole'}")
        _console().print(_verify_table(report))
        for reason, count in report.dropped_by_reason.items():
            _print_line(f"{count} dropped or failed: {reason}")
        _print_line(f"{report.duplicates} duplicate, {report.missing} missing, {report.unplanned} not planned")
        for fault in report.faults:
            _print_line(f"fault: {fault}")
    if report.faults:
        raise typer.Exit(1)


@app.command()
def reproduce(out: OutArgument, sample_id: Annotated[str, typer.Argument(metavar="SAMPLE_ID", help="Id of a sample.")]) -> None:
    """Make one stored image again from its record and compare the bytes. Exit 1 when they differ."""
    from pipelines.reproduce import reproduce as make_again

    result = make_again(out, sample_id)
    _print_line(f"stored  {result.expected_sha256}")
    _print_line(f"again   {result.actual_sha256}")
    _print_line("identical" if result.matches else "different")
    if not result.matches:
        raise typer.Exit(1)


@app.command()
def evaluate(out: OutArgument, verbose: VerboseOption = False) -> None:
    """Measure the trained networks of a run again on its evaluation split."""
    from pipelines.run import evaluate_pipeline
    from synthseg.progress import progress_for
    from synthseg.store.run_folder import RunFolder

    with progress_for(_console(stderr=True)) as progress:
        evaluate_pipeline(out, verbose=verbose, progress=progress)
    _print_summary(f"Run {out}", RunFolder.open(out).metrics())


@app.command()
def report(out: OutArgument) -> None:
    """Write OUT/report/index.html again and print its path."""
    from synthseg.report import build_report

    _print_line(build_report(out))


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

    sys.stdout.write(to_toml(_load(preset, settings, classes, per_class, seed, workers)))


@app.command()
def plan(
    preset: PresetArgument,
    gpu: Annotated[str, typer.Option("--gpu", metavar="KIND", help="h100, a100, l4 or 4090.")] = "h100",
    gpus: Annotated[int, typer.Option("--gpus", metavar="N", help="How many of them.")] = 1,
    price: Annotated[float | None, typer.Option("--price", min=0, callback=_finite, metavar="USD", help="Price of a GPU hour.")] = None,
    image_seconds: Annotated[
        float | None, typer.Option("--image-seconds", min=1e-6, callback=_finite, metavar="S", help="Seconds an image, measured by you.")
    ] = None,
    tokens_per_s: Annotated[
        float | None,
        typer.Option("--tokens-per-s", min=1e-6, callback=_finite, metavar="T", help="Output tokens a second of a GPU, measured by you."),
    ] = None,
    classes: ClassesOption = "",
    per_class: PerClassOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reckon what a run takes: prompts, images, GPU hours, memory, storage, cost; the source of every number under it."""
    from synthseg.sizing import rates
    from synthseg.sizing.estimate import Measured, plan_run
    from synthseg.sizing.render import render

    configuration = _load(preset, settings, classes, per_class, None, None)
    found = plan_run(configuration, rates.gpu(gpu), gpus, price, Measured(image_seconds, tokens_per_s))
    if as_json:
        _print_json(found.to_json())
    else:
        _print_line(render(found))


@app.command()
def fetch(
    preset: PresetArgument,
    settings: SetOption = None,
    to: Annotated[str, typer.Option("--to", metavar="FOLDER|URI", help="Also fill this mirror, for SYNTHSEG_WEIGHTS elsewhere.")] = "",
    update: Annotated[bool, typer.Option("--update", help="Take what the revisions stand for now, not the commits fetched first.")] = False,
    only_list: Annotated[bool, typer.Option("--list", help="Only show what is needed, its licence and size, and what is here.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the weights a configuration needs to this machine, once; then everything works without a network."""
    from synthseg.hub.catalogue import weights_of
    from synthseg.hub.fetch import fetch_weights, fill, mirror_to_fill
    from synthseg.hub.listing import listed, listed_after
    from synthseg.hub.progress import fetch_progress_for

    weights = weights_of(_load(preset, settings, "", None, None, None))
    if only_list:
        rows = [listed(weight) for weight in weights]
    else:
        mirror = mirror_to_fill(to) if to else None
        with fetch_progress_for(_console(stderr=True)) as progress:
            fetched = fetch_weights(weights, progress, update=update)
            if mirror is not None:
                fill(fetched, mirror, progress)
        rows = [listed_after(one) for one in fetched]
    if as_json:
        _print_json({"weights": rows})
        return
    if not rows:
        _print_line(f"{preset}: needs no weights from the hub")
        return
    table = _table("", "setting", "model", "commit", "licence", "MB", "state")
    for row in rows:
        table.add_row(row["field"], row["model"], row["commit"][:12], row["licence"], f"{row['bytes'] / 1e6:,.1f}", row["state"])
    _console().print(table)


@app.command()
def doctor(
    argument: Annotated[str, typer.Argument(metavar="[PRESET|FILE]", help="Preset or TOML file; embedded when not given.")] = "",
    preset: Annotated[str, typer.Option("--preset", metavar="PRESET|FILE", help="The same, as an option.")] = "",
    out: Annotated[str, typer.Option("--out", metavar="OUT", help="Where runs will be written.")] = "runs",
    in_cluster: Annotated[bool, typer.Option("--cluster", help="Ask every node of a Ray cluster.")] = False,
    address: Annotated[str, typer.Option("--address", metavar="ADDRESS", help="The cluster; the one on this machine when not given.")] = "",
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that this machine, or each node of a cluster, has what a preset needs, with a fix for what it lacks; exit 1 for any."""
    config = _load(preset or argument or "embedded", settings, "", None, None, None)
    if in_cluster or address:
        from cluster.nodes import cluster_checks

        reports = {report.node: list(report.checks) for report in cluster_checks(config, out, address)}
    else:
        from cluster.doctor import checks

        reports = {"": checks(config, out)}
    failed = any(check.status == "fail" for found in reports.values() for check in found)
    if as_json:
        rows = [({"node": node} if node else {}) | check.to_json() for node, found in reports.items() for check in found]
        _print_json({"ok": not failed, "checks": rows})
    else:
        for node, found in reports.items():
            _console().print(_doctor_table(node, found))
    if failed:
        raise typer.Exit(1)


keys = typer.Typer(help="API keys of the HTTP endpoint; a running server takes a change up with its next request.", no_args_is_help=True)
app.add_typer(keys, name="keys")

KeyName = Annotated[str, typer.Argument(metavar="NAME", help="Who the key is for.")]


@keys.command("add")
def add_key(
    name: KeyName,
    preset: PresetOption = "embedded",
    settings: SetOption = None,
    requests_per_min: Annotated[int | None, typer.Option("--requests-per-min", min=0, metavar="N", help="0 sets no limit.")] = None,
    image_seconds_per_min: Annotated[
        float | None, typer.Option("--image-seconds-per-min", min=0, callback=_finite, metavar="S", help="Engine seconds; 0 sets no limit.")
    ] = None,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    store = _key_store(preset, settings)
    _print_line(store.add(name, requests_per_min, image_seconds_per_min))


@keys.command("list")
def list_keys(
    preset: PresetOption = "embedded",
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the keys: name, id, limits, since when, and whether revoked. Never the key."""
    found = [record.public() for record in _key_store(preset, settings).records()]
    if as_json:
        _print_json({"keys": found})
        return
    table = _table("", "name", "id", "requests/min", "image s/min", "made", "revoked")
    for record in found:
        table.add_row(*("" if value is None else str(value) for value in record.values()))
    _console().print(table)


@keys.command("revoke")
def revoke_key(
    name: KeyName,
    preset: PresetOption = "embedded",
    settings: SetOption = None,
) -> None:
    """End a key. Its jobs and files stay unreachable for every other key."""
    _key_store(preset, settings).revoke(name)
    _print_line(f"revoked  {name}")


def main() -> None:
    """Entry point: run the command, say what went wrong in one line, exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        # A path or a prompt may hold what the terminal's encoding does not know; that must not end a run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with interrupt.remembered():
        sys.exit(_guarded(sys.argv[1:]))


def _guarded(arguments: list[str]) -> int:
    try:
        code = app(arguments, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(interrupt.asked() or interrupt.Interrupted())
    except Exception as error:  # noqa: BLE001 - told by _failed, whatever it is
        # What a library makes of a signal, or what the signal's end of other processes makes of a run, is no failure of its own.
        if request := interrupt.asked():
            return _interrupted(request)
        return _failed(error, verbose=bool({"-v", "--verbose"} & set(arguments)))
    if code == interrupt.Interrupted().exit_code:  # typer keeps the exception itself
        return _interrupted(interrupt.asked() or interrupt.Interrupted())
    return code if isinstance(code, int) else 0


def _interrupted(request: interrupt.Interrupted) -> int:
    print(request.line, file=sys.stderr, flush=True)  # noqa: T201 (before any console exists)
    return request.exit_code


def _failed(error: Exception, *, verbose: bool) -> int:
    if isinstance(error, SynthSegError):
        # An error from a Ray task carries the worker's traceback in its text and the plain one as its cause.
        cause = getattr(error, "cause", None)
        return _fail(str(cause if isinstance(cause, SynthSegError) else error), error.exit_code)
    if isinstance(error, typer.TyperException):
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        # A bare `synthseg` has already printed its help.
        return _fail(f"{message.rstrip('.')}; see synthseg --help", _USAGE) if message.strip() else _USAGE
    if verbose:
        raise error
    return _fail(f"unexpected {type(error).__name__} at {_origin(error)}: {str(error)[:_SHOWN_CHARACTERS]}", 1)


def _origin(error: BaseException) -> str:
    """file:line where `error` was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "an unknown place"


def _fail(message: str, code: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)  # noqa: T201 (one plain line, never wrapped)
    return code


def _load(preset: str, settings: list[str] | None, classes: str, per_class: int | None, seed: int | None, workers: int | None) -> RunConfig:
    from synthseg.config.loading import load_config

    names = [name for name in (part.strip() for part in classes.split(",")) if name]
    return load_config(preset, settings or (), names, per_class, seed, workers)


def _key_store(preset: str, settings: list[str] | None) -> KeyStore:
    from serving.keys import KeyStore, keys_path

    return KeyStore(keys_path(_load(preset, settings, "", None, None, None).serving))


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def _print_line(text: str) -> None:
    print(text)  # noqa: T201 (results go to standard output, whole lines, never wrapped)


def _print_json(value: Mapping[str, Any]) -> None:
    _print_line(json.dumps(value, indent=2, sort_keys=True))


def _print_summary(title: str, metrics: Mapping[str, Any]) -> None:
    from synthseg.report.summary import summary_lines

    table = _table(title, "", "", "")
    table.show_header = False
    for label, value, remark in summary_lines(metrics):
        table.add_row(label, f"[bold]{value}[/bold]", f"[dim]{remark}[/dim]")
    _console().print(table)


def _status_table(found: RunStatus) -> Table:
    table = _table("", "stage", "shards", "rows", "MB", "s")
    for stage in found.stages:
        seconds = "" if stage.seconds is None else f"{stage.seconds:.1f}"
        counts = (str(stage.num_shards), str(stage.num_rows), f"{stage.num_bytes / 1e6:.1f}") if stage.num_shards else ("", "", "")
        table.add_row(stage.name, *counts, seconds)
    return table


def _verify_table(report: VerifyReport) -> Table:
    columns = ("planned", "ok", "dropped", "failed")
    table = _table("", "class", *columns)
    for name, counts in report.per_class.items():
        table.add_row(name, *(str(counts[column]) for column in columns))
    table.add_section()
    table.add_row("all", *(str(getattr(report, column)) for column in columns))
    return table


def _doctor_table(title: str, found: list[Check]) -> Table:
    from rich.markup import escape

    colors = {"ok": "green", "warn": "yellow", "fail": "red"}
    table = _table(title, "check", "", "found", "fix")
    for check in found:
        table.add_row(check.name, f"[{colors[check.status]}]{check.status}[/]", escape(check.detail), escape(check.fix))
    return table


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
