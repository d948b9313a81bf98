"""How Ray is started: once for real, else with `ray.init` replaced by something that only looks around."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from cluster.ray import start as ray_start

JOB = """
import sys
import time
import ray
from ray.job_submission import JobSubmissionClient
from cluster.ray.compat import any_agent_port, own_node
from cluster.ray.start import start_ray, stop_ray

with any_agent_port():
    start_ray("", 1, dashboard=True, verbose=False, patience_s=120, way_out="")
jobs = JobSubmissionClient("http://" + own_node().webui_url)
job = jobs.submit_job(entrypoint=sys.executable + " -c 'import ray; ray.init(); print(ray.get(ray.remote(lambda: 6 * 7).remote()))'")
while not (status := jobs.get_job_status(job)).is_terminal():
    time.sleep(0.2)
print(status, jobs.get_job_logs(job))
stop_ray()
"""


def test_a_ray_of_ones_own_takes_jobs_although_it_is_on_loopback() -> None:
    # A run has none of the dashboard, and may have told this process so.
    environment = {name: value for name, value in os.environ.items() if name != "RAY_API_SERVER_ADDRESS"}
    done = subprocess.run([sys.executable, "-c", JOB], env=environment, capture_output=True, encoding="utf-8", timeout=110, check=False)
    assert "SUCCEEDED" in done.stdout, done.stderr
    assert "42" in done.stdout


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux has these scheduling policies")
def test_what_ray_starts_does_not_interrupt_what_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = []

    def start_a_process(**_: Any) -> None:
        said = subprocess.run(
            [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"], capture_output=True, check=True, encoding="utf-8"
        )
        policies.append(int(said.stdout))

    monkeypatch.setattr(ray_start.ray, "init", start_a_process)
    monkeypatch.setattr(ray_start, "processes_of", lambda _: {})
    monkeypatch.setattr(os, "environ", os.environ.copy())
    before = os.sched_getscheduler(0)

    ray_start.start_ray("", 2, dashboard=False, verbose=True, patience_s=60, way_out="again")

    assert policies == [os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == before
