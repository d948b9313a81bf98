"""Stage `images`: paints a shard's samples on the replicas, scores each batch with CLIP while the next is being made,
selects, labels and publishes the shard. One worker holds one shard, so a killed run loses at most one shard a worker.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serving.deploy.build import image_handle
from serving.engines.client import stream_images
from synthseg.config.schema import RunConfig
from synthseg.engines.image import GeneratedImage, GenerationFailure, ImageRequest
from synthseg.engines.registry import build_scorer
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
from synthseg.store.run_folder import RunFolder
from synthseg.store.verify import stage_schema
from synthseg.taxonomy import taxonomy

if TYPE_CHECKING:
    pass

STAGE = "images"


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
            self._folder.worker_event("shard_started", stage=STAGE, shard=name)
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
            else replace(sample, outcome=Outcome("failed", STAGE, error=result.error, retryable=result.retryable))
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
                replace(
                    sample,
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
                    outcome=Outcome("dropped" if reason else "ok", STAGE, reason=reason),
                )
            )
        return scored


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
