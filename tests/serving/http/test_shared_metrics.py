from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from serving.http.app import create_app
from serving.http.metrics import Metrics
from synthseg.config.schema import RunConfig
from tests.serving.http.local_backend import LocalBackend


def numbers(text: str) -> dict[tuple[str, ...], float]:
    """(name, label values) to value; each must be there once."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *(value for _, value in sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def scrape(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return numbers(metrics.render([], ready=True).decode())


def test_each_gateway_shows_the_sum_of_all(tmp_path: Path) -> None:
    first, second = Metrics(tmp_path), Metrics(tmp_path)
    for gateway, count in ((first, 2), (second, 3)):
        gateway.refusals.labels("overloaded").inc(count)
        gateway.seconds.labels("/v1/models").observe(0.03)
        gateway.in_flight.inc()
        assert gateway.gateways is not None
        gateway.gateways.publish()
    for gateway in (first, second):
        found = scrape(gateway)
        assert found["synthseg_refusals_total", "overloaded"] == 5
        assert found["synthseg_http_request_seconds_count", "/v1/models"] == 2
        assert found["synthseg_http_request_seconds_bucket", "+Inf", "/v1/models"] == 2
        assert found["synthseg_http_requests_in_flight",] == 2
    second.refusals.labels("overloaded").inc()
    assert scrape(second)["synthseg_refusals_total", "overloaded"] == 6  # its own number needs no publication


def test_a_gateway_that_ended_holds_no_request_but_keeps_what_it_counted(tmp_path: Path) -> None:
    now = [1e9]
    gone, left = Metrics(tmp_path), Metrics(tmp_path)
    for gateway in (gone, left):
        assert gateway.gateways is not None
        gateway.gateways._clock = lambda: now[0]
        gateway.disconnects.inc()
        gateway.in_flight.inc()
        gateway.gateways.publish()
    now[0] += 60
    found = scrape(left)
    assert found["synthseg_client_disconnects_total",] == 2
    assert found["synthseg_http_requests_in_flight",] == 1


def test_what_ended_gateways_had_counted_is_kept_in_one_file(tmp_path: Path) -> None:
    uptime = [0.0]
    *gone, left = (Metrics(tmp_path) for _ in range(4))
    assert left.gateways is not None
    left.gateways._uptime = lambda: uptime[0]
    for gateway in (*gone, left):
        gateway.disconnects.inc()
        gateway.seconds.labels("/v1/models").observe(0.03)
        assert gateway.gateways is not None
        gateway.gateways.publish()
    for passed_s, num_files in ((0, 4), (3000, 4), (1000, 2), (9000, 2)):
        uptime[0] += passed_s
        left.gateways.publish()
        assert len(list(tmp_path.glob("*.prom"))) == num_files
        found = scrape(left)
        assert found["synthseg_client_disconnects_total",] == 4
        assert found["synthseg_http_request_seconds_count", "/v1/models"] == 4
    late = Metrics(tmp_path)
    late.disconnects.inc()
    assert scrape(late)["synthseg_client_disconnects_total",] == 5


def test_a_gateway_that_slept_with_the_machine_has_not_ended(tmp_path: Path) -> None:
    awake, other = Metrics(tmp_path), Metrics(tmp_path)
    assert awake.gateways is not None
    assert other.gateways is not None
    other.disconnects.inc()
    other.gateways.publish()
    awake.gateways.publish()
    awake.gateways._clock = lambda: time.time() + 90_000  # the wall clock goes on while a machine sleeps
    awake.gateways.publish()
    other.gateways.publish()
    assert scrape(awake)["synthseg_client_disconnects_total",] == 1


def test_two_applications_over_one_state_answer_for_each_other(configure: Callable[..., RunConfig]) -> None:
    config = configure("serving.gateway.num_replicas=2")
    for _ in range(2):
        with TestClient(create_app(LocalBackend(config), None, config)) as client:
            client.get("/v1/models")
            text = client.get("/metrics").text
    assert numbers(text)["synthseg_http_requests_total", "GET", "/v1/models", "200"] == 2
