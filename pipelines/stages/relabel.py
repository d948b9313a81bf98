"""Stage `relabel`: the fold model that never saw a sample gives its opinion, and the labels are written anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pipelines.context import RunContext
from pipelines.label_metrics import label_metrics
from synthseg.config.schema import RunConfig
from synthseg.image_codec import decode_rgb
from synthseg.machine.precision import used_here
from synthseg.machine.stacks import register
from synthseg.method.labels.folds import fold_of
from synthseg.method.labels.relabel import relabel
from synthseg.method.networks.classifier import CHECKPOINTS, fold_name, load_classifier
from synthseg.records import Labels, Outcome, Sample, from_table, outcome_stats, present, to_table
from synthseg.stages import Stage
from synthseg.store.run_folder import RunFolder
from synthseg.store.verify import stage_schema


class RelabelWorker:
    """Relabels the kept samples of one images shard into the labels shard of the same name."""

    def __init__(self, config: RunConfig, out: str, stacks: Path) -> None:
        register(stacks)
        self._config = config
        self._folder = RunFolder(out)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with self._folder.files.local_copy("classifier", CHECKPOINTS) as folder:
            self._models = [load_classifier(folder / fold_name(fold), config, device) for fold in range(config.classifier.folds)]

    def __call__(self, shard: pa.Table) -> dict[str, Any]:
        """Relabels the shard named in `shard`; its name and stats."""
        name = shard.column("shard")[0].as_py()
        made = from_table(self._folder.shards.read("images", name, stage_schema("images")))
        kept = [sample for sample in made if sample.is_ok]
        relabelled = self._relabel(kept) if kept else []
        stats = outcome_stats(relabelled)
        self._folder.shards.publish("labels", name, to_table(relabelled, "key", "labels", "outcome"), stats)
        return {"shard": name, "stats": stats, "precision": used_here(self._config.classifier.precision)}

    def _relabel(self, samples: list[Sample]) -> list[Sample]:
        classes = self._config.class_infos()
        folds = np.array([fold_of(sample.prompt.prompt_id, len(self._models)) for sample in samples])
        probabilities = np.zeros((len(samples), len(classes)), np.float32)
        for fold, model in enumerate(self._models):
            members = np.flatnonzero(folds == fold)
            if len(members):
                probabilities[members] = model.probabilities([decode_rgb(present(samples[i].image).encoded) for i in members])
        result = relabel(
            np.array([present(sample.labels).label for sample in samples], np.int8),
            probabilities,
            np.array([present(sample.score).image_probs for sample in samples], np.float32),
            np.array([[info.class_id in sample.class_ids for info in classes] for sample in samples]),
            self._config.relabel,
            self._config.scoring,
        )
        return [
            sample.grown(
                labels=Labels(tuple(result.label[i].tolist()), tuple(result.probs[i].tolist()), f"classifier/{folds[i]}"),
                outcome=Outcome("dropped", Stage.relabel, reason="refuted") if result.dropped[i] else Outcome("ok", Stage.relabel),
            )
            for i, sample in enumerate(samples)
        ]


def run(context: RunContext) -> None:
    """Let the fold models relabel every kept sample that has no final labels yet."""
    context.follow(Stage.relabel, RelabelWorker, "images", "labels")
    context.folder.update_metrics({"labels": label_metrics(context.config, context.folder)})
