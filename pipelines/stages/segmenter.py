"""Stage `segmenter`: the decoder is trained on the relabelled samples."""

from __future__ import annotations

from typing import Final

from pipelines.context import RunContext
from pipelines.samples import segmenter_samples
from pipelines.session import check_room
from synthseg.stages import Stage
from synthseg.store.run_folder import RunFolder

DECODER: Final = "decoder.safetensors"
"""Name of the trained decoder below OUT/segmenter."""


def is_trained(folder: RunFolder) -> bool:
    """Whether the run has a trained decoder."""
    return folder.files.exists(f"segmenter/{DECODER}")


def run(context: RunContext) -> None:
    """Train the decoder unless it is finished: one of an earlier version, which published no masks, is."""
    from training.segmenter import train_segmenter

    config, folder = context.config, context.folder
    if is_trained(folder) and not folder.shards.markers("masks"):
        return
    if not is_trained(folder):
        check_room(config, Stage.segmenter)
    with context.training_folder("segmenter") as out, context.timed(Stage.segmenter, config.segmenter.iterations):
        trained = train_segmenter(config, segmenter_samples(config, folder), out, config.execution.workers)
        context.progress.advance(Stage.segmenter, ok=config.segmenter.iterations)
    folder.note_precision(Stage.segmenter, trained.precision)
    folder.update_metrics({"segmenter": {"curve": trained.curves}})
