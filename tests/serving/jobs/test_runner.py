"""What Ray answers when it refuses, forgets or goes away. That runs really start and stop is shown in tests/e2e/test_jobs.py."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from serving.jobs.runner import Found, RayRunner, RunnerUnavailable


class Client:
    """JobSubmissionClient with one answer to everything."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def submit_job(self, **_: Any) -> Any:
        return self._give()

    def get_job_info(self, _: str) -> Any:
        return self._give()

    def stop_job(self, _: str) -> Any:
        return self._give()

    def _give(self) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def runner(answer: Any) -> RayRunner:
    made = RayRunner()
    made._connected = Client(answer)
    return made


def info(status: str, message: str = "", exit_code: int | None = None, error_type: str | None = None) -> SimpleNamespace:
    ended = None if status in ("PENDING", "RUNNING") else 5000
    return SimpleNamespace(status=status, message=message, driver_exit_code=exit_code, error_type=error_type, end_time=ended)


def submit(made: RayRunner) -> None:
    made.submit("job_1-1", Path("/x.toml"), "/out", own_cluster=True)


def test_no_agent_yet_is_worth_another_try() -> None:
    refusal = RuntimeError("Request failed with status code 500: No available agent to submit job, please try again later..")
    with pytest.raises(RunnerUnavailable, match="No available agent"):
        submit(runner(refusal))


def test_a_job_is_submitted_once() -> None:
    submit(runner(RuntimeError("Job with submission_id job_1-1 already exists. Please use a different submission_id.")))


def test_a_job_that_ray_has_never_heard_of() -> None:
    assert runner(RuntimeError("Request failed with status code 404: Job job_1-1 does not exist.")).find("job_1-1") is None


def test_a_dashboard_that_is_gone_is_looked_up_again() -> None:
    gone = runner(requests.exceptions.ConnectionError("refused"))
    for call in (lambda: gone.find("x"), lambda: gone.stop("x"), lambda: submit(gone)):
        gone._connected = Client(requests.exceptions.ConnectionError("refused"))
        with pytest.raises(RunnerUnavailable, match="does not answer"):
            call()
        assert gone._connected is None


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (info("PENDING"), Found("going")),
        (info("RUNNING"), Found("going")),
        (info("SUCCEEDED"), Found("succeeded", "", 5.0)),
        (info("STOPPED"), Found("stopped", "", 5.0)),
        (
            info("FAILED", "failed with exit code 1, last available logs:\nimages: 3\nerror: images: disk full\n", 1),
            Found("failed", "images: disk full", 5.0),
        ),
        (info("FAILED", "failed with exit code -9. No logs available.", -9), Found("failed", "the run ended with exit code -9", 5.0)),
        (
            info("FAILED", "Job supervisor actor died: x", None, "JOB_SUPERVISOR_ACTOR_DIED"),
            Found("lost", "Job supervisor actor died: x", 5.0),
        ),
    ],
)
def test_states(answer: SimpleNamespace, found: Found) -> None:
    assert runner(answer).find("job_1-1") == found


def test_a_job_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.jobs.runner._REQUEST_TIMEOUT_S", 0.1)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)  # left by a Ray without dashboard that another test had
    with socket.create_server(("127.0.0.1", 0)) as silent:
        watchdog = threading.Timer(20, silent.close)
        watchdog.start()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr("ray.get_runtime_context", lambda: SimpleNamespace(gcs_address=address))
        with pytest.raises(RunnerUnavailable, match="ReadTimeout"):
            RayRunner().find("job_1-1")
        watchdog.cancel()
