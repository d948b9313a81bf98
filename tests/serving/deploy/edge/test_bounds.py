from __future__ import annotations

import resource

import pytest

from serving.deploy.edge.bounds import bounds_of
from synthseg.config.loading import load_config


@pytest.mark.parametrize(
    ("files", "connections"), [(1024, 329), (20_000, 7920), (1 << 20, 16_384), (resource.RLIM_INFINITY, 16_384), (10, 1)]
)
def test_as_many_connections_as_the_system_has_files_for(monkeypatch: pytest.MonkeyPatch, files: int, connections: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, files))
    assert bounds_of(load_config("embedded").serving).connections == connections


def test_an_answer_may_take_longer_than_the_deadline_by_a_minute_and_no_time_is_more_than_haproxy_counts() -> None:
    assert bounds_of(load_config("embedded", ["serving.deadline_s=600"]).serving).silence_s == 660
    endless = bounds_of(load_config("embedded", ["serving.deadline_s=1e12", "serving.request_timeout_s=1e12"]).serving)
    assert (endless.silence_s, endless.request_s) == (86_400, 86_400)
