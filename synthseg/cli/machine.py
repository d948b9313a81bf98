"""What a machine needs and has: fetch, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from synthseg.cli.options import JsonOption, PresetArgument, SetOption, load
from synthseg.cli.output import console, new_table, print_json, print_line

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.doctor import Check


app = typer.Typer()


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
    from synthseg.machine.hub.catalogue import weights_of
    from synthseg.machine.hub.fetch import fetch_weights, fill, mirror_to_fill
    from synthseg.machine.hub.listing import listed, listed_after
    from synthseg.machine.hub.progress import fetch_progress_for

    weights = weights_of(load(preset, settings, "", None, None, None))
    if only_list:
        rows = [listed(weight) for weight in weights]
    else:
        mirror = mirror_to_fill(to) if to else None
        with fetch_progress_for(console(stderr=True)) as progress:
            fetched = fetch_weights(weights, progress, update=update)
            if mirror is not None:
                fill(fetched, mirror, progress)
        rows = [listed_after(one) for one in fetched]
    if as_json:
        print_json({"weights": rows})
        return
    if not rows:
        print_line(f"{preset}: needs no weights from the hub")
        return
    table = new_table("", "setting", "model", "commit", "licence", "MB", "state")
    for row in rows:
        table.add_row(row["field"], row["model"], row["commit"][:12], row["licence"], f"{row['bytes'] / 1e6:,.1f}", row["state"])
    console().print(table)


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
    config = load(preset or argument or "embedded", settings, "", None, None, None)
    if in_cluster or address:
        from cluster.nodes import cluster_checks

        reports = {report.node: list(report.checks) for report in cluster_checks(config, out, address)}
    else:
        from cluster.doctor import checks

        reports = {"": checks(config, out)}
    failed = any(check.status == "fail" for found in reports.values() for check in found)
    if as_json:
        rows = [({"node": node} if node else {}) | check.to_json() for node, found in reports.items() for check in found]
        print_json({"ok": not failed, "checks": rows})
    else:
        for node, found in reports.items():
            console().print(_doctor_table(node, found))
    if failed:
        raise typer.Exit(1)


def _doctor_table(title: str, found: list[Check]) -> Table:
    from rich.markup import escape

    colors = {"ok": "green", "warn": "yellow", "fail": "red"}
    table = new_table(title, "check", "", "found", "fix")
    for check in found:
        table.add_row(check.name, f"[{colors[check.status]}]{check.status}[/]", escape(check.detail), escape(check.fix))
    return table
