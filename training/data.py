"""What a training learns from: encoded images and masks by number, wherever they lie.

A training worker holds labels and names; pictures come from shards of OUT through a bounded cache on its own machine's disk. So neither
the driver nor a worker grows with the number of samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthseg.store.blobs import BlobCache
from synthseg.store.shards import Stage


class Samples(Protocol):
    """Training samples in a fixed order. Pickled once and sent to every worker."""

    @property
    def labels(self) -> NDArray[np.int8]:
        """(N, K) of 1 (present), 0 (absent) and -1 (unknown)."""
        ...

    @property
    def content(self) -> list[list[str]]:
        """For each sample the hashes of what it is made of: they make up the identity of a training."""
        ...

    def image(self, index: int) -> bytes:
        """Its encoded image."""
        ...

    def mask(self, index: int) -> bytes:
        """Its mask, as `records.Mask` has it. LookupError where the samples have none."""
        ...


@dataclass(frozen=True, slots=True)
class HeldSamples:
    """Samples held in memory, for the few of a test or an experiment."""

    images: Sequence[bytes]
    labels: NDArray[np.int8]
    content: list[list[str]]
    masks: Sequence[bytes] = ()

    def image(self, index: int) -> bytes:
        """As `Samples`."""
        return self.images[index]

    def mask(self, index: int) -> bytes:
        """As `Samples`."""
        return self.masks[index]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an encoded picture lies: shard, row, and its own hash."""

    shard: str
    row: int
    sha256: str


@dataclass(slots=True)
class StoredSamples:
    """Samples of the published shards of the run in `out`."""

    out: str
    images: list[Place]
    labels: NDArray[np.int8]
    cache_bytes: int
    masks: list[Place] = field(default_factory=list)
    _caches: dict[Stage, BlobCache] = field(default_factory=dict, init=False, repr=False)

    @property
    def content(self) -> list[list[str]]:
        """As `Samples`."""
        hashes = [[image.sha256] for image in self.images]
        return [[*known, mask.sha256] for known, mask in zip(hashes, self.masks, strict=True)] if self.masks else hashes

    def image(self, index: int) -> bytes:
        """As `Samples`. CorruptData where the shard is not as it was published."""
        place = self.images[index]
        return self._cache("images").read(place.shard, place.row, place.sha256)

    def mask(self, index: int) -> bytes:
        """As `Samples`. CorruptData as for images."""
        place = self.masks[index]
        return self._cache("masks").read(place.shard, place.row, place.sha256)

    def _cache(self, stage: Stage) -> BlobCache:
        if stage not in self._caches:
            self._caches[stage] = BlobCache(self.out, stage, self.cache_bytes)
        return self._caches[stage]

    def __getstate__(self) -> dict[str, object]:
        """Without what belongs to this process."""
        names = ("out", "images", "labels", "cache_bytes", "masks")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, object]) -> None:
        """As it was sent."""
        for name, value in {**state, "_caches": {}}.items():
            setattr(self, name, value)
