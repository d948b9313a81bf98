"""The server and its keys: serve, keys."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from synthseg.cli.options import JsonOption, PresetArgument, PresetOption, SetOption, VerboseOption, finite, load
from synthseg.cli.output import console, new_table, print_json, print_line

if TYPE_CHECKING:
    from serving.state.keys import KeyStore


app = typer.Typer()


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
    config = load(preset, overrides, "", None, None, None)

    from synthseg.machine.availability import check_requirements

    check_requirements(config, "serve")

    from serving.deploy.server import serve_until_signal

    out = sys.stdout
    serve_until_signal(config, verbose=verbose, say=lambda line: print(line, file=out, flush=True))


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
        float | None, typer.Option("--image-seconds-per-min", min=0, callback=finite, metavar="S", help="Engine seconds; 0 sets no limit.")
    ] = None,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    store = _key_store(preset, settings)
    print_line(store.add(name, requests_per_min, image_seconds_per_min))


@keys.command("list")
def list_keys(
    preset: PresetOption = "embedded",
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the keys: name, id, limits, since when, and whether revoked. Never the key."""
    found = [record.public() for record in _key_store(preset, settings).records()]
    if as_json:
        print_json({"keys": found})
        return
    table = new_table("", "name", "id", "requests/min", "image s/min", "made", "revoked")
    for record in found:
        table.add_row(*("" if value is None else str(value) for value in record.values()))
    console().print(table)


@keys.command("revoke")
def revoke_key(
    name: KeyName,
    preset: PresetOption = "embedded",
    settings: SetOption = None,
) -> None:
    """End a key. Its jobs and files stay unreachable for every other key."""
    _key_store(preset, settings).revoke(name)
    print_line(f"revoked  {name}")


def _key_store(preset: str, settings: list[str] | None) -> KeyStore:
    from serving.state.keys import KeyStore, keys_path

    return KeyStore(keys_path(load(preset, settings, "", None, None, None).serving))
