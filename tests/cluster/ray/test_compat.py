"""What Ray calls private is used in one module, which was written for one version of Ray."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import ray

from cluster.ray import compat
from tests.test_imports import FLOORS, ROOT, imports, modules

PRIVATE = re.compile(r"ray\.(_|.*\._)")
INTERNAL = re.compile(r"map_batches_internal|_by_reference=")


def test_the_private_corners_were_looked_at_for_this_version_of_ray() -> None:
    assert ray.__version__ == "2.60.0", "look at every name of cluster/ray/compat.py in the new version, then name it here and there"
    assert ray.__version__ in (compat.__doc__ or "")


@pytest.mark.parametrize("package", FLOORS)
def test_no_other_module_uses_them(package: str) -> None:
    here = Path(compat.__file__)
    for module, path in modules(package):
        source = path.read_text(encoding="utf-8")
        if path != here:
            private = [name for name in imports(source, module, is_package=path.name == "__init__.py") if PRIVATE.match(name)]
            assert not private, f"{path.relative_to(ROOT)}: {private}"
            assert not INTERNAL.search(source), path.relative_to(ROOT)


def test_the_errors_of_ray_train_have_these_names() -> None:
    from ray.train.v2._internal import exceptions

    for name in (compat.NO_ROOM_ERROR, *compat.LOST_WORKER_ERRORS):
        assert issubclass(getattr(exceptions, name), Exception)


def test_the_agents_port_is_free_to_choose_inside_and_fixed_outside() -> None:
    from ray._private import parameter

    fixed = parameter.RayParams().dashboard_agent_listen_port
    with compat.any_agent_port():
        assert parameter.RayParams().dashboard_agent_listen_port == 0
    assert parameter.RayParams().dashboard_agent_listen_port == fixed != 0
