from __future__ import annotations

import asyncio
import json
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from synthseg.config.text import EndpointConfig
from synthseg.engines.openai.engine import OpenAiEngine
from synthseg.engines.text import RequestRefused, TextReply, TextRequest
from synthseg.errors import RunFailure, SynthSegError, UsageProblem
from tests.synthseg.engines.endpoint import Endpoint, Fault, endpoint

KEY = "sk-test-0123456789"
OBJECT = {"type": "object", "properties": {"caption": {"type": "string"}}, "required": ["caption"]}
MARKS = {"type": "array", "items": {"type": "integer"}}


def words(body: dict[str, Any]) -> str:
    """What the endpoint says: something that shows which request it was."""
    return f"seed {body['seed']} says {body['messages'][-1]['content'] if 'messages' in body else body['prompt']}"


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with endpoint(words) as served:
        yield served


def engine(server: Endpoint, **settings: Any) -> OpenAiEngine:
    return OpenAiEngine(server.url, "small", EndpointConfig(**{"max_retry_wait_s": 2.0, **settings}))


def chat(content: str, seed: int = 3, **fields: Any) -> TextRequest:
    return TextRequest(({"role": "user", "content": content},), seed=seed, **fields)


def told(engine: OpenAiEngine, request: TextRequest, pieces: list[Any]) -> None:
    async def scenario() -> None:
        async with engine.connected() as connection, aclosing(engine.tell(connection, request)) as found:
            async for piece in found:
                pieces.append(piece)

    asyncio.run(scenario())


def test_replies_come_in_order_and_say_what_they_took(server: Endpoint) -> None:
    replies = engine(server).generate([chat("a", 1), chat("b", 2), chat("c", 3)])
    assert replies == [TextReply(f"seed {i} says {c}", "stop", 5, 7) for i, c in enumerate("abc", 1)]


def test_a_request_is_sent_whole(server: Endpoint) -> None:
    engine(server).generate(
        [chat("a", (1 << 47) + 9, max_tokens=11, temperature=0.3, top_p=0.7, stop=("END",), json_schema=OBJECT)],
    )
    ((path, body, headers),) = server.seen
    assert path == "/v1/chat/completions"
    assert "authorization" not in headers
    assert body == {
        "model": "small",
        "messages": [{"role": "user", "content": "a"}],
        "seed": 9,
        "max_tokens": 11,
        "temperature": 0.3,
        "top_p": 0.7,
        "stop": ["END"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "schema": OBJECT, "strict": True}},
    }


def test_raw_text_is_continued(server: Endpoint) -> None:
    assert engine(server).generate([TextRequest((), seed=2, prompt="Apples,")])[0].text == "seed 2 says Apples,"
    assert server.seen[0][0] == "/v1/completions"
    assert "messages" not in server.bodies[0]


def test_at_most_so_many_are_open_and_as_many_as_may_be(server: Endpoint) -> None:
    server.hold_s = 0.05
    started = time.monotonic()
    replies = engine(server, max_concurrent=4).generate([chat(str(i), i) for i in range(16)])
    assert [reply.text for reply in replies] == [f"seed {i} says {i}" for i in range(16)]
    assert server.most_open == 4
    assert time.monotonic() - started < 16 * 0.05


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    keyed = engine(server, api_key_env="MY_KEY")
    keyed.generate([chat("a")])
    assert server.seen[0][2]["authorization"] == f"Bearer {KEY}"
    server.faults = [Fault(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}})]
    with pytest.raises(UsageProblem) as refused:
        keyed.generate([chat("a")])
    assert KEY not in str(refused.value)
    assert "the key in MY_KEY does not open it" in str(refused.value)
    assert KEY not in repr(vars(keyed).get("digest"))


@pytest.mark.parametrize("key", ["sk-test\n01", "sk-test\r\nx-other: 1", "sk test", "sk-\u00e9"], ids=["line", "field", "space", "accent"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(UsageProblem, match=r"^execution\.endpoint\.api_key_env: the value of MY_KEY is no key") as refused:
        OpenAiEngine("http://127.0.0.1:9/v1", "small", EndpointConfig(api_key_env="MY_KEY"))
    assert "sk-" not in str(refused.value)


def test_what_a_broken_header_holds_is_not_shown(server: Endpoint) -> None:
    asked = engine(server, max_retries=0)
    asked._key = f"{KEY}\nmore"
    with pytest.raises(RunFailure, match="LocalProtocolError") as failed:
        asked.generate([chat("a")])
    assert KEY not in "".join(traceback.format_exception(failed.value))


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Fault(401, {"error": {"message": "no key"}}), UsageProblem, r"prompts\.base_url: .*401 \(no key\); put a key into .*OPENAI_API"),
        (Fault(403, {"error": "blocked"}), UsageProblem, r"prompts\.base_url: .*answered 403 \(blocked\)"),
        (Fault(404, {"error": {"message": "no model small"}}), UsageProblem, r"prompts\.model: .*404 for 'small' \(no model small\).*/v1"),
        (Fault(404, "<html>not here</html>"), UsageProblem, r"prompts\.model: .*not here"),
        (Fault(307, "", {"location": "http://127.0.0.1:9/"}), UsageProblem, r"prompts\.base_url: .*redirect"),
        (Fault(400, {"detail": "too long"}), RequestRefused, r"prompts\.engine: the endpoint refused a request: too long"),
        (Fault(402, {"detail": "no funds"}), UsageProblem, r"prompts\.engine: the endpoint refused a request: no funds"),
        (Fault(200, "not json"), UsageProblem, "not JSON"),
        (Fault(200, {"choices": []}), RunFailure, "no completion"),
        (Fault(200, {"error": {"message": "died", "code": 500}}), RunFailure, "died"),
    ],
    ids=["401", "403", "404", "404 page", "redirect", "400", "402", "no json", "no choice", "error in 200"],
)  # fmt: skip
def test_one_line_with_the_way_out_and_no_second_try(
    server: Endpoint, monkeypatch: pytest.MonkeyPatch, fault: Fault, kind: type[SynthSegError], says: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server.faults = [fault]
    with pytest.raises(kind, match=says) as problem:
        engine(server).generate([chat("a")])
    assert type(problem.value) is kind, "only a RequestRefused may be told to who sent the request"
    assert "\n" not in str(problem.value)
    assert len(server.seen) == 1


def test_nothing_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    nowhere = OpenAiEngine(url, "small", EndpointConfig(max_retries=1))
    for call in (nowhere.check, lambda: nowhere.generate([chat("a")])):
        with pytest.raises(UsageProblem, match=rf"prompts\.base_url: nothing answers at {url} \(.*; start that server or correct"):
            call()


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_another_try_may_mend_is_tried_again(server: Endpoint, status: int) -> None:
    server.faults = [Fault(status, {"error": {"message": "later"}}, {"retry-after": "0"})] * 2
    assert engine(server).generate([chat("a")])[0].text == "seed 3 says a"
    assert len(server.seen) == 3


def test_retry_after_is_waited_for_in_both_its_forms(server: Endpoint) -> None:
    server.faults = [Fault(429, {}, {"retry-after": "0.4"})]
    started = time.monotonic()
    engine(server).generate([chat("a")])
    assert 0.4 <= time.monotonic() - started < 1.5
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    server.faults = [Fault(503, {}, {"retry-after": format_datetime(soon, usegmt=True)})]
    engine(server).generate([chat("a")])
    assert datetime.now(UTC) >= soon.replace(microsecond=0)


def test_pauses_grow_where_the_server_names_none(server: Endpoint) -> None:
    server.faults = [Fault(503, "overloaded")] * 2
    started = time.monotonic()
    engine(server).generate([chat("a")])
    assert time.monotonic() - started >= 0.75 * (0.5 + 1.0)


def test_a_wait_that_is_too_long_and_too_many_tries_end_it(server: Endpoint) -> None:
    server.faults = [Fault(429, {"error": {"message": "quota"}}, {"retry-after": "3600"})]
    with pytest.raises(RunFailure, match=r"did not answer \(429: quota\); wait and run the same command again"):
        engine(server).generate([chat("a")])
    server.faults = [Fault(500, "broken", {"retry-after": "0"})] * 9
    with pytest.raises(RunFailure, match=r"after 3 tries \(500: broken\)"):
        engine(server, max_retries=2).generate([chat("a")])


def test_silence_is_a_failure(server: Endpoint) -> None:
    server.faults = [Fault(200, {}, silent_s=1.0)]
    with pytest.raises(RunFailure, match="ReadTimeout"):
        engine(server, timeout_s=0.2, max_retries=0).generate([chat("a")])
    server.faults = [Fault(200, {}, silent_s=1.0)]
    assert engine(server, timeout_s=0.2, max_retries=1).generate([chat("a")])[0].text == "seed 3 says a"


def test_check_asks_for_one_token_and_does_not_insist(server: Endpoint) -> None:
    engine(server).check()
    assert server.bodies[0]["max_tokens"] == 1
    server.faults = [Fault(503, "starting")]
    with pytest.raises(RunFailure, match=r"503: starting"):
        engine(server).check()
    assert len(server.seen) == 2


def test_a_server_that_holds_only_objects_gets_an_object() -> None:
    def say(body: dict[str, Any]) -> str:
        return json.dumps({"reply": [5, 4, 3]} if body["response_format"]["json_schema"]["schema"]["type"] == "object" else [1])

    with endpoint(say) as server:
        server.faults = [Fault(400, {"error": {"message": "schema must be an object"}})]
        rating = chat("rate", json_schema=MARKS, max_tokens=20)
        asked = engine(server)
        assert [reply.text for reply in asked.generate([rating])] == ["[5, 4, 3]"]
        asked.generate([rating])
    schemas = [body["response_format"]["json_schema"]["schema"]["type"] for body in server.bodies]
    assert schemas == ["array", "object", "object"]
    assert server.bodies[1]["max_tokens"] > 20


def test_requests_that_find_it_out_together_all_get_an_object() -> None:
    def kind(body: dict[str, Any]) -> str:
        return str(body["response_format"]["json_schema"]["schema"]["type"])

    with endpoint(lambda body: json.dumps({"reply": [body["seed"]]})) as server:
        server.hold_s = 0.1
        server.refuse = lambda body: None if kind(body) == "object" else Fault(400, {"error": {"message": "schema must be an object"}})
        replies = engine(server).generate([chat("rate", seed, json_schema=MARKS) for seed in range(8)])
    assert [reply.text for reply in replies] == [f"[{seed}]" for seed in range(8)]
    assert server.most_open > 1


def test_a_stream_tells_the_reply_piece_by_piece(server: Endpoint) -> None:
    pieces: list[Any] = []
    told(engine(server), chat("a long story"), pieces)
    assert pieces[-1] == engine(server).generate([chat("a long story")])[0]
    assert len(pieces) > 4
    assert "".join(pieces[:-1]) == pieces[-1].text
    assert server.bodies[0]["stream_options"] == {"include_usage": True}


def test_a_stream_is_tried_again_only_before_its_first_piece(server: Endpoint) -> None:
    server.faults = [Fault(503, "later", {"retry-after": "0"})]
    pieces: list[Any] = []
    told(engine(server), TextRequest((), seed=1, prompt="on and on"), pieces)
    assert pieces[-1].text == "seed 1 says on and on"
    server.faults = [Fault(cut_after=4)]
    pieces = []
    with pytest.raises(RunFailure):
        told(engine(server), chat("a long story"), pieces)
    assert "".join(pieces) == "seed 3 says "
    assert len(server.seen) == 3


@pytest.mark.parametrize(("status", "says"), [(307, "a redirect"), (401, "answered 401"), (404, "answered 404")])
def test_a_stream_that_is_refused_says_what_a_text_says(server: Endpoint, status: int, says: str) -> None:
    server.faults = [Fault(status, "<html>no</html>")]
    with pytest.raises(UsageProblem, match=says):
        told(engine(server), chat("a"), [])


def test_a_stream_that_is_left_is_closed(server: Endpoint) -> None:
    async def scenario() -> None:
        asked = engine(server, max_concurrent=1)
        async with asked.connected() as connection:
            async with aclosing(asked.tell(connection, chat("a long story"))) as pieces:
                assert await anext(pieces) == "seed"
            assert (await asyncio.wait_for(asked.answer(connection, chat("b")), 5)).text == "seed 3 says b"

    asyncio.run(scenario())


def test_digest_tells_endpoint_and_model(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = OpenAiEngine(server.url, "small").digest
    assert OpenAiEngine(f"{server.url}/", "small").digest == plain
    assert OpenAiEngine(server.url, "large").digest != plain
    assert OpenAiEngine("http://127.0.0.1:1/v1", "small").digest != plain
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert OpenAiEngine(server.url, "small").digest == plain


def test_a_content_encoding_that_is_none_is_our_error(server: Endpoint) -> None:
    server.faults = [Fault(200, json.dumps({"choices": []}), {"content-encoding": "gzip"})]
    with pytest.raises(RunFailure, match=r"prompts\.base_url: .* is not in the content-encoding that it names"):
        engine(server).generate([chat("a")])
    server.faults = [Fault(400, json.dumps({"error": "no"}), {"content-encoding": "deflate"})]
    with pytest.raises(RunFailure, match="content-encoding"):
        told(engine(server), chat("a"), [])


@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize("deep", ["[" * 50_000 + "]" * 50_000, "[" * 500 + "]" * 500, '{"error":' * 400 + "7" + "}" * 400])
def test_an_answer_that_is_nested_without_end_is_our_error(server: Endpoint, status: int, deep: str) -> None:
    server.faults = [Fault(status, deep)]
    with pytest.raises(SynthSegError) as problem:
        engine(server, max_retries=0).generate([chat("a")])
    assert len(str(problem.value)) < 600
    server.say = lambda _: deep
    assert engine(server).generate([chat("a", json_schema=MARKS)])[0].text == deep


def test_a_server_that_does_not_stream_tells_its_text_at_once(server: Endpoint) -> None:
    as_json = {"content-type": "application/json; charset=utf-8"}
    message = {"role": "assistant", "content": "A horse."}
    usage = {"prompt_tokens": 5, "completion_tokens": 7}
    server.faults = [Fault(200, {"choices": [{"message": message, "finish_reason": "length"}], "usage": usage}, as_json)]
    pieces: list[Any] = []
    told(engine(server), chat("a"), pieces)
    assert pieces == ["A horse.", TextReply("A horse.", "length", 5, 7)]
    server.faults = [Fault(200, {"error": {"message": "no room", "code": 503}}, as_json)]
    with pytest.raises(RunFailure, match="no room"):
        told(engine(server), chat("a"), [])
