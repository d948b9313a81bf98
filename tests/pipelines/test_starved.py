"""A cluster that has no room for a run: the run ends and says so, instead of waiting for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from pipelines.session import ray_session
from serving.deploy.build import deploy_engines, image_app, release
from synthseg.config import load_config
from synthseg.config.schema import RunConfig
from synthseg.errors import RunFailure

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def config() -> RunConfig:
    return load_config("embedded", ["execution.stall_timeout_s=3"])


@pytest.fixture
def starved(config: RunConfig) -> Iterator[None]:
    with ray_session(config, verbose=False):
        hog = ray.remote(num_cpus=ray.cluster_resources()["CPU"])(Hog).remote()
        ray.get(hog.hold.remote())
        yield


class Hog:
    """Holds what it asked for."""

    def hold(self) -> None:
        pass


def test_replicas_without_room_end_the_run(starved: None, config: RunConfig) -> None:
    wanted = (
        r"^stalled: 2 replicas of 0\.25 CPU did not start within 3 s; the cluster has 0 CPU free; free more or lower execution\.workers; "
    )
    with pytest.raises(RunFailure, match=wanted):
        deploy_engines(config, text=False, image=True)
    release(image_app(config))
