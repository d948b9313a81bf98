"""vLLM's CPU build behind the project's own code, with the real SmolLM2 weights. Run by `make test-vllm`, in its own environment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from synthseg.config.loading import load_config
from synthseg.config.schema import RunConfig
from synthseg.engines.registry import build_scorer
from synthseg.engines.text import TextReply, TextRequest
from synthseg.ids import derive_seed
from synthseg.method.prompts.agent import ClassPrompts, Generate, PromptAgent
from synthseg.taxonomy import taxonomy

MODEL = Path(os.environ.get("SMOLLM2", "")).resolve()
"""The folder that tests/vllm/smollm2.py wrote."""

CPU = (
    "execution.workers=1",
    "execution.vllm.bundles=[{CPU = 1}]",
    "execution.vllm.num_cpus=0.25",
    "execution.vllm.max_model_len=2048",
    "execution.vllm.max_num_seqs=16",
    "execution.vllm.gpu_memory_utilization=0.2",
    "execution.vllm.enforce_eager=true",
)
CLASSES = ("horse", "bus", "cat")
ONE_ROUND = ("prompts.max_rounds=1", "prompts.requests_per_round=16", "prompts.prompts_per_class=16", "prompts.max_tokens=192")
"""With tokens for the longest caption that the schema allows, as in `voc`: a reply that is cut short cannot parse."""


def vllm_config(*settings: str, classes: Sequence[str] = CLASSES) -> RunConfig:
    """The embedded preset with vLLM as its language model, on CPUs."""
    return load_config("embedded", ["prompts.engine=vllm", f"prompts.model={MODEL}", *CPU, *ONE_ROUND, *settings], classes)


@dataclass
class Round:
    """One round of the prompt agent for each class, and every reply that it was given to a request with a schema."""

    found: list[ClassPrompts] = field(default_factory=list)
    replies: list[tuple[TextRequest, TextReply]] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        return sum(len(found.accepted) for found in self.found)

    @property
    def candidates(self) -> int:
        return sum(len(found.candidates) for found in self.found)

    def parsed(self) -> int:
        """Replies that are JSON under their request's schema."""
        import jsonschema

        num_parsed = 0
        for request, reply in self.replies:
            try:
                jsonschema.validate(json.loads(reply.text), request.json_schema)
                num_parsed += 1
            except (ValueError, jsonschema.ValidationError):
                sys.stdout.write(f"does not parse: {reply} {request.json_schema}\n")
        return num_parsed


def one_round(config: RunConfig, generate: Generate) -> Round:
    """What the prompts stage does for each class, with the replies kept."""
    result = Round()

    def kept(requests: Sequence[TextRequest]) -> list[TextReply]:
        replies = generate(requests)
        result.replies += [pair for pair in zip(requests, replies, strict=True) if pair[0].json_schema is not None]
        return replies

    agent = PromptAgent(config.prompts, taxonomy(config.taxonomy), build_scorer(config), kept, config.class_infos())
    for info in config.class_infos():
        result.found.append(agent.run_class(info, derive_seed("prompts", config.seed, info.name)))
    return result


@pytest.fixture(scope="session")
def embedded() -> Round:
    """The same round with the embedded engine: the same weights, quantized, on llama.cpp."""
    from synthseg.engines.llama.engine import LlamaEngine

    return one_round(load_config("embedded", ONE_ROUND, CLASSES), LlamaEngine().generate)


@pytest.fixture(scope="session", autouse=True)
def _small_cache() -> None:
    """Before any Ray starts: its workers take over this process's environment."""
    assert (MODEL / "model.safetensors").is_file(), "SMOLLM2 must name the folder that tests/vllm/smollm2.py wrote"
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"


def assert_within_band(found: Round, embedded: Round) -> None:
    """Every reply parses, and the share of accepted candidates lies within a third of the embedded engine's, either way.

    The weights are the same but for their precision, so the shares differ by sampling noise and by the grammars of two backends.
    """
    sys.stdout.write(
        f"accepted {found.accepted} of {found.candidates}, embedded {embedded.accepted} of {embedded.candidates}; "
        f"parsed {found.parsed()} of {len(found.replies)}, embedded {embedded.parsed()} of {len(embedded.replies)}\n"
    )
    assert found.parsed() == len(found.replies) > 0
    share, expected = found.accepted / found.candidates, embedded.accepted / embedded.candidates
    assert 2 / 3 * expected <= share <= 3 / 2 * expected


def caption_request(seed: int, **fields: Any) -> TextRequest:
    """A request with a schema outside the agent's."""
    schema = {
        "type": "object",
        "properties": {"caption": {"type": "string", "pattern": r"^A horse( [a-z]{1,9}){3,6}\.$"}},
        "required": ["caption"],
        "additionalProperties": False,
    }
    fields = {"max_tokens": 40, "json_schema": schema, **fields}
    return TextRequest(({"role": "user", "content": "Write a caption of a horse."},), seed=seed, **fields)
