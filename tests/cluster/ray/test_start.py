"""How Ray is started, with `ray.init` replaced by something that only looks around."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from cluster.ray import start as ray_start


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
