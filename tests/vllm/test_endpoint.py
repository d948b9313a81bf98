"""Engine `openai` against vLLM's own OpenAI server, by base URL and key."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from synthseg.config.loading import load_config
from synthseg.config.text import EndpointConfig
from synthseg.engines.openai.engine import OpenAiEngine
from synthseg.engines.registry import build_text_engine
from synthseg.engines.text import TextReply, TextRequest
from synthseg.errors import UsageProblem
from synthseg.machine.precision import cpu_has_bf16
from tests.vllm.conftest import CLASSES, MODEL, ONE_ROUND, Round, assert_within_band, caption_request, one_round

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

KEY = "sk-of-this-test"
START_TIMEOUT_S = 240.0


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("vllm") / "log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "--model": str(MODEL), "--served-model-name": "smollm2", "--host": "127.0.0.1", "--port": str(port), "--api-key": KEY,
        "--max-model-len": "2048", "--max-num-seqs": "16", "--gpu-memory-utilization": "0.2",
        "--dtype": "bfloat16" if cpu_has_bf16() else "float32",
        "--generation-config": "vllm",
        "--structured-outputs-config": '{"backend": "xgrammar", "disable_any_whitespace": true}',
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--enforce-eager",
        *(part for pair in options.items() for part in pair),
    ]
    with log.open("wb") as sink, subprocess.Popen(command, stdout=sink, stderr=sink, env={**os.environ, "HF_HUB_OFFLINE": "1"}) as server:
        try:
            _wait_until_healthy(f"http://127.0.0.1:{port}/health", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(f"vLLM's server did not start: {log.read_text(errors='replace', encoding='utf-8')[-3000:]}")


@pytest.fixture
def engine(address: str, monkeypatch: pytest.MonkeyPatch) -> OpenAiEngine:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return OpenAiEngine(address, "smollm2")


def test_a_round_of_the_prompt_agent(address: str, embedded: Round, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    config = load_config("embedded", ["prompts.engine=openai", "prompts.model=smollm2", f"prompts.base_url={address}", *ONE_ROUND], CLASSES)
    assert_within_band(one_round(config, build_text_engine(config).generate), embedded)


def test_a_stream_tells_the_reply(engine: OpenAiEngine) -> None:
    asked = TextRequest(({"role": "user", "content": "Tell a story."},), seed=1, max_tokens=16, temperature=0.0)

    async def told() -> list[Any]:
        async with engine.connected() as connection, aclosing(engine.tell(connection, asked)) as pieces:
            return [piece async for piece in pieces]

    *pieces, last = asyncio.run(told())
    assert len(pieces) > 4
    assert last == engine.generate([asked])[0]
    assert last == TextReply("".join(pieces), "length", last.prompt_tokens, 16)


def test_the_seed_decides_the_text(engine: OpenAiEngine) -> None:
    replies = engine.generate([caption_request(seed) for seed in (1, 2, 3, 1)])
    assert replies[0] == replies[3]
    assert len({reply.text for reply in replies}) == 3


def test_what_it_refuses_is_one_line(address: str, engine: OpenAiEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.check()
    with pytest.raises(UsageProblem, match=r"prompts\.model: .*answered 404 for 'large'"):
        OpenAiEngine(address, "large").check()
    with pytest.raises(UsageProblem, match=r"prompts\.engine: the endpoint refused a request: .*maximum context length"):
        engine.generate([TextRequest(({"role": "user", "content": "word " * 3000},), seed=1)])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    with pytest.raises(UsageProblem, match=r"answered 401 .*the key in OPENAI_API_KEY does not open it") as refused:
        OpenAiEngine(address, "smollm2").check()
    assert "sk-another" not in str(refused.value)
    monkeypatch.setenv("NO_KEY", "")
    with pytest.raises(UsageProblem, match="put a key into the environment variable NO_KEY"):
        OpenAiEngine(address, "smollm2", EndpointConfig(api_key_env="NO_KEY")).check()
