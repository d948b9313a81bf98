"""docs/serving.md and the Grafana dashboard say what the server has; tests/e2e/test_docs_serving.py runs the examples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from serving.engines.stats import EngineStats
from serving.http import schema_bounds as bounds
from serving.http.app import create_app
from serving.http.errors import responses
from serving.http.metrics import Metrics
from serving.http.schemas import ImageGenerationRequest
from synthseg.config import load_config
from synthseg.config.loading import setting_names
from tests.serving.http.local_backend import LocalBackend

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "serving.md").read_text(encoding="utf-8")
DASHBOARD: dict[str, Any] = json.loads((DOCS / "grafana" / "synthseg-serving.json").read_text(encoding="utf-8"))
METRIC = re.compile(r"synthseg_[a-z_]+")


def exported() -> dict[str, set[str]]:
    """Label names of every sample that /metrics can show, by sample name."""
    metrics = Metrics()
    for family in vars(metrics).values():
        names = getattr(family, "_labelnames", ())
        if names:
            family.labels(*("x" for _ in names))
    found: dict[str, set[str]] = {}
    text = metrics.render([EngineStats("ImageEngine", "1", 0, 0, 1, 1, 1.0, 8)], ready=True).decode()
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found


def expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_every_metric_of_the_dashboard_exists_with_its_labels() -> None:
    known = exported()
    assert len(expressions()) > 15
    for expression in expressions():
        used = METRIC.findall(expression)
        assert used, expression
        for name in used:
            assert name in known, f"{name} in {expression}"
        grouped = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
        matched = set(re.findall(r"(\w+)=~?\"", expression)) - {"job"}
        available = set().union(*(known[name] for name in used))
        assert grouped | matched <= available, expression


def test_every_metric_is_documented_and_on_the_dashboard() -> None:
    names = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in exported()}
    documented = set(METRIC.findall(TEXT))
    assert names - documented == set()
    drawn = {re.sub(r"_(bucket|sum|count)$", "", name) for expression in expressions() for name in METRIC.findall(expression)}
    assert names - drawn == set()


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_setting_that_the_guide_names_exists() -> None:
    named = set(re.findall(r"`(serving\.[a-z_.]+[a-z])", TEXT)) | set(re.findall(r"--set\s+(serving\.[a-z_.]+)=", TEXT))
    assert len(named) > 15
    known = set(setting_names())
    for name in named - {"serving.deploy.build"}:
        assert name in known or any(setting.startswith(f"{name}.") for setting in known), name


def test_the_guide_states_the_limits_as_they_are() -> None:
    serving = load_config("embedded").serving
    for row, value in (
        ("requests a minute and key", f"| {serving.requests_per_min} |"),
        ("engine seconds for images", f"| {serving.image_seconds_per_min:.0f} |"),
        ("open requests and streams", f"| {serving.max_open_requests} |"),
        ("pixels of an image", f"| {serving.max_pixels}; {serving.max_side_px}; {serving.min_side_px} |"),
        ("prompt, body", f"| {serving.max_prompt_chars}, {serving.max_body_bytes >> 20} MiB |"),
        ("waiting requests of a key", f"| {serving.image.max_ongoing_requests // 2} of {serving.image.max_ongoing_requests} |"),
        ("requests that wait beyond those", f"| {serving.image.max_queued_requests} |"),
        ("runs at once", f"| {serving.max_running_jobs}; {serving.max_queued_jobs} |"),
        ("a run's wall time", f"| {serving.max_job_s / 86400:.0f} days; {serving.max_job_bytes >> 30} GiB; {serving.max_job_images} |"),
    ):
        line = next(line for line in TEXT.splitlines() if line.startswith(f"| {row}"))
        assert line.endswith(value), line


def test_every_field_of_an_image_request_is_explained() -> None:
    table = TEXT[TEXT.index("| field | meaning") : TEXT.index("Nothing is bent")]
    assert set(ImageGenerationRequest.model_fields) <= set(re.findall(r"`([a-z_]+)`", table))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    state = tmp_path_factory.mktemp("state")
    config = load_config("embedded", ["prompts.engine=template", f"serving.state_dir={state}"])
    return create_app(LocalBackend(config), None, config)


def test_every_route_is_in_the_guide_and_the_other_way_round(app: FastAPI) -> None:
    paths = {re.sub(r"\{[a-z_]+(:path)?\}", "{id}", path) for path in app.openapi()["paths"]}
    told = re.sub(r"\{sample_id\}", "{id}", TEXT)
    for path in paths:
        assert path in told or path == "/v1/models/{id}", path
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        for path in set(re.findall(r"`GET (/[a-z.]*)`|`(/[a-z]+z|/metrics|/openapi\.json)`", TEXT)):
            assert client.get("".join(path)).status_code == 200, path


def test_every_error_status_is_in_the_guide() -> None:
    described = {int(status) for status in re.findall(r"^\| (\d{3}) \|", TEXT, re.MULTILINE)}
    for status in (400, 401, 404, 409, 413, 415, 422, 429, 503, 504):
        assert status in described
        assert responses(status)


def test_pictures_are_there_and_small() -> None:
    names = set(re.findall(r"\(([\w-]+\.png)\)|src=\"([\w-]+\.png)\"", TEXT))
    assert len(names) == 3
    for name in names:
        picture = DOCS / "".join(name)
        assert 20_000 < picture.stat().st_size <= 300_000, picture


def test_the_bounds_of_schemas_are_the_code_s() -> None:
    (told,) = (part for part in TEXT.split("\n\n") if part.startswith("A schema is bounded"))
    numbers = [int(number) for number in re.findall(r"(?<![\w`])\d+", told)]
    assert numbers == [
        400,
        bounds.MAX_BYTES >> 10,
        bounds.MAX_DEPTH,
        bounds.MAX_PROPERTIES,
        bounds.MAX_ALTERNATIVES,
        bounds.MAX_AT_LEAST,
        bounds.MAX_AT_MOST,
        bounds.MAX_PATTERN_CHARS,
        bounds.MAX_PATTERN_GROUPS,
        bounds.MAX_PATTERN_CHOICES,
    ]
