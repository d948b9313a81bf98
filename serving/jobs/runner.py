"""Starting, finding and stopping runs through Ray's job API. Every method blocks: call it in a thread.

The run gets its configuration as a file and nothing else: no working directory is packed or uploaded. It starts a small Ray
cluster of its own, because the replicas of the serving cluster hold logical CPUs for as long as they live: of two CPUs four
replicas hold one, and the smallest run inside that cluster was still waiting for a place for its workers after five minutes
(with four CPUs it took a minute and a half). What a killed run leaves there (replicas, data workers) would stay, too. Where
`execution.address` names a cluster, or replicas need GPUs, the run joins it: give that cluster room for both.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

STOP_WAIT_S: Final = 30
"""Time between Ctrl-C and SIGKILL for a run that is stopped. Ray's own 3 s cut a shard that is nearly written."""

_REQUEST_TIMEOUT_S: Final = 30.0
"""Ray's own client waits for its job server without end."""

RunState = Literal["going", "succeeded", "failed", "stopped", "lost"]

_STATES: Final[Mapping[str, RunState]] = {"SUCCEEDED": "succeeded", "STOPPED": "stopped"}

_LOST: Final = frozenset({"JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_START_FAILURE", "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"})
"""Ray's error types for a run that ended with the process that watched it, through no fault of its own."""


class RunnerUnavailable(Exception):
    """Ray's job server does not answer, or cannot take a job yet."""


@dataclass(frozen=True, slots=True)
class Found:
    """What Ray knows of one start."""

    state: RunState
    message: str = ""
    ended_at: float | None = None


class Runner(Protocol):
    """Whoever carries runs out."""

    def submit(self, submission_id: str, config_file: Path, out: str, *, own_cluster: bool) -> None:
        """Start the run; a second submission under one id changes nothing. RunnerUnavailable when it cannot be started now."""
        ...

    def find(self, submission_id: str) -> Found | None:
        """How it is; None for an id that was never submitted, or was before the cluster was started anew."""
        ...

    def stop(self, submission_id: str) -> None:
        """Ask the run to end, as Ctrl-C does. It is over when `find` says so."""
        ...


class RayRunner:
    """Runs as Ray jobs of the cluster that this process belongs to."""

    def __init__(self) -> None:
        self._connected: Any = None

    def submit(self, submission_id: str, config_file: Path, out: str, *, own_cluster: bool) -> None:
        """Start `synthseg run` on the head node."""
        environment = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S)}
        command = [sys.executable, "-m", "synthseg", "run", str(config_file), "--out", out]
        if own_cluster:
            # Ray hands a job the address and the runtime environment of the cluster that started it; this run has its own.
            command = ["env", "-u", "RAY_ADDRESS", "-u", "RAY_JOB_CONFIG_JSON_ENV_VAR", *command]
        try:
            # `exec`: the signal must reach the run and not a shell around it.
            self._client().submit_job(
                entrypoint=f"exec {shlex.join(command)}", submission_id=submission_id, runtime_env={"env_vars": environment}
            )
        except RuntimeError as error:
            if "already exists" not in str(error):
                raise RunnerUnavailable(_last_line(str(error))) from error
        except OSError as error:
            raise self._lost_connection(error) from error

    def find(self, submission_id: str) -> Found | None:
        """The job's state in Ray."""
        try:
            info = self._client().get_job_info(submission_id)
        except RuntimeError as error:
            if "status code 404" in str(error):
                return None
            raise RunnerUnavailable(_last_line(str(error))) from error
        except OSError as error:
            raise self._lost_connection(error) from error
        ended_at = info.end_time / 1000 if info.end_time else None
        status = str(info.status.value if hasattr(info.status, "value") else info.status)
        if status == "FAILED":
            state: RunState = "lost" if str(info.error_type or "").rpartition(".")[2] in _LOST else "failed"
            return Found(state, _reason(info.message or "", info.driver_exit_code), ended_at)
        return Found(_STATES.get(status, "going"), "", ended_at)

    def stop(self, submission_id: str) -> None:
        """SIGINT to the run and its children; Ray's own processes keep it blocked."""
        try:
            self._client().stop_job(submission_id)
        except RuntimeError as error:
            raise RunnerUnavailable(_last_line(str(error))) from error
        except OSError as error:
            raise self._lost_connection(error) from error

    def _client(self) -> Any:
        """A client of this process's own cluster, made when it is first needed."""
        if self._connected is None:
            import ray
            from ray.job_submission import JobSubmissionClient

            class Client(JobSubmissionClient):
                def _do_request(self, *arguments: Any, **options: Any) -> Any:
                    return super()._do_request(*arguments, timeout=_REQUEST_TIMEOUT_S, **options)

            try:
                self._connected = Client(ray.get_runtime_context().gcs_address)
            except (RuntimeError, ConnectionError) as error:
                raise RunnerUnavailable(_last_line(str(error))) from error
        return self._connected

    def _lost_connection(self, error: OSError) -> RunnerUnavailable:
        """The dashboard may come back at another address: ask for it again next time."""
        self._connected = None
        return RunnerUnavailable(f"Ray's job server does not answer ({type(error).__name__})")


def _reason(message: str, exit_code: int | None) -> str:
    """The command line's own `error: ...` line out of the log's tail."""
    lines = [line.removeprefix("error: ") for line in message.splitlines() if line.startswith("error: ")]
    if lines:
        return lines[-1]
    return f"the run ended with exit code {exit_code}" if exit_code is not None else _last_line(message)


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
