"""What the prompt memory costs as it grows, and how often its clustered index decides as the flat one does.

OMP_NUM_THREADS=1 python -m benchmarks.memory

Rows are drawn as CLIP's embeddings of prompts lie: all near one mean, in classes, in scenes within a class, the rest along a falling
spectrum. Half of the queries are close variants of held rows, so that their nearest cosines lie on both sides of the threshold;
the other half are fresh draws. A decision is right when both indexes put the query on the same side of it. `insert_us` is the mean
over all rows so far, put in by blocks, the remaking of cells included; `insert_one_us` is the median of single rows between two of those.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.machine import machine, peak_memory_bytes, write_results
from synthseg.engines.scorer import Embeddings
from synthseg.method.prompts.indexes import NUM_PROBES, ClusteredIndex, FlatIndex

SIZES = (10_000, 100_000, 300_000, 1_000_000)
DIM = 512
BLOCK = 10_000
THRESHOLD = 0.92
NUM_CLASSES = 20
SCENES_PER_CLASS = 50
WEIGHTS = {"mean": 0.60, "class": 0.12, "scene": 0.12, "own": 0.16}
"""Shares of a row's squared length."""
NUM_QUERIES = 2_000
NUM_TIMED = 100
NUM_TIMED_FLAT = 20
NUM_INSERTED = 200
APART = 10**7
"""Numbers of the blocks that queries and single inserts come from, far from those of the rows."""


class Prompts:
    """Rows like the embeddings of prompts; the same block number gives the same rows."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        rng = np.random.default_rng(seed)
        spectrum = np.arange(1, DIM + 1) ** -0.5
        self._own = (spectrum / np.linalg.norm(spectrum)).astype(np.float32)
        self._mean = _unit(rng.standard_normal((1, DIM)))
        self._classes = _unit(rng.standard_normal((NUM_CLASSES, DIM)))
        self._scenes = _unit(rng.standard_normal((NUM_CLASSES * SCENES_PER_CLASS, DIM)))
        self._rotation = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0].astype(np.float32)

    def block(self, number: int, size: int = BLOCK) -> Embeddings:
        """Unit rows (size, D) of the block `number`."""
        rng = np.random.default_rng([self._seed, number])
        scenes = rng.integers(len(self._scenes), size=size)
        own = (rng.standard_normal((size, DIM), dtype=np.float32) * self._own) @ self._rotation
        parts = {"mean": self._mean, "class": self._classes[scenes // SCENES_PER_CLASS], "scene": self._scenes[scenes], "own": own}
        return _unit(sum(np.float32(np.sqrt(WEIGHTS[name])) * part for name, part in parts.items()))

    def variants(self, rows: Embeddings, number: int) -> Embeddings:
        """Each row (N, D) moved, along the same spectrum as rows differ, to a cosine of 0.85 to 0.99 with the old one, evenly spread."""
        rng = np.random.default_rng([self._seed, number, 1])
        cosine = rng.uniform(0.85, 0.99, (len(rows), 1)).astype(np.float32)
        moved = (rng.standard_normal(rows.shape, dtype=np.float32) * self._own) @ self._rotation
        moved -= (moved * rows).sum(axis=1, keepdims=True) * rows
        return _unit(cosine * rows + np.sqrt(1 - cosine**2) * _unit(moved))


def _unit(rows: Any) -> Embeddings:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def each_ms(call: Callable[[Embeddings], object], rows: Embeddings) -> float:
    """Median milliseconds of `call` with one row (1, D) at a time, as the agent asks."""
    seconds = []
    for row in rows:
        started = time.perf_counter()
        call(row[None])
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds) * 1e3)


def measure(prompts: Prompts, sizes: tuple[int, ...], start_at: int) -> list[dict[str, Any]]:
    """One line a size. The clustered index starts at `start_at` rows, as the memory's does; below there is the flat one only."""
    flat = FlatIndex(DIM)
    clustered: ClusteredIndex | None = None
    lines, num_blocks, bulk_s = [], 0, {"flat": 0.0, "clustered": 0.0}
    for size in sizes:
        while len(flat) < size:
            rows = prompts.block(num_blocks, min(BLOCK, size - len(flat)))
            num_blocks += 1
            bulk_s["flat"] += _seconds(flat.add, rows)
            if clustered is not None:
                bulk_s["clustered"] += _seconds(clustered.add, rows)
            elif len(flat) >= start_at:
                started = time.perf_counter()
                clustered = ClusteredIndex(flat.rows(), use_gpu=False)
                bulk_s["clustered"] += time.perf_counter() - started
        held = prompts.block(num_blocks // 2)[: NUM_QUERIES // 2]
        queries = np.concatenate([prompts.variants(held, size), prompts.block(APART + size, NUM_QUERIES // 2)])
        single = prompts.block(APART - size, NUM_INSERTED)
        line: dict[str, Any] = {"rows": size, "flat": {"query_ms": each_ms(flat.nearest, queries[:: NUM_QUERIES // NUM_TIMED_FLAT])}}
        line["flat"]["insert_us"] = bulk_s["flat"] / size * 1e6
        if clustered is not None:
            line["clustered"] = {"query_ms": each_ms(clustered.nearest, queries[:: NUM_QUERIES // NUM_TIMED])}
            line["clustered"]["insert_us"] = bulk_s["clustered"] / size * 1e6
            line["agreement"] = agreement(flat.nearest(queries), clustered.nearest(queries))
            line["clustered"]["insert_one_us"] = each_ms(clustered.add, single) * 1e3
            line["clustered"]["num_cells"] = clustered.num_cells
        line["flat"]["insert_one_us"] = each_ms(flat.add, single) * 1e3
        print(json.dumps(line), flush=True)
        lines.append(line)
    return lines


def _seconds(call: Callable[[Embeddings], object], rows: Embeddings) -> float:
    started = time.perf_counter()
    call(rows)
    return time.perf_counter() - started


def agreement(exact: Embeddings, found: Embeddings) -> dict[str, float]:
    """Shares of queries on which `found` (N,) says the same as `exact` (N,)."""
    near = np.abs(exact - THRESHOLD) < 0.02
    same = (exact >= THRESHOLD) == (found >= THRESHOLD)
    return {
        "decisions": float(same.mean()),
        "decisions_within_0.02_of_the_threshold": float(same[near].mean()) if near.any() else 1.0,
        "num_within_0.02": int(near.sum()),
        "recall_at_1_above_the_threshold": float((found >= exact - 1e-5)[exact >= THRESHOLD].mean()),
        "recall_at_1": float((found >= exact - 1e-5).mean()),
        "share_above_the_threshold": float((exact >= THRESHOLD).mean()),
        "largest_shortfall": float((exact - found).max()),
    }


def main() -> None:
    """Measure, print and write benchmarks/results/memory.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--start-at", type=int, default=SIZES[0], help="rows from which the clustered index is measured, too")
    arguments = parser.parse_args()
    lines = measure(Prompts(), tuple(arguments.sizes), arguments.start_at)
    settings = {"dim": DIM, "threshold": THRESHOLD, "num_probes": NUM_PROBES, "num_queries": NUM_QUERIES}
    results = {**machine("faiss-cpu", "faiss-gpu", "numpy"), "settings": settings, "peak_memory_bytes": peak_memory_bytes(), "sizes": lines}
    if tuple(arguments.sizes) == SIZES:
        print(write_results("memory", results))


if __name__ == "__main__":
    main()
