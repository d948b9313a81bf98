"""Nearest-neighbour indexes over unit rows, by inner product, that grow one row at a time.

`FlatIndex` compares a query with every row. `ClusteredIndex` compares it with the rows of the cells nearest to it (an inverted file
over k-means cells, Jegou et al., arXiv 1702.08734); its cells are made anew whenever it has doubled, so that there are always
about sqrt(N) of them and a query costs about sqrt(N) too.

Both follow from the rows and their order alone: k-means has a fixed seed and one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import faiss as typed_faiss
import numpy as np

from synthseg.engines.scorer import Embeddings

faiss: Any = typed_faiss
"""Its types lack what the classes inherit."""
NUM_PROBES: Final = 32
"""Cells a query looks into. benchmarks/memory.py measures what that misses."""
POINTS_PER_CELL: Final = 64
"""Rows k-means learns each cell from, at most."""
KMEANS_ITERATIONS: Final = 8
SEED: Final = 1234


class Index(Protocol):
    """Unit rows (D,) in the order they were added."""

    def __len__(self) -> int: ...

    def add(self, rows: Embeddings) -> None:
        """Hold the unit rows (N, D)."""
        ...

    def nearest(self, rows: Embeddings) -> Embeddings:
        """Inner product (N,) of each unit row (N, D) with the nearest held row; -1 where nothing is held or found."""
        ...

    def rows(self) -> Embeddings:
        """All held rows (N, D), in order."""
        ...


class FlatIndex:
    """Exact search over all rows."""

    def __init__(self, dim: int) -> None:
        self._index = faiss.IndexFlatIP(dim)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, rows: Embeddings) -> None:
        """See Index."""
        self._index.add(_contiguous(rows))

    def nearest(self, rows: Embeddings) -> Embeddings:
        """See Index."""
        return _best(self._index, rows)

    def rows(self) -> Embeddings:
        """See Index."""
        return _reconstructed(self._index)


class ClusteredIndex:
    """Search in the nearest cells only, on the GPU where there is one and this build of FAISS can use it."""

    def __init__(self, rows: Embeddings, *, use_gpu: bool | None = None) -> None:
        """Start with `rows` (N, D), N > 0. `use_gpu` None asks the machine."""
        self._resources: Any = faiss.StandardGpuResources() if (has_gpu() if use_gpu is None else use_gpu) else None
        self._build(_contiguous(rows))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, rows: Embeddings) -> None:
        """See Index. Takes long each time the index has doubled."""
        self._index.add(_contiguous(rows))
        if len(self) >= 2 * self._built_at:
            self._build(self.rows())

    def nearest(self, rows: Embeddings) -> Embeddings:
        """See Index. A held row that is no further than the true nearest one; nearly always that one."""
        return _best(self._index, rows)

    def rows(self) -> Embeddings:
        """See Index."""
        if self._resources is None:
            return _reconstructed(self._index)
        host = faiss.index_gpu_to_cpu(self._index)
        host.set_direct_map_type(faiss.DirectMap.Array)
        return _reconstructed(host)

    @property
    def num_cells(self) -> int:
        """Cells the rows are spread over."""
        return int(self._index.nlist)

    def _build(self, rows: Embeddings) -> None:
        """Make the cells for `rows` (N, D) and put the rows into them."""
        count, dim = rows.shape
        num_cells = 1 << max(0, round(np.log2(np.sqrt(count))))
        index: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, num_cells, faiss.METRIC_INNER_PRODUCT)
        settings = index.cp
        settings.niter, settings.seed, settings.spherical = KMEANS_ITERATIONS, SEED, True
        # FAISS wants 39 rows a cell; a small index has what it has.
        settings.min_points_per_centroid, settings.max_points_per_centroid = 1, POINTS_PER_CELL
        with _one_thread():
            index.train(rows)
        index.nprobe = min(NUM_PROBES, num_cells)
        if self._resources is None:
            index.set_direct_map_type(faiss.DirectMap.Array)
        else:
            index = faiss.index_cpu_to_gpu(self._resources, 0, index)
        index.add(rows)
        self._index, self._built_at = index, count


def has_gpu() -> bool:
    """Whether FAISS is a GPU build and sees a GPU."""
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, whatever the machine has; FAISS knows one setting for the whole process."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _best(index: Any, rows: Embeddings) -> Embeddings:
    if index.ntotal == 0:
        return np.full(len(rows), -1, np.float32)
    similarities, _ = index.search(_contiguous(rows), 1)
    # FAISS answers the lowest float where the cells looked into are empty.
    best: Embeddings = np.maximum(similarities[:, 0], np.float32(-1))
    return best


def _reconstructed(index: Any) -> Embeddings:
    rows: Embeddings = index.reconstruct_n(0, index.ntotal) if index.ntotal else np.zeros((0, index.d), np.float32)
    return rows


def _contiguous(rows: Embeddings) -> Embeddings:
    return np.ascontiguousarray(rows, np.float32)
