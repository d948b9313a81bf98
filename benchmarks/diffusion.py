"""The diffusers engine against the bare pipeline in the same process: throughput as a share of its, and peak memory.

python -m benchmarks.diffusion [--model FOLDER|ID] [--size 768] [--steps 8] [--guidance-scale 0] [--batch 4] [--dtype bf16] [--out FOLDER]

Without --model it takes a small Stable Diffusion with random weights: the engine's own cost shows most there, and no number says anything
about a real model. Engine and bare loop take turns, so that a machine that slows down slows both. Both make PNGs; the bare loop is what a
user would write: a call a batch with a generator each, then PNGs one after another.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import diffusers
import numpy as np
import torch

from synthseg.config.schema import ImagesConfig
from synthseg.engines.diffusers.engine import DiffusersEngine
from synthseg.engines.image import GeneratedImage, ImageRequest
from synthseg.image_codec import encode_png

REPEATS = 7
AIM = 0.95
"""Share of the bare loop's throughput that the engine is to reach."""


def bare_loop(pipe: Any, requests: list[ImageRequest], batch: int, call: dict[str, Any]) -> list[bytes]:
    """PNGs of `requests`, made with diffusers alone."""
    made = []
    for start in range(0, len(requests), batch):
        part = requests[start : start + batch]
        images = pipe(
            prompt=[request.prompt for request in part],
            width=part[0].width,
            height=part[0].height,
            generator=[torch.Generator("cpu").manual_seed(request.seed) for request in part],
            output_type="np",
            **call,
        ).images
        made += [encode_png(np.asarray((image * 255).round(), np.uint8)) for image in images]
    return made


def seconds_of(call: Callable[[], Any]) -> float:
    """Wall clock of one call, the GPU's work included."""
    started = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def peak_bytes(call: Callable[[], Any]) -> int | None:
    """Most GPU memory that tensors held during one call; None on the CPU."""
    if not torch.cuda.is_available():
        return None
    torch.cuda.reset_peak_memory_stats()
    call()
    return torch.cuda.max_memory_allocated()


def measure(images: ImagesConfig, num_images: int, batch: int) -> dict[str, Any]:
    """Engine and bare loop over the same requests, in turns."""
    engine = DiffusersEngine(images)
    pipe = engine._pipe  # noqa: SLF001 - the same weights, so that one copy of a large model is enough
    call: dict[str, Any] = dict(images.parameters)
    call["num_inference_steps"] = call.pop("steps")
    requests = [
        ImageRequest("a photo of a cat on a sofa", i, images.width, images.height, "", images.parameters) for i in range(num_images)
    ]
    size = 1 if images.exact else batch
    parts = [requests[start : start + batch] for start in range(0, num_images, batch)]

    def run_engine() -> list[Any]:
        return [result for part in parts for result in engine.generate(part)]

    def run_bare() -> list[bytes]:
        return bare_loop(pipe, requests, size, call)

    made, expected = run_engine(), run_bare()
    assert all(isinstance(result, GeneratedImage) for result in made), made
    same = sum(result.encoded == png for result, png in zip(made, expected, strict=True))
    times = [(seconds_of(run_engine), seconds_of(run_bare)) for _ in range(REPEATS)]
    shares = [bare / ours for ours, bare in times]
    return {
        "exact": images.exact,
        "images_a_call": size,
        "engine_images_per_s": round(num_images / statistics.median(ours for ours, _ in times), 3),
        "bare_images_per_s": round(num_images / statistics.median(bare for _, bare in times), 3),
        "share": round(statistics.median(shares), 4),
        "share_spread": [round(min(shares), 4), round(max(shares), 4)],
        "identical_images": f"{same} of {num_images}",
        "engine_peak_bytes": peak_bytes(run_engine),
        "bare_peak_bytes": peak_bytes(run_bare),
    }


def main() -> None:
    """Measure one image a call and whole batches; print, and write a file with --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--guidance-scale", type=float, default=0.0)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--dtype", default="bf16" if torch.cuda.is_available() else "fp32")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model
        if not model:
            from tests.tiny_diffusers import stable_diffusion

            model = str(stable_diffusion(Path(scratch) / "sd"))
        settings = {"width": options.size, "height": options.size, "dtype": options.dtype}
        parameters = {"steps": options.steps, "guidance_scale": options.guidance_scale}
        found = [
            measure(
                ImagesConfig(engine="diffusers", model=model, parameters=parameters, exact=exact, **settings), options.images, options.batch
            )
            for exact in (True, False)
        ]
    result = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "hardware": torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU, one thread",
        "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
        "model": options.model or "small Stable Diffusion, random weights",
        "settings": {**settings, **parameters, "batch": options.batch, "images": options.images, "repeats": REPEATS},
        "aim": AIM,
        "results": found,
    }
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        (options.out / f"diffusion-{device}-{result['date']}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for one in found:
        if one["share"] < AIM:
            raise SystemExit(f"diffusers engine, {one['images_a_call']} images a call: {one['share']} of the bare loop, below {AIM}")


if __name__ == "__main__":
    main()
