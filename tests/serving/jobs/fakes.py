"""A runner that starts nothing, for what the service does about refusals, losses and stops that a real cluster shows only now and then."""

from __future__ import annotations

from pathlib import Path

from serving.jobs.runner import Found, RunnerUnavailable
from synthseg.config import RunConfig, load_config


class FakeRunner:
    """Remembers what it was asked; tests say what has become of it."""

    def __init__(self, becomes: Found = Found("going")) -> None:  # noqa: B008 (frozen)
        self.becomes = becomes
        self.known: dict[str, Found] = {}
        self.configs: dict[str, RunConfig] = {}
        self.outs: list[str] = []
        self.own_cluster: list[bool] = []
        self.stopped: list[str] = []
        self.away = False

    @property
    def submitted(self) -> list[str]:
        return list(self.configs)

    def submit(self, submission_id: str, config_file: Path, out: str, *, own_cluster: bool) -> None:
        self._check()
        self.configs[submission_id] = load_config(str(config_file))
        self.outs.append(out)
        self.own_cluster.append(own_cluster)
        self.known[submission_id] = self.becomes

    def find(self, submission_id: str) -> Found | None:
        self._check()
        return self.known.get(submission_id)

    def stop(self, submission_id: str) -> None:
        self._check()
        self.stopped.append(submission_id)
        self.known[submission_id] = Found("stopped")

    def _check(self) -> None:
        if self.away:
            raise RunnerUnavailable("No available agent to submit job, please try again later.")
