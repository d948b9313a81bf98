"""The two ways a command ends badly. Each message is one line that names the thing at fault and the way out."""

from __future__ import annotations

from synthseg.redaction import redacted


class SynthSegError(Exception):
    """Base of the errors this project raises on purpose; `exit_code` is what the command line ends with.

    A location in the message may hold credentials: they are hidden here, whoever words it.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(redacted(message))


class UsageProblem(SynthSegError):
    """What the user gave cannot work: unknown name, bad value, wrong folder. Raised before any model loads."""

    exit_code = 2


class RunFailure(SynthSegError):
    """The run itself could not go on: a stage without progress, outcomes that do not add up."""


class DiskFull(RunFailure):
    """No space is left for what the run must write. What was published before stays, and the same command resumes."""


class CorruptData(SynthSegError):
    """Stored data does not match its marker or schema; the message names the file and what to do."""
