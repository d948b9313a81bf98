from __future__ import annotations

from ray._private import parameter

from cluster.ray.dashboard_agent import any_agent_port


def test_the_port_is_free_to_choose_inside_and_fixed_outside() -> None:
    fixed = parameter.RayParams().dashboard_agent_listen_port
    with any_agent_port():
        assert parameter.RayParams().dashboard_agent_listen_port == 0
    assert parameter.RayParams().dashboard_agent_listen_port == fixed != 0
