"""How fast CLIP scoring and the segmenter's training step are, as shares of the bare libraries' loops in the same run.

OMP_NUM_THREADS=1 python -m benchmarks.encoders              # the embedded CLIP on a CPU, ViT-B/16 where there is a CUDA GPU
python -m benchmarks.encoders --model ViT-B-16-quickgelu     # the presets' shapes, with random weights, wherever it runs

Scoring against: open_clip's encode_image in a plain loop over the same resized batches. Training step against: the library's own
forward pass of the frozen image tower, tokens taken by hooks, then the same decoder, losses and optimizer. The two sides take turns, so
that both meet the same machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.machine import machine, peak_memory_bytes, write_results
from synthseg.engines.open_clip.engine import BATCH_SIZE, OpenClipScorer
from synthseg.machine.precision import Precision, autocast, resolve
from synthseg.method.networks.decoder import Decoder
from synthseg.method.networks.encoder import FrozenClipEncoder
from synthseg.method.networks.losses import LossWeights, decoder_losses

REPEATS = 7
NUM_CLASSES = 20
DECODER_BLOCKS = 2


def shares(ours: Callable[[], int], bare: Callable[[], int], device: str) -> dict[str, float]:
    """Medians of items a second of both, and of their ratio over turns; one turn each warms up."""
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(REPEATS + 1):
        for name, call in (("ours", ours), ("bare", bare)) if turn % 2 else (("bare", bare), ("ours", ours)):
            started = time.perf_counter()
            count = call()
            if device == "cuda":
                torch.cuda.synchronize()
            rates[name].append(count / (time.perf_counter() - started))
    ratios = [a / b for a, b in zip(rates["ours"][1:], rates["bare"][1:], strict=True)]
    found = {f"{name}_per_s": statistics.median(each[1:]) for name, each in rates.items()}
    return {**found, "share": statistics.median(ratios), "share_min": min(ratios), "share_max": max(ratios)}


def scoring(scorer: OpenClipScorer, precision: Precision, num_images: int, side: int, device: str) -> dict[str, float]:
    """Images a second, resized from `side` px."""
    images = [np.random.default_rng(i).integers(0, 256, (side, side, 3), dtype=np.uint8) for i in range(num_images)]
    model, loaded = cast(Any, scorer.loaded.model), scorer.loaded
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (loaded.mean, loaded.std))
    height, width = loaded.image_size

    @torch.no_grad()
    def bare() -> int:
        rows = []
        for start in range(0, num_images, BATCH_SIZE):
            resized = [cv2.resize(i, (width, height), interpolation=cv2.INTER_AREA) for i in images[start : start + BATCH_SIZE]]
            batch = torch.from_numpy(np.stack(resized)).to(device).permute(0, 3, 1, 2).float() / 255
            with autocast(precision, torch.device(device)):
                rows.append(model.encode_image((batch - mean) / std, normalize=True))
        return len(torch.cat(rows).float().cpu().numpy())

    return shares(lambda: len(scorer.embed_images(images)), bare, device)


def training_step(model: torch.nn.Module, size: int, batch: int, device: str, precision: Precision) -> dict[str, float]:
    """Images a second of one decoder step on images of the tower's own size."""
    encoder = FrozenClipEncoder(model, precision=precision).to(device)
    images = torch.rand(batch, 3, size, size, device=device)
    target = torch.randint(NUM_CLASSES + 1, (batch, size, size), device=device)
    weights = LossWeights(0.1, 0.1, 4)
    visual = cast(Any, model.visual)
    blocks = visual.trunk.blocks if hasattr(visual, "trunk") else visual.transformer.resblocks
    skip = encoder.tower.num_prefix

    def stepper(tokens_of: Callable[[], list[Tensor]]) -> Callable[[], int]:
        torch.manual_seed(0)
        decoder = Decoder([encoder.layer_widths], NUM_CLASSES, 256, DECODER_BLOCKS).to(device)
        optimizer = torch.optim.AdamW(decoder.parameters())
        grid = (size // encoder.stride, size // encoder.stride)

        def step() -> int:
            tokens = tokens_of()
            with encoder.autocast():
                logits, fused = decoder([tokens], grid)
            full = [F.interpolate(x.float(), size=(size, size), mode="bilinear", align_corners=False) for x in logits]
            optimizer.zero_grad(set_to_none=True)
            decoder_losses(full, fused, target, weights).total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            return batch

        return step

    @torch.no_grad()
    def library() -> list[Tensor]:
        tokens: list[Tensor] = []
        hooks = [blocks[0].register_forward_pre_hook(lambda _, args: tokens.append(args[0][:, skip:]))]
        hooks += [block.register_forward_hook(lambda _, __, out: tokens.append(out[:, skip:])) for block in blocks]
        with encoder.autocast():
            visual((images - encoder.mean) / encoder.std)
        for hook in hooks:
            hook.remove()
        return tokens

    return shares(stepper(lambda: encoder.layers(images)[0]), stepper(library), device)


def random_weights(name: str, folder: Path) -> str:
    """A file of random weights for open_clip's model `name`."""
    torch.manual_seed(0)
    path = folder / "open_clip_model.safetensors"
    save_file(open_clip.create_model(name).state_dict(), path)
    return str(path)


def main() -> None:
    """Measure, print and write benchmarks/results/encoders-DEVICE.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    small = device == "cpu"
    parser.add_argument("--model", default="embedded" if small else "ViT-B-16-quickgelu")
    parser.add_argument("--num-images", type=int, default=192 if small else 4096)
    parser.add_argument("--side", type=int, default=256 if small else 768, help="pixels of the images that are scored")
    parser.add_argument("--batch", type=int, default=8, help="images of a training step")
    arguments = parser.parse_args()
    if small:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        weights = "" if arguments.model == "embedded" else random_weights(arguments.model, Path(folder))
        best = resolve("auto", device)
        precisions: tuple[Precision, ...] = ("fp32",) if best == "fp32" else ("fp32", "bf16")
        for precision in precisions:
            scorer = OpenClipScorer(arguments.model, weights, device, precision)
            measured[f"scoring {precision}"] = scoring(scorer, precision, arguments.num_images, arguments.side, device)
    measured[f"training step {best}"] = training_step(scorer.loaded.model, scorer.loaded.image_size[0], arguments.batch, device, best)
    for name, found in measured.items():
        spread = f"{found['share_min']:.3f}-{found['share_max']:.3f}"
        print(f"{name:20} {found['ours_per_s']:9.1f} images/s, {found['share']:.3f} of the bare loop ({spread})")
    gpu_bytes = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    results = {**machine("torch", "open_clip_torch", "timm"), "settings": vars(arguments), "measured": measured}
    print(write_results(f"encoders-{device}", {**results, "peak_memory_bytes": peak_memory_bytes(), "peak_gpu_memory_bytes": gpu_bytes}))


if __name__ == "__main__":
    main()
