"""How fast each engine of the embedded preset is on this machine, one thread, nothing beside it.

OMP_NUM_THREADS=1 python -m benchmarks.throughput
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from synthseg.config import load_config
from synthseg.engines.image import GeneratedImage, ImageRequest
from synthseg.engines.registry import build_image_engine, build_scorer, build_text_engine
from synthseg.engines.text import TextRequest
from synthseg.image_codec import decode_rgb
from synthseg.method.networks.control import TrainingFree
from synthseg.method.networks.frozen import load_frozen
from synthseg.method.prompts.profiles import profile
from synthseg.method.prompts.template import draw_slots

REPEATS = 5
NUM_IMAGES = 32


def rate_of(call: Callable[[], int]) -> tuple[float, float]:
    """Median and spread (max - min) of units a second over the repeats, after one warm-up; `call` returns its units."""
    call()
    rates = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        units = call()
        rates.append(units / (time.perf_counter() - started))
    return statistics.median(rates), max(rates) - min(rates)


def main() -> None:
    """Print one line an engine."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    config = load_config("embedded")
    classes = config.class_infos()
    rng = np.random.default_rng(0)
    prompts = [draw_slots(profile(classes[i % len(classes)]), "target", rng).text() for i in range(NUM_IMAGES)]
    painter, scorer, text = build_image_engine(config), build_scorer(config), build_text_engine(config)
    requests = [ImageRequest(prompt, i, config.images.width, config.images.height) for i, prompt in enumerate(prompts)]
    images = [decode_rgb(r.encoded) for r in painter.generate(requests) if isinstance(r, GeneratedImage)]
    control = TrainingFree(load_frozen(config, torch.device("cpu")), config.segmenter)
    chat = TextRequest(({"role": "user", "content": "Describe a horse in a meadow."},), seed=1, max_tokens=64)
    measured = {
        "painter, images/s": lambda: len(painter.generate(requests)),
        "CLIP scoring, images/s": lambda: len(scorer.embed_images(images)),
        "pseudo masks, images/s": lambda: len(control.predict(images)),
        "language model, tokens/s": lambda: text.generate([chat])[0].completion_tokens,
    }
    for name, call in measured.items():
        rate, spread = rate_of(call)
        print(f"{name:28} {rate:8.1f}  (spread {spread:.1f} over {REPEATS} repeats)")


if __name__ == "__main__":
    main()
