"""What can be known to be missing before Ray or any model starts."""

from __future__ import annotations

from synthseg.config.schema import RunConfig
from synthseg.engines.availability import missing_requirements
from synthseg.errors import UsageProblem


def preflight(config: RunConfig) -> None:
    """UsageProblem that lists everything the run needs and this machine lacks."""
    missing = missing_requirements(config)
    if missing:
        raise UsageProblem(f"{config.preset}: not ready to run: " + "; ".join(missing))
