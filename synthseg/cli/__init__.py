"""The front door. Commands import what they need when they run, so that help and mistakes answer at once.

Exit codes: 0 fine, 1 failed, 2 usage, 130 interrupted, 143 terminated, 129 hung up.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from pathlib import Path
from typing import Final

import typer

from synthseg.cli.root import app
from synthseg.errors import SynthSegError
from synthseg.machine import interrupt
from synthseg.redaction import redacted

_USAGE: Final = 2
_SHOWN_CHARACTERS: Final = 400


def main() -> None:
    """Entry point: run the command, say what went wrong in one line, exit with its code."""
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        # In such a locale Python, Arrow and the processes of Ray would read one path in several ways: begin again with UTF-8 for all.
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very command
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
        print(redacted("".join(traceback.format_exception(error))), end="", file=sys.stderr)  # noqa: T201 (as Python itself would)
        return 1
    return _fail(f"unexpected {type(error).__name__} at {_origin(error)}: {redacted(str(error))[:_SHOWN_CHARACTERS]}", 1)


def _origin(error: BaseException) -> str:
    """file:line where `error` was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "an unknown place"


def _fail(message: str, code: int) -> int:
    print("error: " + redacted(" ".join(message.split())), file=sys.stderr)  # noqa: T201 (one plain line, never wrapped)
    return code
