"""One `/metrics` over several gateway replicas: Prometheus reaches any one of them, so each shows the sum of all."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

PUBLISH_S: Final = 5.0
"""Seconds between two publications of a gateway's numbers."""
_ALIVE_S: Final = 4 * PUBLISH_S
"""A gateway that has been silent for longer holds no request any more; what it counted still counts."""
_FORGET_S: Final = 86_400.0


class GatewayMetrics:
    """Publishes this gateway's numbers in a folder that all share, and adds up what lies there."""

    def __init__(self, registry: CollectorRegistry, folder: Path, clock: Callable[[], float] = time.time) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._registry = registry
        self._folder = folder
        self._own = folder / f"{uuid.uuid4().hex}.prom"
        self._clock = clock

    def publish(self) -> None:
        """Write this gateway's numbers for the others; remove those of gateways that ended a day ago."""
        temporary = self._own.with_suffix(".tmp")
        temporary.write_bytes(generate_latest(self._registry))
        os.utime(temporary, (self._clock(), self._clock()))
        temporary.replace(self._own)
        for path, age_s in self._others():
            if age_s > _FORGET_S:
                path.unlink(missing_ok=True)

    async def publish_for_ever(self) -> None:
        """Publish now and every few seconds; cancel it to end."""
        while True:
            await asyncio.to_thread(self.publish)
            await asyncio.sleep(PUBLISH_S)

    def render(self) -> bytes:
        """The sum over all gateways, with this one's numbers of this moment."""
        texts = [(generate_latest(self._registry).decode(), True)]
        for path, age_s in self._others():
            try:
                texts.append((path.read_text(encoding="utf-8"), age_s <= _ALIVE_S))
            except FileNotFoundError:
                continue
        total = CollectorRegistry()
        total.register(_Sum(texts))
        return generate_latest(total)

    def _others(self) -> Iterator[tuple[Path, float]]:
        """Files of the other gateways, with their age in seconds."""
        for path in sorted(self._folder.glob("*.prom")):
            if path != self._own:
                try:
                    yield path, self._clock() - path.stat().st_mtime
                except FileNotFoundError:
                    continue


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
