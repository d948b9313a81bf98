"""Stage `masks`: pseudo-masks grown from the final labels, one shard for each labels shard, of the samples that relabelling kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch

from pipelines.context import RunContext
from pipelines.stages.segmenter import is_trained
from synthseg.config.schema import RunConfig, SegmenterConfig
from synthseg.ids import canonical_json, image_sha256
from synthseg.image_codec import decode_rgb, encode_png
from synthseg.machine.precision import used_here
from synthseg.machine.stacks import beat, register
from synthseg.method.masks.pseudo_masks import MASK_SETTINGS
from synthseg.method.networks.frozen import load_frozen
from synthseg.records import Mask, Outcome, Sample, from_table, outcome_stats, present, to_table
from synthseg.stages import Stage
from synthseg.store.run_folder import RunFolder
from synthseg.store.verify import stage_schema
from synthseg.taxonomy import VOID_ID

BLOCK = 64
"""Images whose masks are made between two signs of life."""


class MaskWorker:
    """Makes the masks of one labels shard into the masks shard of the same name."""

    def __init__(self, config: RunConfig, out: str, stacks: Path) -> None:
        register(stacks)
        cv2.setNumThreads(1)
        self._stacks = stacks
        self._config = config
        self._folder = RunFolder(out)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._masker = load_frozen(config, device).masker(config.segmenter)
        self._source, self._parameters = mask_source(config.segmenter), mask_parameters(config.segmenter)

    def __call__(self, shard: pa.Table) -> dict[str, Any]:
        """Makes the masks of the shard named in `shard`; its name and stats."""
        name = shard.column("shard")[0].as_py()
        shards = self._folder.shards
        labelled = [sample for sample in from_table(shards.read("labels", name, stage_schema("labels"))) if sample.is_ok]
        made: list[Sample] = []
        num_unknown = num_pixels = 0
        if labelled:
            images = from_table(shards.read("images", name, stage_schema("images"), ["sample_id", "image.bytes"]))
            encoded = {sample.sample_id: sample.image for sample in images}
            for start in range(0, len(labelled), BLOCK):
                beat(self._stacks)
                block = labelled[start : start + BLOCK]
                pictures = [decode_rgb(present(encoded[sample.sample_id]).encoded) for sample in block]
                masks = self._masker.masks(pictures, np.array([present(sample.labels).label for sample in block], np.int8))
                num_unknown += sum(int((mask == VOID_ID).sum()) for mask in masks)
                num_pixels += sum(mask.size for mask in masks)
                made += [self._masked(sample, encode_png(mask)) for sample, mask in zip(block, masks, strict=True)]
        stats = {**outcome_stats(made), "unknown_pixels": num_unknown, "pixels": num_pixels}
        shards.publish("masks", name, to_table(made, "key", "mask", "outcome"), stats)
        return {"shard": name, "stats": stats, "precision": used_here(self._config.segmenter.precision)}

    def _masked(self, sample: Sample, encoded: bytes) -> Sample:
        mask, outcome = Mask(encoded, image_sha256(encoded), self._source, self._parameters), Outcome("ok", Stage.masks)
        return sample.grown(mask=mask, outcome=outcome)


def run(context: RunContext) -> None:
    """Make the masks of every sample with final labels that has none yet. A run whose network an earlier version trained needs none."""
    folder = context.folder
    if not is_trained(folder) or folder.shards.markers("masks"):
        context.follow(Stage.masks, MaskWorker, "labels", "masks")
    stats = [marker.stats for marker in folder.shards.markers("masks").values()]
    if num_pixels := sum(shard["pixels"] for shard in stats):
        folder.update_metrics({"masks": {"unknown_share": round(sum(shard["unknown_pixels"] for shard in stats) / num_pixels, 4)}})


def mask_source(section: SegmenterConfig) -> str:
    """What the masks are grown from, in words."""
    parts = ["labels", "seeds", *([section.affinity] if section.affinity != "none" else []), *(["par"] if section.par_iterations else [])]
    return ", ".join(parts)


def mask_parameters(section: SegmenterConfig) -> str:
    """Canonical JSON of the settings that masks depend on."""
    return canonical_json(section.model_dump(mode="json", include=set(MASK_SETTINGS)))
