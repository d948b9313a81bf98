"""Stage `prompts`: one shard a class, written by the agent that ran the class; a published class is never asked again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.stacks import register
from serving.build import text_handle
from serving.client import generate_texts
from synthseg.config.schema import RunConfig
from synthseg.engines.registry import build_scorer
from synthseg.ids import derive_seed
from synthseg.records import PROMPT_CANDIDATE
from synthseg.store.run_folder import RunFolder
from synthseg.taxonomy import ClassInfo, taxonomy


def shard_name(info: ClassInfo) -> str:
    """Name of the shard that holds all candidates of a class."""
    return f"class-{info.class_id:03d}-{info.name.replace(' ', '_')}"


class PromptWorker:
    """Runs the Self-Refine Prompt Agent for the class in each shard, and the no-LLM control beside it."""

    def __init__(self, config: RunConfig, out: str, stacks: Path) -> None:
        from synthseg.engines.template_text import TemplateEngine
        from synthseg.prompts.agent import PromptAgent

        register(stacks)
        self._config = config
        self._folder = RunFolder(out)
        scorer = build_scorer(config)
        handle = text_handle()
        control = config.prompts.model_copy(update={"engine": "template", "model": ""})
        classes = config.class_infos()
        self._agent = PromptAgent(config.prompts, classes, scorer, lambda requests: generate_texts(handle, requests))
        self._control = PromptAgent(control, classes, scorer, TemplateEngine().generate)

    def __call__(self, shard: pa.Table) -> pa.Table:
        """One row (class_id, stats) for the one class in `shard`."""
        class_id = shard.column("class_id")[0].as_py()
        info = taxonomy(self._config.taxonomy).by_id(class_id)
        started = time.monotonic()
        seed = derive_seed("prompts", self._config.seed, info.name)
        found = self._agent.run_class(info, seed)
        control = self._control.run_class(info, seed)
        stats = {
            "agent": found.summary(),
            "control": control.summary(),
            "ended_because": found.ended_because,
            "seconds": time.monotonic() - started,
        }
        table = pa.Table.from_pylist(found.candidates, schema=PROMPT_CANDIDATE)
        self._folder.shards.publish("prompts", shard_name(info), table, stats)
        return pa.table({"class_id": [class_id], "stats": [json.dumps(stats)]})


def pending_classes(config: RunConfig, folder: RunFolder) -> list[pa.Table]:
    """One single-row shard a class whose prompts are not published yet."""
    published = folder.shards.markers("prompts")
    return [pa.table({"class_id": [info.class_id]}) for info in config.class_infos() if shard_name(info) not in published]


def accepted_prompts(folder: RunFolder) -> list[dict[str, Any]]:
    """Accepted prompts of all classes, in mask order and in order of acceptance, as stored."""
    rows = folder.shards.read_all("prompts", PROMPT_CANDIDATE).to_pylist()
    return [row for row in rows if row["accepted"]]
