"""Stage `images`: paints a shard's samples on the replicas, scores each batch with CLIP while the next is being made,
selects, labels and publishes the shard. One worker holds one shard, so a killed run loses at most one shard a worker.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.context import RunContext
from pipelines.invariance import note_invariance
from pipelines.session import check_room
from pipelines.stages.prompts import accepted_prompts
from serving.deploy.build import deploy_engines, image_app, image_handle, release
from serving.engines.client import engine_digest, stream_images
from synthseg.config.schema import RunConfig
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.engines.registry import build_scorer
from synthseg.errors import RunFailure, UsageProblem
from synthseg.ids import canonical_json, image_sha256
from synthseg.image_codec import decode_rgb
from synthseg.machine.precision import used_here
from synthseg.machine.stacks import beat, register
from synthseg.method.labels.probabilities import ClassHead
from synthseg.method.labels.pseudo import pseudo_labels
from synthseg.method.labels.selection import UNSAFE, select
from synthseg.records import Image, Labels, Outcome, PromptCandidate, Sample, Score, from_table, outcome_stats, to_table
from synthseg.report.cut_prompts import CUT_PROMPTS
from synthseg.sample_plan import image_parameters, plan_samples, plan_shards
from synthseg.stages import Stage
from synthseg.store.run_folder import RunFolder
from synthseg.store.verify import stage_schema
from synthseg.taxonomy import taxonomy

_NOTHING: Final = {"image": None, "score": None, "labels": None}
"""Sections of a sample that could not be made."""


class ImageWorker:
    """Makes one shard at a time from its plan."""

    def __init__(self, config: RunConfig, out: str, stacks: Path) -> None:
        register(stacks)
        self._stacks = stacks
        cv2.setNumThreads(1)
        self._config = config
        self._folder = RunFolder(out)
        self._scorer = build_scorer(config)
        self._classes = config.class_infos()
        self._head = ClassHead(self._scorer, self._classes, taxonomy(config.taxonomy).background_words)
        self._replicas = image_handle(config)
        self._engine_digest = str(self._replicas.digest.remote().result())

    def __call__(self, shard: pa.Table) -> dict[str, Any]:
        """Shard name and stats, after it is published. A shard that is already published is left alone."""
        name = shard.column("shard")[0].as_py()
        marker = self._folder.shards.marker("images", name)
        if marker is None:
            started = time.monotonic()
            self._folder.worker_event("shard_started", stage=Stage.images, shard=name)
            made, num_cut = self._make(from_table(shard.drop_columns("shard")))
            stats = {**outcome_stats(made), CUT_PROMPTS: num_cut, "seconds": time.monotonic() - started}
            table = to_table(made, "key", "prompt", "image", "score", "labels", "outcome")
            marker = self._folder.shards.publish("images", name, table, stats)
        return {"shard": name, "stats": marker.stats, "precision": used_here(self._config.scoring.precision)}

    def _make(self, planned: list[Sample]) -> tuple[list[Sample], int]:
        """The samples with their images and scores, and the number of images whose prompt the engine read a part of only."""
        parameters = self._config.images.parameters
        requests = [
            ImageRequest(
                prompt=sample.prompt.text,
                seed=sample.seed,
                width=self._config.images.width,
                height=self._config.images.height,
                negative_prompt=self._config.images.negative_prompt,
                parameters=parameters,
            )
            for sample in planned
        ]
        results: list[GeneratedImage | GenerationFailure] = []
        embeddings: list[NDArray[np.float32]] = []
        execution = self._config.execution
        for _, batch in stream_images(self._replicas, requests, execution.image_batch_size, execution.max_in_flight):
            results += batch
            beat(self._stacks)
            painted = [r for r in batch if isinstance(r, GeneratedImage)]
            if painted:
                embeddings.append(self._scorer.embed_images([decode_rgb(r.encoded) for r in painted]))
        image_embeddings = np.concatenate(embeddings) if embeddings else np.zeros((0, 1), np.float32)
        num_cut = sum(isinstance(result, GeneratedImage) and result.cut_tokens > 0 for result in results)
        return self._score(planned, results, image_embeddings), num_cut

    def _score(
        self, planned: list[Sample], results: list[GeneratedImage | GenerationFailure], embeddings: NDArray[np.float32]
    ) -> list[Sample]:
        """The samples with all that became of them; `embeddings` (N, D) are those of the images that were made, in order."""
        made = [sample for sample, result in zip(planned, results, strict=True) if isinstance(result, GeneratedImage)]
        scored = iter(self._scored(made, [r for r in results if isinstance(r, GeneratedImage)], embeddings) if made else [])
        return [
            next(scored)
            if isinstance(result, GeneratedImage)
            else sample.grown(**_NOTHING, outcome=Outcome("failed", Stage.images, error=result.error, retryable=result.retryable))
            for sample, result in zip(planned, results, strict=True)
        ]

    def _scored(self, samples: list[Sample], made: list[GeneratedImage], embeddings: NDArray[np.float32]) -> list[Sample]:
        texts = sorted({sample.prompt.text for sample in samples})
        text_embeddings = self._scorer.embed_texts(texts)
        at = [texts.index(sample.prompt.text) for sample in samples]
        clip_scores = np.sum(embeddings * text_embeddings[at], axis=1)
        image_probs = self._head.probabilities(embeddings)
        prompt_probs = self._head.probabilities(text_embeddings)[at]
        asked = np.array([[info.class_id in sample.class_ids for info in self._classes] for sample in samples])
        reasons = select([sample.prompt.prompt_id for sample in samples], clip_scores, image_probs, asked, self._config.scoring)
        labels = pseudo_labels(image_probs, prompt_probs, asked, self._config.scoring)
        parameters = canonical_json(image_parameters(self._config))
        scored = []
        for n, (sample, result) in enumerate(zip(samples, made, strict=True)):
            reason = UNSAFE if result.is_withheld else reasons[n]
            probs = tuple(image_probs[n].tolist())
            scored.append(
                sample.grown(
                    image=Image(
                        encoded=result.encoded,
                        width=result.width,
                        height=result.height,
                        sha256=image_sha256(result.encoded),
                        engine=self._engine_digest,
                        parameters=parameters,
                    ),
                    score=Score(
                        clip_score=float(clip_scores[n]),
                        image_probs=probs,
                        prompt_probs=tuple(prompt_probs[n].tolist()),
                        safety=result.safety,
                        kept=not reason,
                        reason=reason,
                    ),
                    labels=Labels(tuple(labels[n].tolist()), probs, "clip"),
                    outcome=Outcome("dropped" if reason else "ok", Stage.images, reason=reason),
                )
            )
        return scored


def run(context: RunContext) -> None:
    """Plan the samples, then paint, score and select every shard that is not published.

    RunFailure without a prompt; UsageProblem when the images were planned with another engine.
    """
    config, folder = context.config, context.folder
    accepted = accepted_prompts(folder)
    if not accepted:
        raise RunFailure("prompts: no prompt was accepted; lower prompts.min_quality or raise prompts.max_rounds")
    if folder.shards.marker("plan", "plan") and not pending_shards(config, folder):
        return
    planned = len(accepted) * config.images.images_per_prompt
    with context.timed(Stage.images, planned):
        check_room(config, Stage.images)
        deploy_engines(config, text=False, image=True)
        digest = engine_digest(image_handle(config))
        ensure_plan(config, folder, accepted, digest)
        check_engine(folder, digest)
        note_invariance(config, folder)
        folder.shards.discard_unpublished("images")
        pending = pending_shards(config, folder)
        context.progress.advance(Stage.images, ok=planned - sum(shard.num_rows for shard in pending))
        for told in context.stream(Stage.images, ImageWorker, {}, pending):
            folder.event("shard_published", stage=Stage.images, shard=told["shard"])
            folder.note_precision(Stage.images, [told["precision"]])
            context.progress.advance(Stage.images, **told["stats"]["outcomes"])
        release(image_app(config))


def ensure_plan(config: RunConfig, folder: RunFolder, accepted: list[PromptCandidate], engine_digest: str) -> None:
    """Publish the plan unless an earlier start of this run already did; it then stands, with its cut into shards."""
    if folder.shards.marker("plan", "plan") is None:
        plan = plan_samples(config, accepted, engine_digest)
        stats = {"engine_digest": engine_digest, "shard_size": config.execution.shard_size}
        folder.shards.publish("plan", "plan", plan, stats)


def pending_shards(config: RunConfig, folder: RunFolder) -> list[pa.Table]:
    """The plan's shards that are not published yet, each with its name in the column `shard`."""
    plan = folder.shards.read("plan", "plan", stage_schema("plan"))
    shard_size = folder.shards.markers("plan")["plan"].stats["shard_size"]
    published = folder.shards.markers("images")
    shards = plan_shards(plan, config.images.images_per_prompt, shard_size)
    return [
        table.append_column("shard", pa.array([name] * table.num_rows, pa.string())).combine_chunks()
        for name, table in shards
        if name not in published
    ]


def check_engine(folder: RunFolder, digest: str) -> None:
    """UsageProblem when the images were planned with another image engine than that of `digest`."""
    marker = folder.shards.marker("plan", "plan")
    planned = marker.stats["engine_digest"] if marker else digest
    if planned != digest:
        raise UsageProblem(
            f"out: '{folder.out}' was planned with image engine {planned}, this installation has {digest}; "
            "finish it with the version that began it, or use another --out"
        )
