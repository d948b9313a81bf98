"""Stage `relabel`: the fold model that never saw a sample gives its opinion, and the labels are written anew."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from synthseg.config.schema import RunConfig
from synthseg.image_codec import decode_rgb
from synthseg.machine.precision import used_here
from synthseg.machine.stacks import register
from synthseg.method.labels.folds import fold_of
from synthseg.method.labels.relabel import relabel
from synthseg.method.networks.classifier import CHECKPOINTS, load_classifier
from synthseg.records import outcome, samples
from synthseg.store.run_folder import RunFolder
from synthseg.store.verify import stage_schema

STAGE = "relabel"


class RelabelWorker:
    """Relabels the kept samples of one images shard into the labels shard of the same name."""

    def __init__(self, config: RunConfig, out: str, checkpoints: list[str], stacks: Path) -> None:
        register(stacks)
        self._config = config
        self._folder = RunFolder(out)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with self._folder.files.local_copy("classifier", CHECKPOINTS) as folder:
            self._models = [load_classifier(folder / name, config, device) for name in checkpoints]

    def __call__(self, shard: pa.Table) -> dict[str, Any]:
        """Relabels the shard named in `shard`; its name and stats."""
        name = shard.column("shard")[0].as_py()
        made = self._folder.shards.read("images", name, stage_schema("images")).to_pylist()
        rows = [row for row in made if row["outcome"]["status"] == "ok"]
        relabelled = self._relabel(rows) if rows else []
        stats = {
            "outcomes": dict(Counter(row["outcome"]["status"] for row in relabelled)),
            "reasons": dict(Counter(row["outcome"]["reason"] for row in relabelled if row["outcome"]["reason"])),
        }
        self._folder.shards.publish("labels", name, samples(relabelled, "key", "labels", "outcome"), stats)
        return {"shard": name, "stats": stats, "precision": used_here(self._config.classifier.precision)}

    def _relabel(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        classes = self._config.class_infos()
        folds = np.array([fold_of(row["prompt"]["prompt_id"], len(self._models)) for row in rows])
        probabilities = np.zeros((len(rows), len(classes)), np.float32)
        for fold, model in enumerate(self._models):
            members = np.flatnonzero(folds == fold)
            if len(members):
                probabilities[members] = model.probabilities([decode_rgb(rows[i]["image"]["bytes"]) for i in members])
        result = relabel(
            np.array([row["labels"]["label"] for row in rows], np.int8),
            probabilities,
            np.array([row["score"]["image_probs"] for row in rows], np.float32),
            np.array([[info.class_id in row["class_ids"] for info in classes] for row in rows]),
            self._config.relabel,
            self._config.scoring,
        )
        return [
            {
                **{key: row[key] for key in ("sample_id", "class_ids", "ordinal", "seed")},
                "labels": {"label": result.label[i].tolist(), "probs": result.probs[i].tolist(), "source": f"classifier/{folds[i]}"},
                "outcome": outcome("dropped" if result.dropped[i] else "ok", STAGE, reason="refuted" if result.dropped[i] else ""),
            }
            for i, row in enumerate(rows)
        ]


def pending_shards(folder: RunFolder) -> list[pa.Table]:
    """One single-row table for each images shard without a labels shard."""
    published = folder.shards.markers("labels")
    return [pa.table({"shard": [name]}) for name in folder.shards.markers("images") if name not in published]
