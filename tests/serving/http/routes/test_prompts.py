from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

BODY = {"class_name": "horse", "count": 3, "seed": 5}


def test_prompts_of_a_class_with_their_scores(client: TestClient) -> None:
    reply = client.post("/v1/prompts", json=BODY)
    assert reply.status_code == 200, reply.text
    found = reply.json()
    assert (found["class_name"], found["seed"], found["count"]) == ("horse", 5, 3)
    assert 0 < len(found["data"]) <= 3
    for prompt in found["data"]:
        assert "horse" in prompt["text"]
        assert prompt["class_name"] == "horse"
        assert 0 <= prompt["quality"] <= 1
    assert len({prompt["text"] for prompt in found["data"]}) == len(found["data"])
    assert client.post("/v1/prompts", json=BODY).json() == found


def test_a_stream_tells_the_same_prompts(client: TestClient) -> None:
    whole = client.post("/v1/prompts", json=BODY).json()
    reply = client.post("/v1/prompts", json={**BODY, "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in reply.text.strip().split("\n\n")]
    events: list[dict[str, Any]] = [json.loads(block["data"]) for block in blocks]
    assert [block["event"] for block in blocks] == [event["type"] for event in events]
    *found, last = events
    assert [event["type"] for event in found] == ["prompt.found"] * len(whole["data"])
    assert [{key: event[key] for key in whole["data"][0]} for event in found] == whole["data"]
    assert last == {"type": "prompts.completed", "class_name": "horse", "seed": 5, "count": 3, "found": len(found)}


def test_either_name_of_a_class_and_a_drawn_seed(client: TestClient) -> None:
    first = client.post("/v1/prompts", json={"class_name": "Television", "count": 1}).json()
    assert first["class_name"] == "tvmonitor"
    again = client.post("/v1/prompts", json={"class_name": "tvmonitor", "count": 1, "seed": first["seed"]}).json()
    assert again == first


@pytest.mark.parametrize(
    ("change", "param"),
    [({"class_name": "hors"}, "class_name"), ({"count": 0}, "count"), ({"count": 65}, "count"), ({"seed": -1}, "seed"), ({"n": 1}, "n")],
)
def test_wrong_fields_are_named(client: TestClient, change: dict[str, Any], param: str) -> None:
    reply = client.post("/v1/prompts", json={**BODY, **change})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param
    if change.get("class_name"):
        assert "did you mean 'horse'?" in reply.json()["error"]["message"]
