"""Whether this run's images depend on their batch, measured once on the very replicas that make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.serve.handle import DeploymentHandle

from serving.deploy.build import image_handle
from synthseg.config.schema import RunConfig
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.engines.invariance import measure_invariance
from synthseg.store.run_folder import RunFolder

INVARIANCE = "invariance"
"""Section of metrics.json."""


class _Replicas:
    """The replicas as one engine. A list that is handed over at once is in their queue before a batch is formed of it."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    def generate(self, requests: Sequence[ImageRequest]) -> list[GeneratedImage | GenerationFailure]:
        """As `ImageEngine.generate`."""
        return list(self._handle.generate.remote(list(requests)).result())


def note_invariance(config: RunConfig, folder: RunFolder) -> None:
    """Measure it, unless an earlier start of this run did. The painter is left out: its images have no batch to depend on."""
    if config.images.engine == "painter" or INVARIANCE in folder.metrics():
        return
    measured = measure_invariance(_Replicas(image_handle(config)), config)
    folder.update_metrics({INVARIANCE: measured.as_dict()})
