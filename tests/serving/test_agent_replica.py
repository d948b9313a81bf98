"""A text replica that has no room for the prompt agent, which is itself tested in tests/synthseg/prompts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serving.agent_replica import PromptAgentReplica
from serving.batching import QueueFull
from serving.replicas import Answer
from synthseg.engines.text import TextReply, TextRequest
from tests.serving.test_backend import TRANSPORTS, Handle, as_told


class Writer:
    """A text replica."""

    async def answer(self, *_: Any) -> Answer[TextReply]:
        return Answer(TextReply("a text", "stop", 1, 2), 0.1)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_text_replica_that_is_full_is_asked_again(transport: str) -> None:
    replica = object.__new__(PromptAgentReplica.func_or_class)
    replica._text = handle = Handle(Writer(), [as_told(QueueFull(64, 7.5), transport)])
    assert asyncio.run(replica._ask_one(TextRequest((), 0), 5)).text == "a text"
    assert len(handle.responses) == 2
