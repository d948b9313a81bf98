"""Stage `evaluate`: segmenter, classifier and training-free control on the evaluation split, over Ray Data workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipelines.context import RunContext
from pipelines.session import check_room
from pipelines.stages.segmenter import DECODER
from synthseg.config.schema import RunConfig
from synthseg.datasets.base import num_samples, open_dataset, to_class_order
from synthseg.errors import CorruptData
from synthseg.evaluation.average_precision import mean_average_precision
from synthseg.evaluation.confusion import ConfusionMatrix
from synthseg.image_codec import encode_png
from synthseg.machine.precision import used_here
from synthseg.machine.stacks import register
from synthseg.stages import Stage
from synthseg.store.run_folder import RunFolder

CHUNK = 8
"""Images a worker evaluates at once."""
NUM_SHOWN = 12
"""Images whose masks are kept for the report."""
ASSETS = "report_assets"


class EvaluationWorker:
    """Predicts a chunk of the split with the trained segmenter, the control and the fold classifiers."""

    def __init__(self, config: RunConfig, out: str, stacks: Path) -> None:
        from synthseg.method.networks.classifier import CHECKPOINTS, load_classifier
        from synthseg.method.networks.control import TrainingFree
        from synthseg.method.networks.frozen import load_frozen
        from synthseg.method.networks.segmenter import Segmenter

        register(stacks)
        cv2.setNumThreads(1)
        self._config = config
        self._folder = RunFolder(out)
        self._dataset = open_dataset(config.evaluation.dataset, config)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        parts = load_frozen(config, device)
        with self._folder.files.local_copy("segmenter", DECODER) as folder:
            self._segmenter = Segmenter.load(folder / DECODER, config, device, parts)
        self._control = TrainingFree(parts, config.segmenter)
        with self._folder.files.local_copy("classifier", CHECKPOINTS) as folder:
            self._classifiers = [load_classifier(path, config, device) for path in sorted(folder.glob(CHECKPOINTS))]

    def __call__(self, chunk: pa.Table) -> dict[str, Any]:
        """Confusion matrices, classifier probabilities and present classes of the chunk, and what the report shows."""
        samples = [self._dataset[i] for i in chunk.column("index").to_pylist()]
        images = [sample.image for sample in samples]
        truths = [to_class_order(sample.mask, self._config) for sample in samples]
        predictions = {"segmenter": self._segmenter.predict(images), "control": self._control.predict(images)}
        num_classes = len(self._config.classes)
        matrices = {}
        for name, masks in predictions.items():
            matrix = ConfusionMatrix(num_classes)
            for truth, mask in zip(truths, masks, strict=True):
                matrix.update(truth, mask)
            matrices[name] = matrix.counts.tolist()
        probabilities = np.mean([model.probabilities(images) for model in self._classifiers], axis=0)
        present = [[bool((truth == k + 1).any()) for k in range(num_classes)] for truth in truths]
        shown = []
        for n, index in enumerate(chunk.column("index").to_pylist()):
            if index < NUM_SHOWN:
                shown.append(self._keep(samples[n].name, images[n], truths[n], predictions["segmenter"][n], predictions["control"][n]))
        precision = used_here(self._config.segmenter.precision)
        return {
            "precision": precision,
            "matrices": matrices,
            "probabilities": probabilities.tolist(),
            "present": present,
            "shown": shown,
            "count": len(samples),
        }

    def _keep(
        self, name: str, image: NDArray[np.uint8], truth: NDArray[np.uint8], prediction: NDArray[np.uint8], control: NDArray[np.uint8]
    ) -> dict[str, str]:
        kept = {"name": name}
        for kind, array in (("image", image), ("truth", truth), ("prediction", prediction), ("control", control)):
            kept[kind] = f"{ASSETS}/{name}-{kind}.png"
            self._folder.files.write(kept[kind], encode_png(array))
        return kept


def run(context: RunContext) -> None:
    """Measure segmenter, classifier and training-free control on the evaluation split."""
    num_images = num_samples(context.config.evaluation.dataset, context.config)
    with context.timed(Stage.evaluate, num_images):
        check_room(context.config, Stage.evaluate)
        measured = measure(context, num_images)
    context.folder.update_metrics(measured)


def measure(context: RunContext, num_images: int) -> dict[str, Any]:
    """Metrics of the run's trained models on `evaluation.dataset`: one global confusion matrix each, background included.

    CorruptData when a sample cannot be read, and when no mask holds any of the run's classes.
    """
    config, folder = context.config, context.folder
    chunks = [pa.table({"index": list(range(start, min(start + CHUNK, num_images)))}) for start in range(0, num_images, CHUNK)]
    matrices = {name: ConfusionMatrix(len(config.classes)) for name in ("segmenter", "control")}
    probabilities: list[list[float]] = []
    present: list[list[bool]] = []
    shown: list[dict[str, str]] = []
    for result in context.stream(Stage.evaluate, EvaluationWorker, {}, chunks):
        folder.note_precision(Stage.evaluate, [result["precision"]])
        for name, matrix in matrices.items():
            matrix.merge(np.asarray(result["matrices"][name], np.int64))
        probabilities += result["probabilities"]
        present += result["present"]
        shown += result["shown"]
        context.progress.advance(Stage.evaluate, ok=result["count"])
    if not any(map(any, present)):
        # Masks of 0 and 255 alone, for example: background would be all that is measured, and look like a success.
        raise CorruptData(
            f"evaluation.dataset: none of the {num_images} masks of {config.evaluation.dataset} holds a pixel of the run's classes; "
            f"give masks of {config.taxonomy} class ids, or more images"
        )
    folder.files.write(f"{ASSETS}/field.json", json.dumps(sorted(shown, key=lambda item: item["name"])).encode())
    names = ["background", *config.classes]
    segmenter, control = matrices["segmenter"], matrices["control"]
    return {
        "segmenter": {"field_miou": segmenter.miou(), "per_class": _named(names, segmenter)},
        "control": {"training_free_miou": control.miou(), "per_class": _named(names, control)},
        "classifier": {"field_map": mean_average_precision(np.asarray(probabilities), np.asarray(present))},
        "evaluation": {"dataset": config.evaluation.dataset, "num_images": num_images},
    }


def _named(names: list[str], matrix: ConfusionMatrix) -> dict[str, float]:
    """IoU by class name; classes that do not occur in the truth are left out."""
    return {name: round(float(iou), 4) for name, iou in zip(names, matrix.iou(), strict=True) if not np.isnan(iou)}
