"""Ray's patience, with its parts replaced; tests/chaos/test_ray.py has them slow for real."""

from __future__ import annotations

import os
import subprocess
import time
from types import SimpleNamespace
from typing import Any

import pytest
from ray._private import ray_constants, services

from cluster.ray.patience import NotUpError, patient

NAMES = ("RAY_gcs_server_port_wait_time_s", "RAY_raylet_start_wait_time_s", "RAY_agent_register_timeout_ms")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name not in NAMES})


def not_registered(*_: Any) -> None:
    raise RuntimeError("no such node")


def test_ray_is_told_to_wait_and_finds_its_own_ways_again() -> None:
    before = services.get_node, services.start_raylet, ray_constants.RAY_DASHBOARD_STARTUP_TIMEOUT_S
    with patient(300.5):
        assert [os.environ[name] for name in NAMES] == ["301", "301", "301000"]
        assert ray_constants.RAY_DASHBOARD_STARTUP_TIMEOUT_S == 301
    assert (services.get_node, services.start_raylet, ray_constants.RAY_DASHBOARD_STARTUP_TIMEOUT_S) == before


def test_a_short_patience_takes_nothing_from_rays_own_and_an_endless_one_is_a_day() -> None:
    with patient(1):
        assert [os.environ[name] for name in NAMES] == ["30", "30", "100000"]
    for name in NAMES:
        del os.environ[name]
    with patient(1e18):
        assert [os.environ[name] for name in NAMES] == ["86400", "86400", "86400000"]


def test_the_node_is_asked_for_until_it_has_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def third_time(*_: Any) -> dict[str, str]:
        asked.append(time.monotonic())
        return {"node": "here"} if len(asked) == 3 else not_registered()  # type: ignore[func-returns-value]

    monkeypatch.setattr(services, "get_node", third_time)
    with patient(30):
        assert services.get_node("address", "id") == {"node": "here"}


def test_the_end_of_patience_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "get_node", not_registered)
    with patient(0.5), pytest.raises(NotUpError, match=r"^execution\.stall_timeout_s: Ray on this machine was not up after 0\.5 s;"):
        services.get_node("address", "id")


def test_a_raylet_that_has_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "get_node", not_registered)
    monkeypatch.setattr(services, "start_raylet", lambda: SimpleNamespace(process=subprocess.Popen(["sh", "-c", "exit 3"])))
    with patient(60):
        services.start_raylet()
        with pytest.raises(NotUpError, match=r"^execution\.address: Ray's raylet has ended while it started \(exit code 3\)$"):
            services.get_node("address", "id")
