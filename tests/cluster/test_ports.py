from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cluster import ports
from synthseg.errors import RunFailure


def test_a_free_port_is_not_one_that_outgoing_connections_take() -> None:
    told = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(told.read_text(encoding="utf-8").split()[0]) if told.exists() else 32768
    for host in ("127.0.0.1", "0.0.0.0"):
        assert 1024 < ports.free_port(host) < first


def test_a_port_in_use_is_left_out_and_none_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        used = taken.getsockname()[1]
        monkeypatch.setattr(ports, "_RANGE", range(used, used + 1))
        monkeypatch.setattr(ports, "_TRIES", 1)
        with pytest.raises(RunFailure, match=r"^serving.port: no free port"):
            ports.free_port("127.0.0.1")


def test_who_holds_a_port_is_named_with_its_process() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert ports.port_is_free("127.0.0.1", port) is False
        held.listen()
        assert ports.owner_of(port).endswith(f"(process {os.getpid()})")
    assert ports.owner_of(port) == "another program"
