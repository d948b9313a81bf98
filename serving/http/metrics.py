"""What Prometheus reads at `/metrics`. Every name starts with `synthseg_`; docs/serving.md explains each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.engines.stats import EngineStats
from serving.http.shared_metrics import GatewayMetrics
from synthseg.engines.text import TextReply

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

disable_created_metrics()  # a series of birth times beside every counter, which nobody plots


class Metrics:
    """The gateway's own counters, in a registry of their own so that two applications in one process do not meet."""

    def __init__(self, shared: Path | None = None) -> None:
        """`shared` is the folder in which several gateways add their numbers up."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "synthseg_http_requests", "Finished requests.", ("route", "method", "status"), registry=self.registry
        )  # exported as synthseg_http_requests_total
        self.seconds = Histogram(
            "synthseg_http_request_seconds", "Time to the last byte of the answer.", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self.in_flight = Gauge("synthseg_http_requests_in_flight", "Requests being answered.", registry=self.registry)
        self.refusals = Counter("synthseg_refusals", "Requests that were refused, by error code.", ("reason",), registry=self.registry)
        self.disconnects = Counter("synthseg_client_disconnects", "Clients that left before their answer.", registry=self.registry)
        self.images = Counter("synthseg_images", "Images by outcome: ok, unsafe or failed.", ("model", "outcome"), registry=self.registry)
        self.image_seconds = Counter("synthseg_image_seconds", "Engine seconds spent on images.", ("model",), registry=self.registry)
        self.tokens = Counter("synthseg_tokens", "Tokens of text: prompt or completion.", ("direction",), registry=self.registry)
        self.prompts = Counter("synthseg_prompts", "Prompts that the agent accepted.", registry=self.registry)
        self.gateways = GatewayMetrics(self.registry, shared) if shared else None

    def count_tokens(self, reply: TextReply) -> None:
        """Count a text that was asked for and written."""
        self.tokens.labels("prompt").inc(reply.prompt_tokens)
        self.tokens.labels("completion").inc(reply.completion_tokens)

    def render(self, engines: Iterable[EngineStats], *, ready: bool) -> bytes:
        """The exposition: the counters of all gateways, then the engines as they are now."""
        engine_registry = CollectorRegistry()
        engine_registry.register(_Engines(list(engines), ready=ready))
        own = self.gateways.render() if self.gateways else generate_latest(self.registry)
        return own + generate_latest(engine_registry)


class _Engines(Collector):
    """The replicas' statistics at one moment."""

    def __init__(self, engines: list[EngineStats], *, ready: bool) -> None:
        self._engines = engines
        self._ready = ready

    def collect(self) -> Iterator[Metric]:
        """One family a number."""
        yield GaugeMetricFamily("synthseg_ready", "1 when traffic may come.", value=float(self._ready))
        labels = ("deployment", "replica")
        gauges = {
            "synthseg_queue_depth": ("Requests that wait for an engine.", lambda e: e.queued),
            "synthseg_engine_running": ("Requests in an engine's current call.", lambda e: e.running),
            "synthseg_batch_fill": (
                "Mean share of a batch's places that were used.",
                lambda e: e.requests / (e.batches * e.max_batch_size) if e.batches else 0.0,
            ),
        }
        counters = {
            "synthseg_engine_batches": ("Calls of an engine.", lambda e: e.batches),
            "synthseg_engine_requests": ("Requests in all calls of an engine.", lambda e: e.requests),
            "synthseg_engine_seconds": ("Time spent in an engine.", lambda e: e.engine_s),
        }
        kinds: tuple[tuple[Any, dict[str, Any]], ...] = ((GaugeMetricFamily, gauges), (CounterMetricFamily, counters))
        for kind, families in kinds:
            for name, (text, value) in families.items():
                family = kind(name, text, labels=labels)
                for engine in self._engines:
                    family.add_metric((engine.deployment, engine.replica), float(value(engine)))
                yield family
