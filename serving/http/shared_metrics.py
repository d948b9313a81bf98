"""One `/metrics` over several gateway replicas: Prometheus reaches any one of them, so each shows the sum of all."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from synthseg.machine.whole_file import whole

PUBLISH_S: Final = 5.0
"""Seconds between two publications of a gateway's numbers."""
_ALIVE_S: Final = 4 * PUBLISH_S
"""A gateway that has been silent for longer holds no request any more; what it counted still counts."""
_ENDED_S: Final = 3600.0


class GatewayMetrics:
    """Publishes this gateway's numbers in a folder that all share, and adds up what lies there."""

    def __init__(
        self,
        registry: CollectorRegistry,
        folder: Path,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._registry = registry
        self._folder = folder
        self._own = folder / f"{uuid.uuid4().hex}.prom"
        self._past = folder / "past.prom"
        self._clock = clock
        self._uptime = uptime
        self._unchanged: dict[Path, tuple[float, float]] = {}
        """When each other file was written, and since when this gateway has seen it so."""

    def publish(self) -> None:
        """Write this gateway's numbers for the others; add those of gateways that have ended to one file."""
        self._write(self._own, generate_latest(self._registry))
        if ended := self._ended():
            self._add_to_past(ended)

    async def publish_for_ever(self) -> None:
        """Publish now and every few seconds; cancel it to end."""
        while True:
            await asyncio.to_thread(self.publish)
            await asyncio.sleep(PUBLISH_S)

    def render(self) -> bytes:
        """The sum over all gateways, with this one's numbers of this moment."""
        texts = [(generate_latest(self._registry).decode(), True)]
        with self._locked(fcntl.LOCK_SH):
            texts += [(path.read_text(encoding="utf-8"), self._clock() - written <= _ALIVE_S) for path, written in self._others()]
            texts += _ended_texts([self._past])
        return _sum(texts)

    def _ended(self) -> list[Path]:
        """Files of ended gateways: unchanged for an hour of this one's own time, which stands still while the machine sleeps."""
        now, before = self._uptime(), self._unchanged
        self._unchanged = {
            path: before[path] if path in before and before[path][0] == written else (written, now) for path, written in self._others()
        }
        return [path for path, (_, since) in self._unchanged.items() if now - since > _ENDED_S]

    def _add_to_past(self, ended: Sequence[Path]) -> None:
        """No reader may see a number twice or not at all: to Prometheus, a counter that goes down has begun anew."""
        with self._locked(fcntl.LOCK_EX):
            self._write(self._past, _sum(_ended_texts([self._past, *ended])))
            for path in ended:
                path.unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        with whole(path, durable=False) as temporary:
            temporary.write_bytes(content)
            os.utime(temporary, (self._clock(), self._clock()))

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        with (self._folder / "lock").open("ab") as file:
            fcntl.flock(file, kind)
            yield

    def _others(self) -> Iterator[tuple[Path, float]]:
        """Files of the other gateways, and when each was written."""
        for path in sorted(self._folder.glob("*.prom")):
            if path not in (self._own, self._past):
                try:
                    yield path, path.stat().st_mtime
                except FileNotFoundError:  # another gateway has just added it to the past
                    continue


def _ended_texts(paths: Iterable[Path]) -> list[tuple[str, bool]]:
    return [(path.read_text(encoding="utf-8"), False) for path in paths if path.exists()]


def _sum(texts: Iterable[tuple[str, bool]]) -> bytes:
    total = CollectorRegistry()
    total.register(_Sum(texts))
    return generate_latest(total)


class _Sum(Collector):
    """Adds samples of equal name and labels; gauges only of gateways that are alive."""

    def __init__(self, texts: Iterable[tuple[str, bool]]) -> None:
        self._texts = list(texts)

    def collect(self) -> Iterator[Metric]:
        """One family a number."""
        families: dict[str, Metric] = {}
        sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
        for text, alive in self._texts:
            for family in text_string_to_metric_families(text):
                if family.type == "gauge" and not alive:
                    continue
                families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                samples = sums.setdefault(family.name, {})
                for sample in family.samples:
                    key = (sample.name, tuple(sample.labels.items()))
                    samples[key] = samples.get(key, 0.0) + sample.value
        for name, family in families.items():
            for (sample_name, labels), value in sums[name].items():
                family.add_sample(sample_name, dict(labels), value)
            yield family
