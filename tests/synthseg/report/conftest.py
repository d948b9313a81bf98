"""A made-up run folder with everything a finished run has, at a size that a page is looked at with."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from synthseg.config import RunConfig, load_config
from synthseg.ids import image_sha256, prompt_id
from synthseg.sample_plan import plan_samples
from synthseg.store.run_folder import RunFolder
from tests.rows import candidate_table, candidates, outcome, samples

PLACES = ("in a green meadow", "on a wet street at night", "beside a calm lake", "in heavy snow", "against a red evening sky")
HOSTILE_PROMPT = '<script>alert("x")</script> a {{ cat }} & "friends"'


def png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def drawing(rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A disc on a gradient, and where the disc is."""
    rows, columns = np.mgrid[0:size, 0:size]
    sky, ground, body = rng.integers(40, 230, (3, 3))
    blend = (rows / size)[..., None]
    pixels = sky * (1 - blend) + ground * blend
    cy, cx, radius = rng.uniform(0.35, 0.65) * size, rng.uniform(0.3, 0.7) * size, rng.uniform(0.15, 0.3) * size
    disc = (rows - cy) ** 2 + (columns - cx) ** 2 < radius**2
    pixels[disc] = body
    return np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8), disc


def prompt_rows(config: RunConfig, rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for info in config.class_infos():
        for slot in range(18):
            near = float(np.clip(rng.normal(0.82, 0.08), 0, 0.999))
            quality = float(np.clip(rng.normal(0.68, 0.15), 0, 1))
            accepted = near < config.prompts.diversity_threshold and quality >= config.prompts.min_quality
            text = f"a {('small', 'large', 'brown', 'white')[slot % 4]} {info.display} {PLACES[slot % 5]}, seen from {slot + 1} m away"
            rows.append(
                {
                    "prompt_id": prompt_id([info.class_id], text),
                    "class_ids": [info.class_id],
                    "kind": "target",
                    "text": HOSTILE_PROMPT if info.name == "cat" and slot == 0 else text,
                    "round": slot // 6,
                    "slot": slot,
                    "parent_id": "",
                    "request_seed": slot,
                    "fluency": quality,
                    "realism": quality,
                    "visibility": quality,
                    "quality": quality,
                    "class_similarity": float(rng.normal(0.6, 0.1)),
                    "neighbour_similarity": near,
                    "engine": "llama/test",
                    "accepted": accepted or (info.name == "cat" and slot == 0),
                    "reason": ""
                    if accepted
                    else ("too similar" if quality >= config.prompts.min_quality else "cut_short" if slot % 3 == 0 else "low quality"),
                }
            )
    return rows


def image_row(config: RunConfig, planned: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    pixels, _ = drawing(rng, 64)
    encoded = png(pixels)
    owner = [info.class_id in planned["class_ids"] for info in config.class_infos()]
    probabilities = np.clip(rng.normal(0.08, 0.1, len(owner)) + 0.7 * np.array(owner), 0, 1)
    kept = planned["ordinal"] != 3
    label = [1 if p > 0.5 else -1 if p > 0.2 else 0 for p in probabilities]
    failed = rng.uniform() < 0.01
    return {
        **planned,
        "image": None
        if failed
        else {"bytes": encoded, "width": 64, "height": 64, "sha256": image_sha256(encoded), "engine": "painter/test", "parameters": "{}"},
        "score": None
        if failed
        else {
            "clip_score": float(rng.normal(0.31 if kept else 0.24, 0.03)),
            "image_probs": probabilities.tolist(),
            "prompt_probs": probabilities.tolist(),
            "safety": "ok",
            "kept": kept,
            "reason": "" if kept else "not among the best of its prompt",
        },
        "labels": None if failed else {"label": label, "probs": probabilities.tolist(), "source": "clip"},
        "outcome": outcome("failed", "images", error="engine: no image")
        if failed
        else outcome("ok", "images")
        if kept
        else outcome("dropped", "images", reason="not among the best of its prompt"),
    }


def label_row(row: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    label = [value if value >= 0 or rng.uniform() < 0.2 else int(rng.uniform() < 0.3) for value in row["labels"]["label"]]
    refuted = rng.uniform() < 0.03
    return {
        **{key: row[key] for key in ("sample_id", "class_ids", "ordinal", "seed")},
        "labels": {"label": label, "probs": row["labels"]["probs"], "source": "classifier/0"},
        "outcome": outcome("dropped", "relabel", reason="refuted") if refuted else outcome("ok", "relabel"),
    }


def mask_row(row: dict[str, Any], config: RunConfig, rng: np.random.Generator) -> dict[str, Any]:
    """A disc of the sample's first class within a band of unknown pixels."""
    own = [info.class_id for info in config.class_infos()].index(row["class_ids"][0]) + 1 if row["class_ids"] else 0
    disc = drawing(rng, 64)[1]
    grown = disc | np.roll(disc, 3, axis=0) | np.roll(disc, -3, axis=1)
    encoded = png(np.where(disc, own, np.where(grown, 255, 0)).astype(np.uint8))
    mask = {"bytes": encoded, "sha256": image_sha256(encoded), "source": "labels, seeds, par", "parameters": "{}"}
    return {**{key: row[key] for key in ("sample_id", "class_ids", "ordinal", "seed")}, "mask": mask, "outcome": outcome("ok", "masks")}


def write_field(folder: RunFolder, config: RunConfig, rng: np.random.Generator) -> None:
    shown = []
    for index in range(6):
        pixels, disc = drawing(rng, 128)
        value = 1 + index % len(config.classes)
        truth = np.where(disc, value, 0).astype(np.uint8)
        truth[np.roll(disc, 1, 0) != disc] = 255
        files = {
            "image": png(pixels),
            "truth": png(truth),
            "prediction": png(np.where(np.roll(disc, 3, 1), value, 0).astype(np.uint8)),
            "control": png(np.where(np.roll(disc, 16, 0), value, 0).astype(np.uint8)),
        }
        for kind, content in files.items():
            folder.files.write(f"report_assets/field-{index}-{kind}.png", content)
        shown.append({"name": f"field-{index:04d}", **{kind: f"report_assets/field-{index}-{kind}.png" for kind in files}})
    folder.files.write("report_assets/field.json", json.dumps(shown).encode())


def metrics_of(
    config: RunConfig, images: list[dict[str, Any]], labels: list[dict[str, Any]], prompts: list[dict[str, Any]]
) -> dict[str, Any]:
    final = {row["sample_id"]: row["outcome"] for row in [*images, *labels]}
    names = {info.class_id: info.name for info in config.class_infos()}
    per_class = {name: {"planned": 0, "ok": 0, "dropped": 0, "failed": 0} for name in names.values()}
    reasons: dict[str, int] = {}
    for row in images:
        found = final[row["sample_id"]]
        counts = per_class[names[row["class_ids"][0]]]
        counts["planned"] += 1
        counts[found["status"]] += 1
        if found["status"] != "ok":
            why = found["reason"] or found["error"]
            reasons[why] = reasons.get(why, 0) + 1
    total = {kind: sum(counts[kind] for counts in per_class.values()) for kind in ("planned", "ok", "dropped", "failed")}
    accepted = sum(row["accepted"] for row in prompts)
    scale = np.linspace(0, 1, 10)
    iou = {name: round(0.35 + 0.4 * float(scale[i % 10]), 4) for i, name in enumerate(["background", *config.classes])}
    return {
        "samples": {**total, "per_class": per_class, "dropped_by_reason": reasons},
        "prompts": {
            "candidates": len(prompts),
            "accepted": accepted,
            "rounds": 3,
            "acceptance_rate": accepted / len(prompts),
            "mean_neighbour_similarity": 0.741,
        },
        "template_control": {
            "candidates": 300,
            "accepted": accepted,
            "acceptance_rate": accepted / 300,
            "mean_neighbour_similarity": 0.873,
        },
        "labels": {
            "pseudo_f1": 0.78,
            "relabelled_f1": 0.84,
            "pseudo_precision": 0.8,
            "relabelled_precision": 0.83,
            "pseudo_recall": 0.76,
            "relabelled_recall": 0.85,
        },
        "classifier": {
            "field_map": 0.71,
            "curve": [{"fold": f, "epoch": e, "loss": 0.6 / (1 + e) + 0.05 * f} for f in range(2) for e in range(8)],
        },
        "segmenter": {
            "field_miou": 0.5213,
            "per_class": iou,
            "curve": [{"iteration": i, "total": 2.0 / (1 + i / 40), "learning_rate": 1e-4, "elapsed_s": 3.0} for i in range(0, 600, 2)],
        },
        "control": {"training_free_miou": 0.3178, "per_class": {name: round(value * 0.6, 4) for name, value in iou.items()}},
        "stage_seconds": {"prompts": 61.0, "images": 44.2, "classifier": 70.4, "relabel": 8.0, "segmenter": 92.1, "evaluate": 14.4},
        "stages": [
            {
                "name": "prompts",
                "planned": len(prompts),
                "ok": accepted,
                "dropped": len(prompts) - accepted,
                "failed": 0,
                "seconds": 61.0,
                "rate": 4.3,
            },
            {"name": "images", **total, "seconds": 44.2, "rate": 15.1},
        ],
        "images_per_s": 15.08,
    }


@pytest.fixture(scope="session")
def made_up_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "embedded"
    write_run(out)
    return out


def write_run(out: Path) -> None:
    config = load_config("embedded", ['classes=["bird","car","cat","cow","horse","person"]'])
    rng = np.random.default_rng(5)
    folder = RunFolder.create(str(out), config)
    prompts = prompt_rows(config, rng)
    for info in config.class_infos():
        mine = [row for row in prompts if row["class_ids"] == [info.class_id]]
        folder.shards.publish("prompts", info.name, candidate_table(mine))
    plan = plan_samples(config, candidates(row for row in prompts if row["accepted"]), "painter/test")
    folder.shards.publish("plan", "plan", plan, {"engine_digest": "painter/test"})
    images = [image_row(config, row, rng) for row in plan.to_pylist()]
    labels = [label_row(row, rng) for row in images if row["outcome"]["status"] == "ok"]
    folder.shards.publish("images", "shard-00000", samples(images, "key", "prompt", "image", "score", "labels", "outcome"))
    folder.shards.publish("labels", "shard-00000", samples(labels, "key", "labels", "outcome"))
    masks = [mask_row(row, config, rng) for row in labels if row["outcome"]["status"] == "ok"]
    folder.shards.publish("masks", "shard-00000", samples(masks, "key", "mask", "outcome"))
    folder.update_metrics({**metrics_of(config, images, labels, prompts), "masks": {"unknown_share": 0.08}})
    write_field(folder, config, rng)
