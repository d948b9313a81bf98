"""What the settings of a finished embedded run rest on: the tables of docs/results.md, "What the settings rest on".

    python -m benchmarks.ablation OUT [--images 200] [--seed 777]

Ranks the classes nobody asked for by CLIP and by the run's classifiers, before and after training and at several scales; measures masks
grown from true labels with each kind of affinity; and measures the trained segmenter at test scales 1 and 1.5, with and without
refinement, on a field split of its own. The painter is asked for true labels and masks, which no stage of a run may do.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.supervised_twin import exact_sample
from pipelines.samples import WHOLE, kept_samples
from synthseg.config.schema import RunConfig
from synthseg.datasets.base import to_class_order
from synthseg.embedded.scenes.field import field_split
from synthseg.evaluation.average_precision import average_precision
from synthseg.evaluation.confusion import ConfusionMatrix
from synthseg.evaluation.label_quality import painted_labels
from synthseg.image_codec import decode_rgb
from synthseg.method.labels.folds import fold_of
from synthseg.method.networks.classifier import PatchClassifier, load_classifier, new_classifier
from synthseg.method.networks.frozen import FrozenParts, load_frozen
from synthseg.method.networks.segmenter import Segmenter
from synthseg.records import Sample, present
from synthseg.store.run_folder import RunFolder

OPINION_SCALES = (1.0, 1.25, 1.5)
AFFINITIES = ("none", "cda", "caa")
TEST_SCALES = ((1.0,), (1.0, 1.5))
CHUNK = 16

Samples = list[Sample]


def changed(config: RunConfig, section: str, **values: Any) -> RunConfig:
    """`config` with other values in one section."""
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


def unasked_ranking(config: RunConfig, out: Path, samples: Samples) -> Iterator[tuple[str, float]]:
    """Average precision over all (image, class) pairs that no prompt asked for, of each kind of opinion."""
    asked = np.array([[info.class_id in sample.class_ids for info in config.class_infos()] for sample in samples])
    truth = painted_labels(config, samples)

    def ranked(probabilities: NDArray[np.floating]) -> float:
        return average_precision(probabilities[~asked], truth[~asked])

    yield f"visible of {(~asked).sum()} pairs", float(truth[~asked].sum())
    yield "CLIP, whole image", ranked(np.array([present(sample.score).image_probs for sample in samples], np.float64))
    for scale in OPINION_SCALES:
        scaled = changed(config, "classifier", opinion_scale=scale)
        untrained = new_classifier(scaled)
        yield f"classifier at scale {scale}, before training", ranked(opinions([untrained] * config.classifier.folds, samples))
        files = [out / "classifier" / f"fold-{fold}.safetensors" for fold in range(config.classifier.folds)]
        trained = [load_classifier(file, scaled, torch.device("cpu")) for file in files]
        yield f"classifier at scale {scale}, trained out of fold", ranked(opinions(trained, samples))


def opinions(models: list[PatchClassifier], samples: Samples) -> NDArray[np.float64]:
    """Class probabilities (N, K), each sample's by the model of its fold."""
    folds = np.array([fold_of(sample.prompt.prompt_id, len(models)) for sample in samples])
    found = np.zeros((len(samples), models[0].head.out_features))
    for fold, model in enumerate(models):
        members = np.flatnonzero(folds == fold)
        found[members] = model.probabilities([decode_rgb(present(samples[i].image).encoded) for i in members])
    return found


def mask_quality(config: RunConfig, parts: FrozenParts, samples: Samples) -> Iterator[tuple[str, float]]:
    """The mIoU on training images of the masks that true labels give, for each affinity."""
    exact = [exact_sample(config, sample) for sample in samples]
    images = [decode_rgb(sample.encoded) for sample in exact]
    labels = np.array([sample.label for sample in exact], np.int8)
    for affinity in AFFINITIES:
        masks = parts.masker(config.segmenter.model_copy(update={"affinity": affinity})).masks(images, labels, ignore_band=0.0)
        matrix = ConfusionMatrix(len(config.classes))
        for sample, mask in zip(exact, masks, strict=True):
            matrix.update(sample.mask, mask)
        yield f"affinity {affinity}", matrix.miou()


def test_time(config: RunConfig, parts: FrozenParts, checkpoint: Path, num_images: int, seed: int) -> Iterator[tuple[str, float]]:
    """The mIoU of the trained segmenter on a field split, by test scales and refinement."""
    class_ids = [info.class_id for info in config.class_infos()]
    samples = list(field_split(num_images, class_ids, config.images.width, seed))
    for scales, refines in product(TEST_SCALES, (False, True)):
        segmenter = Segmenter.load(checkpoint, changed(config, "segmenter", test_par=refines), torch.device("cpu"), parts)
        matrix = ConfusionMatrix(len(config.classes))
        for start in range(0, num_images, CHUNK):
            chunk = samples[start : start + CHUNK]
            for sample, mask in zip(chunk, segmenter.predict([s.image for s in chunk], scales), strict=True):
                matrix.update(to_class_order(sample.mask, config), mask)
        yield f"test scales {' and '.join(map(str, scales))}, {'refined' if refines else 'not refined'}", matrix.miou()


def print_table(title: str, rows: Iterator[tuple[str, float]]) -> None:
    """One Markdown table, a line as soon as it is known."""
    print(f"\n| {title} | |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value:.3f} |", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure what the settings of a finished embedded run rest on.")
    parser.add_argument("out", type=Path, help="folder of the run")
    parser.add_argument("--images", type=int, default=200, help="training images for masks, and field images for the test")
    parser.add_argument("--seed", type=int, default=777, help="of the field split; the evaluation's own is 2012")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    folder = RunFolder.open(str(options.out))
    config = folder.config()
    samples = kept_samples(folder, [*WHOLE, "score"])
    parts = load_frozen(config, torch.device("cpu"))
    print_table("unasked pairs, average precision", unasked_ranking(config, options.out, samples))
    print_table(
        f"masks from true labels, mIoU on {min(options.images, len(samples))} training images",
        mask_quality(config, parts, samples[: options.images]),
    )
    checkpoint = options.out / "segmenter" / "decoder.safetensors"
    print_table(
        f"trained segmenter, mIoU on {options.images} field images of seed {options.seed}",
        test_time(config, parts, checkpoint, options.images, options.seed),
    )


if __name__ == "__main__":
    main()
