"""Small random image towers of both kinds, for the tests of this folder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from synthseg.config.schema import RunConfig
from synthseg.method.networks.frozen import FrozenParts
from tests.small_models import KINDS, random_parts, small_config, timm_clip


@pytest.fixture(params=KINDS)
def clip(request: pytest.FixtureRequest) -> nn.Module:
    """Each kind of model in turn."""
    return KINDS[request.param]()


@pytest.fixture
def average_pooled_clip() -> nn.Module:
    """The kind without class token."""
    return timm_clip(False)


@pytest.fixture
def config() -> RunConfig:
    """A run of three classes at 32 px with a decoder of 16 channels."""
    return small_config()


@pytest.fixture
def parts(config: RunConfig) -> FrozenParts:
    """Random frozen parts that fit `config`."""
    return random_parts(config, torch.device("cpu"))
