"""Stage `images`: paints a shard's samples on the replicas, scores each batch with CLIP while the next is being made,
selects, labels and publishes the shard. One worker holds one shard, so a killed run loses at most one shard a worker.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
from synthseg.records import KEY_FIELDS, outcome, samples
from synthseg.report.cut_prompts import CUT_PROMPTS
from synthseg.sample_plan import image_parameters, plan_samples, plan_shards
from synthseg.store.run_folder import RunFolder
from synthseg.store.shards import Stage
from synthseg.store.verify import stage_schema
from synthseg.taxonomy import taxonomy

if TYPE_CHECKING:
    from training.segmenter import TrainingSample

STAGE = "images"
LEARNT_FROM = (*(field.name for field in KEY_FIELDS), "prompt", "image", "labels")
"""Columns of the samples that the classifier learns from."""


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
            rows, num_cut = self._make(shard.drop_columns("shard").to_pylist())
            stats = {
                "outcomes": dict(Counter(row["outcome"]["status"] for row in rows)),
                "reasons": dict(Counter(row["outcome"]["reason"] for row in rows if row["outcome"]["reason"])),
                CUT_PROMPTS: num_cut,
                "seconds": time.monotonic() - started,
            }
            table = samples(rows, "key", "prompt", "image", "score", "labels", "outcome")
            marker = self._folder.shards.publish("images", name, table, stats)
        return {"shard": name, "stats": marker.stats, "precision": used_here(self._config.scoring.precision)}

    def _make(self, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
        """The rows with their images and scores, and the number of images whose prompt the engine read a part of only."""
        parameters = self._config.images.parameters
        requests = [
            ImageRequest(
                prompt=row["prompt"]["text"],
                seed=row["seed"],
                width=self._config.images.width,
                height=self._config.images.height,
                negative_prompt=self._config.images.negative_prompt,
                parameters=parameters,
            )
            for row in rows
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
        return self._score(rows, results, image_embeddings), num_cut

    def _score(
        self, rows: list[dict[str, Any]], results: list[GeneratedImage | GenerationFailure], embeddings: NDArray[np.float32]
    ) -> list[dict[str, Any]]:
        done: list[tuple[int, GeneratedImage]] = []
        for i, result in enumerate(results):
            if isinstance(result, GeneratedImage):
                done.append((i, result))
            else:
                rows[i]["outcome"] = outcome("failed", STAGE, error=result.error, retryable=result.retryable)
        if not done:
            return rows
        texts = sorted({rows[i]["prompt"]["text"] for i, _ in done})
        text_embeddings = self._scorer.embed_texts(texts)
        at = [texts.index(rows[i]["prompt"]["text"]) for i, _ in done]
        clip_scores = np.sum(embeddings * text_embeddings[at], axis=1)
        image_probs = self._head.probabilities(embeddings)
        prompt_probs = self._head.probabilities(text_embeddings)[at]
        asked = np.array([[info.class_id in rows[i]["class_ids"] for info in self._classes] for i, _ in done])
        reasons = select([rows[i]["prompt"]["prompt_id"] for i, _ in done], clip_scores, image_probs, asked, self._config.scoring)
        labels = pseudo_labels(image_probs, prompt_probs, asked, self._config.scoring)
        parameters = canonical_json(image_parameters(self._config))
        for n, (i, result) in enumerate(done):
            reason = UNSAFE if result.is_withheld else reasons[n]
            rows[i]["image"] = {
                "bytes": result.encoded,
                "width": result.width,
                "height": result.height,
                "sha256": image_sha256(result.encoded),
                "engine": self._engine_digest,
                "parameters": parameters,
            }
            rows[i]["score"] = {
                "clip_score": float(clip_scores[n]),
                "image_probs": image_probs[n].tolist(),
                "prompt_probs": prompt_probs[n].tolist(),
                "safety": result.safety,
                "kept": not reason,
                "reason": reason,
            }
            rows[i]["labels"] = {"label": labels[n].tolist(), "probs": image_probs[n].tolist(), "source": "clip"}
            rows[i]["outcome"] = outcome("dropped" if reason else "ok", STAGE, reason=reason)
        return rows


def ensure_plan(config: RunConfig, folder: RunFolder, accepted: list[dict[str, Any]], engine_digest: str) -> None:
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


def kept_samples(folder: RunFolder, columns: Sequence[str] = LEARNT_FROM) -> pa.Table:
    """Samples that selection kept, cut to `columns`; by default what the classifier learns from."""
    return _ok_samples(folder, "images", columns)


def training_samples(folder: RunFolder) -> list[TrainingSample]:
    """Samples that survived relabelling, with their final labels: what the segmenter learns from."""
    from training.segmenter import TrainingSample  # a painting worker needs no training

    labels = final_labels(folder)
    kept = kept_samples(folder, ["sample_id", "image.bytes"]).to_pylist()
    return [TrainingSample(row["image"]["bytes"], tuple(labels[row["sample_id"]])) for row in kept if row["sample_id"] in labels]


def final_labels(folder: RunFolder) -> dict[str, list[int]]:
    """Label vector (K values of 1, 0, -1) of each sample that survived relabelling, by sample id."""
    rows = _ok_samples(folder, "labels", ["sample_id", "labels.label"]).to_pylist()
    return {row["sample_id"]: row["labels"]["label"] for row in rows}


def _ok_samples(folder: RunFolder, stage: Stage, columns: Sequence[str]) -> pa.Table:
    """Samples with the outcome ok of a stage, cut to `columns`."""
    table = folder.shards.read_all(stage, stage_schema(stage), [*columns, "outcome.status"])
    status = pc.struct_field(table.column("outcome"), "status")
    return table.filter(pc.equal(status, "ok")).drop_columns("outcome")
