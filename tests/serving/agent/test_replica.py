"""The prompt agent as a replica; the agent itself is tested in tests/synthseg/method/prompts."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from serving.agent.replica import PromptAgentReplica
from serving.engines.fair_queue import QueueFull
from serving.engines.replicas import Answer
from synthseg.config import load_config
from synthseg.embedded.painter.engine import PainterEngine
from synthseg.engines.image import GeneratedImage, ImageRequest
from synthseg.engines.registry import build_scorer
from synthseg.engines.scorer import clip_score
from synthseg.engines.text import TextReply, TextRequest
from tests.serving.deploy.test_serve_backend import TRANSPORTS, Handle, as_told, backend


class Writer:
    """A text replica."""

    async def answer(self, *_: Any) -> Answer[TextReply]:
        return Answer(TextReply("a text", "stop", 1, 2), 0.1)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_text_replica_that_is_full_is_asked_again(transport: str) -> None:
    replica = object.__new__(PromptAgentReplica.func_or_class)
    replica._text = handle = Handle(Writer(), [as_told(QueueFull(64, 7.5), transport)])
    assert asyncio.run(replica._ask_one(TextRequest((), 0), 5, "")).text == "a text"
    assert len(handle.responses) == 2


def test_a_score_waits_for_no_agent() -> None:
    """Agents hold their threads for as long as the language model takes."""
    config = load_config("embedded", ["prompts.engine=template", "serving.prompt_agent.max_ongoing_requests=1"])
    replica = PromptAgentReplica.func_or_class(config, Handle(Writer()))
    (image,) = PainterEngine().generate([ImageRequest("a red car on a street", 1, 64, 64)])
    assert isinstance(image, GeneratedImage)
    busy = threading.Event()
    replica._threads.submit(busy.wait, 60)
    served = backend(agent=Handle(replica))
    try:
        found = asyncio.run(served.score("a red car on a street", image.encoded, deadline_s=30))
    finally:
        busy.set()
    assert found == pytest.approx(clip_score(build_scorer(config), "a red car on a street", image.encoded), abs=1e-5)
    assert found > asyncio.run(served.score("a horse in a meadow", image.encoded, deadline_s=30))


@pytest.mark.parametrize("how", ["deadline", "leaves"])
def test_an_agent_that_nobody_waits_for_takes_its_question_back(how: str) -> None:
    """The text replica is told so, under the name of the key that asked, and the agent's thread is free again."""

    class Silent:
        async def answer(self, *arguments: Any) -> Any:
            asked.append(arguments[-1])
            await asyncio.Event().wait()

    asked: list[str] = []
    handle = Handle(Silent())
    replica = object.__new__(PromptAgentReplica.func_or_class)
    replica._text, replica._threads = handle, ThreadPoolExecutor(1)
    replica._ongoing = replica._done = 0
    replica._busy_s = 0.0

    async def scenario() -> None:
        working = asyncio.create_task(
            replica._in_thread(lambda generate: generate([TextRequest((), 0)] * 2), 0.3 if how == "deadline" else 60, "alice")
        )
        while len(handle.responses) < 2:
            await asyncio.sleep(0.01)
        if how == "leaves":
            working.cancel()
        with pytest.raises(TimeoutError if how == "deadline" else asyncio.CancelledError):
            await working
        while not all(response.cancelled for response in handle.responses):
            await asyncio.sleep(0.01)
        assert asked == ["alice"] * 2
        assert await asyncio.get_running_loop().run_in_executor(replica._threads, lambda: "free") == "free"

    asyncio.run(asyncio.wait_for(scenario(), 20))
