"""The fully supervised twin: same network, same images, exact masks. The ceiling that label noise keeps the run below.

    python -m benchmarks.supervised_twin OUT

Paints the samples of a finished embedded run again, asks the painter for their exact masks (the only program that may),
trains the segmenter on them and measures it on the run's evaluation split.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.samples import final_labels, kept_samples
from pipelines.session import ray_session
from synthseg.config.schema import RunConfig
from synthseg.datasets.base import open_dataset, to_class_order
from synthseg.embedded.scenes.composition import compose
from synthseg.embedded.scenes.grammar import read_prompt
from synthseg.embedded.scenes.seeding import painting_rng
from synthseg.embedded.scenes.worlds import TRAINING
from synthseg.evaluation.confusion import ConfusionMatrix
from synthseg.ids import image_sha256
from synthseg.image_codec import decode_rgb, encode_png
from synthseg.method.networks.segmenter import Segmenter
from synthseg.records import Sample, present
from synthseg.store.run_folder import RunFolder
from training.data import HeldSamples
from training.segmenter import train_segmenter

CHUNK = 16


@dataclass(frozen=True, slots=True)
class ExactSample:
    """A stored image, and what the painter knows of it."""

    encoded: bytes
    label: tuple[int, ...]
    mask: NDArray[np.uint8]


def exact_samples(samples: Sequence[ExactSample]) -> HeldSamples:
    """What the twin learns from."""
    masks = [encode_png(sample.mask) for sample in samples]
    content = [[image_sha256(sample.encoded), image_sha256(mask)] for sample, mask in zip(samples, masks, strict=True)]
    return HeldSamples([sample.encoded for sample in samples], np.array([sample.label for sample in samples], np.int8), content, masks)


def exact_sample(config: RunConfig, sample: Sample) -> ExactSample:
    """The stored image with the mask and label that the painter knows. ValueError when it no longer paints that image."""
    image = present(sample.image)
    parameters = json.loads(image.parameters)
    width, height, negative = parameters["width"], parameters["height"], parameters["negative_prompt"]
    text = sample.prompt.text
    scene = compose(read_prompt(text, negative), TRAINING, width, height, painting_rng(text, negative, sample.seed, width, height))
    if not np.array_equal(scene.image, decode_rgb(image.encoded)):
        raise ValueError(f"sample {sample.sample_id} is painted differently by this version")
    mask: NDArray[np.uint8] = to_class_order(scene.mask, config)
    label = tuple(int((mask == k).any()) for k in range(1, len(config.classes) + 1))
    return ExactSample(image.encoded, label, mask)


def twin_miou(out: str) -> dict[str, float]:
    """Train the twin of the run in `out` below OUT/twin; its mIoU and IoU by class on the evaluation split."""
    cv2.setNumThreads(1)
    folder = RunFolder.open(out)
    config = folder.config()
    kept = kept_samples(folder)
    survived = final_labels(folder).keys()
    samples = [exact_sample(config, sample) for sample in kept if sample.sample_id in survived]
    with ray_session(config, verbose=False):
        trained = train_segmenter(config, exact_samples(samples), Path(out) / "twin", config.execution.workers)
    segmenter = Segmenter.load(trained.checkpoint, config, torch.device("cpu"))
    dataset = open_dataset(config.evaluation.dataset, config)
    matrix = ConfusionMatrix(len(config.classes))
    for start in range(0, len(dataset), CHUNK):
        chunk = [dataset[i] for i in range(start, min(start + CHUNK, len(dataset)))]
        for sample, mask in zip(chunk, segmenter.predict([sample.image for sample in chunk]), strict=True):
            matrix.update(to_class_order(sample.mask, config), mask)
    names = ["background", *config.classes]
    return {"miou": matrix.miou(), **{name: float(iou) for name, iou in zip(names, matrix.iou(), strict=True)}}


def main() -> None:
    """Print the twin's figures as JSON."""
    parser = argparse.ArgumentParser(description="Train and measure the fully supervised twin of a finished embedded run.")
    parser.add_argument("out", help="folder of the run")
    print(json.dumps(twin_miou(parser.parse_args().out), indent=2))


if __name__ == "__main__":
    main()
