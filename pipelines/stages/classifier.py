"""Stage `classifier`: the patch classifiers are trained out of fold on the images that selection kept."""

from __future__ import annotations

from pipelines.context import RunContext, shards_without
from pipelines.samples import classifier_samples
from pipelines.session import check_room
from synthseg.stages import Stage


def run(context: RunContext) -> None:
    """Train the fold models that are not finished."""
    from training.classifier import train_classifier

    config, folder = context.config, context.folder
    if shards_without(folder, "images", "labels"):
        check_room(config, Stage.classifier)
    with context.training_folder("classifier") as out, context.timed(Stage.classifier, config.classifier.folds):
        trained = train_classifier(config, *classifier_samples(config, folder), out, config.execution.workers)
        context.progress.advance(Stage.classifier, ok=config.classifier.folds)
    folder.note_precision(Stage.classifier, trained.precision)
    folder.update_metrics({"classifier": {"curve": trained.curve}})
