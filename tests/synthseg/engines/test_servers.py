"""Engine `openai` against each server of the table, field by field, over a real socket."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from synthseg.config.schema import PromptsConfig
from synthseg.config.text import EndpointConfig
from synthseg.engines.openai.engine import OpenAiEngine
from synthseg.engines.text import TextRequest
from synthseg.method.prompts.messages import rate_request, write_request
from synthseg.method.prompts.profiles import profile
from synthseg.method.prompts.ratings import parse_ratings
from synthseg.method.prompts.replies import parse_captions
from synthseg.method.prompts.template import Slots
from synthseg.taxonomy import taxonomy
from tests.synthseg.engines.endpoint import Endpoint, endpoint
from tests.synthseg.engines.openai.test_engine import told
from tests.synthseg.engines.servers import SERVERS, Server, holds, schema_of

DOCS = Path(__file__).parents[3] / "docs" / "text-engines.md"
HORSE = taxonomy("voc").by_id(13)
CONFIG = PromptsConfig(engine="openai", base_url="http://x/v1", model="m", prompts_per_class=4)
CAPTIONS = ["A brown horse in the snow near a barn.", "A horse beside a caf\u00e9 \u2013 at dusk.", "Two horses \u2028 by a lake."]
PLAIN = ("temperature", "top_p", "seed")
KEYWORDS = ("minItems", "maxItems", "minimum", "maximum", "pattern")


def requests() -> dict[str, TextRequest]:
    """What the agent asks: one caption under a pattern and the marks, whose schemas are no objects, and several captions in an array."""
    slots = [Slots("horse", scene=scene) for scene in ("snow", "beach", "lake")]
    return {
        "one": write_request(CONFIG, HORSE.prompt_text, profile(HORSE), slots[:1], 5),
        "many": write_request(CONFIG, HORSE.prompt_text, profile(HORSE), slots, 6),
        "marks": rate_request(HORSE.display, CAPTIONS[0], 7),
    }


def written(server: Server, body: dict[str, Any]) -> str:
    """What the server's model writes: JSON under the schema it was given, else what it makes of the example."""
    asked = body["messages"][-1]["content"]
    if asked == "Hi":
        return "Hello!"
    reply: Any = [5, 4, 3] if "how well does this describe" in asked else {"captions": CAPTIONS}
    if isinstance(reply, dict) and "photo captions" not in body["messages"][0]["content"]:
        reply = CAPTIONS[0]
    if "reply" in schema_of(body).get("properties", {}):
        reply = {"reply": reply}
    return server.says(json.dumps(reply, ensure_ascii=False))


@pytest.fixture(params=SERVERS, ids=lambda server: server.name)
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.param
    return found


@pytest.fixture
def served(server: Server) -> Any:
    with endpoint(lambda body: written(server, body)) as running:
        running.shape, running.refuse = server.shape, server.refuse
        yield running


def understood(name: str, text: str) -> None:
    """The reply means what the model meant."""
    if name == "marks":
        assert parse_ratings(text) == (5, 4, 3)
    else:
        assert parse_captions(text, 3)[: 1 if name == "one" else 3] == CAPTIONS[: 1 if name == "one" else 3]


def check_fields(server: Server, name: str, request: TextRequest, body: dict[str, Any]) -> None:
    """Each field of the body that was answered is OpenAI's, or what the table says of it."""
    sent = set(server.sent)
    tokens = "max_completion_tokens" if "gets max_completion_tokens in place of max_tokens" in sent else "max_tokens"
    assert {key for key in body if "tokens" in key} == {tokens}
    assert body[tokens] >= request.max_tokens
    assert body["model"] == "m"
    assert body["messages"] == [dict(message) for message in request.messages]
    for field in PLAIN:
        assert (field in body) is (f"gets no {field}" not in sent), field
    assert ("response_format" in body) is ("gets no response_format" not in sent)
    if "response_format" not in body:
        return
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["strict"] is True
    wraps = "gets schemas that are no object inside one" in sent
    assert schema_of(body)["type"] == ("object" if wraps else {"one": "string", "many": "object", "marks": "array"}[name])
    for keyword in KEYWORDS:
        assert holds(schema_of(body), keyword) is (holds(request.json_schema, keyword) and f"gets no {keyword}" not in sent), keyword


def test_every_request_of_the_agent_is_answered_and_understood(server: Server, served: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    engine, asked = OpenAiEngine(served.url, "m", EndpointConfig(max_concurrent=1)), requests()
    with caplog.at_level(logging.WARNING, "synthseg.endpoint"):
        engine.check()
        for name, reply in zip(asked, engine.generate(list(asked.values())), strict=True):
            understood(name, reply.text)
        served.seen.clear()
        for name, reply in zip(asked, engine.generate(list(asked.values())), strict=True):
            understood(name, reply.text)
    assert len(served.bodies) == 3, "none is refused any more"
    for (name, request), body in zip(asked.items(), served.bodies, strict=True):
        check_fields(server, name, request, body)
    logged = " ".join(record.getMessage() for record in caplog.records)
    for clause in server.sent:
        assert logged.count(clause) == 1, "what was changed is told once"
    assert bool(logged) is bool(server.sent)


def test_a_stream_finds_out_what_it_must_leave_out(server: Server, served: Endpoint) -> None:
    pieces: list[Any] = []
    told(OpenAiEngine(served.url, "m"), requests()["one"], pieces)
    understood("one", pieces[-1].text)


def test_what_was_found_out_together_holds_for_other_engines_of_the_process(server: Server, served: Endpoint) -> None:
    OpenAiEngine(served.url, "m").generate(list(requests().values()))
    first = len(served.bodies)
    replies = OpenAiEngine(served.url, "m").generate(list(requests().values()))
    assert len(served.bodies) == first + 3, "none is refused again"
    for name, reply in zip(requests(), replies, strict=True):
        understood(name, reply.text)


def test_a_stream_is_understood_as_well(server: Server, served: Endpoint) -> None:
    engine = OpenAiEngine(served.url, "m")
    engine.generate(list(requests().values()))
    request = requests()["many"]
    pieces: list[Any] = []
    told(engine, request, pieces)
    assert "".join(pieces[:-1]) == pieces[-1].text
    understood("many", pieces[-1].text)
    assert (pieces[-1].finish_reason, pieces[-1].completion_tokens) == ("stop", 7)
    check_fields(server, "many", request, served.bodies[-1])
    assert served.bodies[-1]["stream_options"] == {"include_usage": True}


def test_the_documentation_says_what_this_shows(server: Server) -> None:
    changes = "; ".join(server.sent) or "everything as it is"
    assert f"| {server.name} | {changes} | {server.answers} |" in DOCS.read_text(encoding="utf-8").splitlines()


def test_the_documentation_lists_no_other_server() -> None:
    text = DOCS.read_text(encoding="utf-8")
    start = text.index("| server |")
    rows = [line.split("|")[1].strip() for line in text[start : text.index("\n\n", start)].splitlines()[2:]]
    assert rows == [server.name for server in SERVERS]
