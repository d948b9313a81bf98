"""Stage `prompts`: one shard a class, written by the agent that ran the class; a published class is never asked again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.context import RunContext
from pipelines.session import check_room
from serving.deploy.build import deploy_engines, release, text_app, text_handle
from serving.engines.client import generate_texts
from synthseg.config.schema import RunConfig
from synthseg.embedded.template_text import TemplateEngine
from synthseg.engines.registry import build_prompt_check, build_scorer
from synthseg.engines.text import TextReply, TextRequest
from synthseg.ids import derive_seed
from synthseg.machine.stacks import beat, register
from synthseg.method.prompts.agent import ClassPrompts, Generate, PromptAgent
from synthseg.method.prompts.diversity import mean_neighbour_similarity
from synthseg.records import CANDIDATE_SCHEMA, PromptCandidate, candidates_from_table, candidates_to_table
from synthseg.stages import Stage
from synthseg.store.run_folder import RunFolder
from synthseg.taxonomy import ClassInfo, taxonomy

CLASSES_AT_ONCE = 3
"""Classes that one worker has in hand: while one waits for the last reply of its round, the replicas work for the others."""


def shard_name(info: ClassInfo) -> str:
    """Name of the shard that holds all candidates of a class."""
    return f"class-{info.class_id:03d}-{info.name.replace(' ', '_')}"


class PromptWorker:
    """Runs the Self-Refine Prompt Agent for the class in each shard, and the no-LLM control beside it. Called by several threads, it lets
    one class go on while others wait for their replies: what the agent is made of (tokenizers among it) is not for two threads at once.
    """

    def __init__(self, config: RunConfig, out: str, stacks: Path) -> None:
        register(stacks)
        self._stacks = stacks
        self._config = config
        self._folder = RunFolder(out)
        self._scorer = build_scorer(config)
        self._check = build_prompt_check(config)
        self._replicas = text_handle(config)
        self._turn = threading.Lock()
        digest = str(self._replicas.digest.remote().result())
        self._agent = self._build(self._ask, digest)
        template = TemplateEngine()
        self._control = self._build(template.generate, template.digest)

    def __call__(self, shard: pa.Table) -> dict[str, Any]:
        """Runs the one class in `shard`; its stats."""
        with self._turn:
            return self._run(shard)

    def _ask(self, requests: Sequence[TextRequest]) -> list[TextReply]:
        """Replies of the replicas; meanwhile it is another class's turn."""
        self._turn.release()
        try:
            return generate_texts(self._replicas, requests)
        finally:
            self._turn.acquire()

    def _run(self, shard: pa.Table) -> dict[str, Any]:
        class_id = shard.column("class_id")[0].as_py()
        info = taxonomy(self._config.taxonomy).by_id(class_id)
        started = time.monotonic()
        self._folder.worker_event("shard_started", stage="prompts", shard=shard_name(info))
        seed = derive_seed("prompts", self._config.seed, info.name)
        found, control = self._agent.run_class(info, seed, lambda _: beat(self._stacks)), self._control.run_class(info, seed)
        num_compared = min(len(_target_texts(found)), len(_target_texts(control)))
        stats = {
            "agent": self._summary(found, num_compared),
            "control": self._summary(control, num_compared),
            "seconds": round(time.monotonic() - started, 3),
        }
        table = candidates_to_table(found.candidates)
        self._folder.shards.publish("prompts", shard_name(info), table, stats)
        return stats

    def _build(self, generate: Generate, digest: str) -> PromptAgent:
        config = self._config
        known, infos = taxonomy(config.taxonomy), config.class_infos()
        return PromptAgent(config.prompts, known, self._scorer, generate, infos, digest, self._check)

    def _summary(self, found: ClassPrompts, num_compared: int) -> dict[str, Any]:
        """Counts of the class, and the diversity of its first `num_compared` target prompts."""
        texts = _target_texts(found)[:num_compared]
        similarity = mean_neighbour_similarity(self._scorer.embed_texts(texts)) if len(texts) > 1 else None
        reasons: Counter[str] = Counter()
        for report in found.rounds:
            reasons.update(report.reasons)
        return {
            "candidates": len(found.candidates),
            "accepted": len(found.accepted),
            "rounds": len(found.rounds),
            "by_round": [[report.candidates, report.accepted] for report in found.rounds],
            "reasons": dict(reasons),
            "ended_because": found.ended_because,
            "diversity_threshold": found.diversity_threshold,
            "num_compared": num_compared,
            "mean_neighbour_similarity": similarity,
        }


def run(context: RunContext) -> None:
    """Ask the agent for the prompts of every class that has none yet."""
    config = context.config
    pending = pending_classes(config, context.folder)
    if pending:
        each = config.prompts.prompts_per_class + config.prompts.context_prompts_per_class
        with context.timed(Stage.prompts, len(pending) * each):
            check_room(config, Stage.prompts)
            deploy_engines(config, text=True, image=False)
            for told in context.stream(Stage.prompts, PromptWorker, {}, pending, CLASSES_AT_ONCE):
                context.progress.advance(Stage.prompts, ok=told["agent"]["accepted"])
            release(text_app(config))
    context.folder.update_metrics(prompt_metrics(config, context.folder))


def pending_classes(config: RunConfig, folder: RunFolder) -> list[pa.Table]:
    """One single-row shard a class whose prompts are not published yet."""
    published = folder.shards.markers("prompts")
    return [pa.table({"class_id": [info.class_id]}) for info in config.class_infos() if shard_name(info) not in published]


def accepted_prompts(folder: RunFolder) -> list[PromptCandidate]:
    """Accepted prompts of all classes, in mask order and in order of acceptance, as stored.

    Two classes may accept the very same text about both of them; the first keeps it, for a sample is planned once.
    """
    considered = candidates_from_table(folder.shards.read_all("prompts", CANDIDATE_SCHEMA))
    return list({candidate.prompt_id: candidate for candidate in reversed(considered) if candidate.accepted}.values())[::-1]


def prompt_metrics(config: RunConfig, folder: RunFolder) -> dict[str, Any]:
    """`prompts` of the agent and `template_control` of the same loop without an LLM, over all classes."""
    markers = folder.shards.markers("prompts")
    stats = {info.name: markers[shard_name(info)].stats for info in config.class_infos() if shard_name(info) in markers}
    return {"prompts": _totals(stats, "agent"), "template_control": _totals(stats, "control")}


def _totals(stats: dict[str, dict[str, Any]], which: str) -> dict[str, Any]:
    per_class = {name: found[which] for name, found in stats.items()}
    candidates = sum(found["candidates"] for found in per_class.values())
    accepted = sum(found["accepted"] for found in per_class.values())
    rounds = max(found["rounds"] for found in per_class.values())
    by_round = [
        {
            "round": number,
            "candidates": sum(found["by_round"][number][0] for found in per_class.values() if number < found["rounds"]),
            "accepted": sum(found["by_round"][number][1] for found in per_class.values() if number < found["rounds"]),
        }
        for number in range(rounds)
    ]
    reasons: Counter[str] = Counter()
    for found in per_class.values():
        reasons.update(found["reasons"])
    similarities = [found["mean_neighbour_similarity"] for found in per_class.values() if found["mean_neighbour_similarity"] is not None]
    return {
        "candidates": candidates,
        "accepted": accepted,
        "rounds": rounds,
        "acceptance_rate": round(accepted / candidates, 4) if candidates else 0.0,
        "mean_neighbour_similarity": round(sum(similarities) / len(similarities), 4) if similarities else None,
        "by_round": by_round,
        "reasons": dict(reasons.most_common()),
        "per_class": per_class,
    }


def _target_texts(found: ClassPrompts) -> list[str]:
    return [candidate.text for candidate in found.accepted if candidate.kind != "context"]
