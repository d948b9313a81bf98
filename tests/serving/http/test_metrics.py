"""What the routes count."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from synthseg.engines.text import TextReply, TextRequest
from tests.serving.http.local_backend import LocalBackend


def counted(client: TestClient, name: str) -> dict[tuple[str, ...], float]:
    """Value by label values of one sample name."""
    text = client.get("/metrics").text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {tuple(sample.labels.values()): sample.value for sample in samples if sample.name == name}


class Echo:
    """A text engine that needs 3 tokens to read and 2 to write."""

    digest = "echo"

    def generate(self, requests: list[TextRequest]) -> list[TextReply]:
        return [TextReply("two words", "stop", 3, 2) for _ in requests]


@pytest.mark.parametrize(
    ("route", "body"), [("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}), ("/v1/completions", {"prompt": "x"})]
)
def test_tokens_are_counted_whole_or_streamed(client: TestClient, backend: LocalBackend, route: str, body: dict[str, Any]) -> None:
    backend.__dict__["text_engine"] = Echo()
    for number, extra in enumerate(({}, {"stream": True}), 1):
        assert client.post(route, json={**body, **extra}).status_code == 200
        assert counted(client, "synthseg_tokens_total") == {("prompt",): 3 * number, ("completion",): 2 * number}


def test_prompts_that_are_given_out_are_counted(client: TestClient) -> None:
    body = {"class_name": "horse", "count": 2, "seed": 5}
    given = len(client.post("/v1/prompts", json=body).json()["data"])
    assert given > 0
    assert counted(client, "synthseg_prompts_total") == {(): given}
    client.post("/v1/prompts", json={**body, "stream": True})
    assert counted(client, "synthseg_prompts_total") == {(): 2 * given}
