"""The embedded CLIP's training set: painted once into memory-mapped shards, seen many times in new guises.

Only the training world is painted here; the held-out field split is for measuring alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import ray
import torch
from numpy.typing import NDArray

from synthseg.ids import derive_seed
from synthseg.taxonomy import taxonomy
from training.clip_augment import AugmentStrength, degrade, recolor, reframe
from training.clip_objective import MAX_REGIONS, ClipBatch
from training.clip_texts import ClassTexts, PlaceTexts, Tokens

IMAGE_SIZE = 128
SHARD_SIZE = 500
NUM_CAPTIONS = 4
STRIDE = 8


def render_images(folder: Path, num_images: int, seed: int, workers: int) -> None:
    """Paint the shards that `folder` lacks, `workers` at a time (Ray must be up). Shards do not depend on `num_images`."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(-(-num_images // SHARD_SIZE)) if not shard_path(folder, i).exists()]
    running: list[Any] = []
    paint = ray.remote(num_cpus=1)(render_shard)
    while missing or running:
        while missing and len(running) < workers:
            running.append(paint.remote(folder, missing.pop(0), seed))
        done, running = ray.wait(running)
        ray.get(done)


def shard_path(folder: Path, index: int) -> Path:
    """Folder of one shard; it exists once the shard is whole."""
    return folder / f"shard-{index:05d}"


def render_shard(folder: Path, index: int, seed: int) -> None:
    """Paint one shard: images (N, 128, 128, 3) uint8; for each its visible classes, its place, and captions with the classes they name."""
    from synthseg.embedded.scenes.captions import caption, sample_scene
    from synthseg.embedded.scenes.grammar import read_prompt
    from synthseg.embedded.scenes.painter import paint_wish

    cv2.setNumThreads(1)
    images = np.empty((SHARD_SIZE, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    rows: list[dict[str, Any]] = []
    for position in range(SHARD_SIZE):
        image_seed = derive_seed("embedded-clip", seed, index, position)
        rng = np.random.default_rng(image_seed)
        wish = sample_scene(rng)
        painting = paint_wish(wish, image_seed, width=IMAGE_SIZE, height=IMAGE_SIZE)
        images[position] = painting.image
        captions = [caption(wish, rng) for _ in range(NUM_CAPTIONS)]
        rows.append(
            {
                "visible": sorted({int(c) for c in painting.class_ids}),
                "place": wish.place,
                "captions": captions,
                "named": [voc_ids({thing.class_name for thing in read_prompt(text).objects}) for text in captions],
            }
        )
    partial = folder / f".partial-{index:05d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    np.save(partial / "images.npy", images)
    (partial / "images.json").write_text(json.dumps(rows), encoding="utf-8")
    partial.replace(shard_path(folder, index))


class ClipData:
    """All shards of a folder. Images stay on disk (memory-mapped); labels and captions are held."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(folder.glob("shard-*"))
        self._images = [np.load(path / "images.npy", mmap_mode="r") for path in paths]
        self.rows: list[dict[str, Any]] = [row for path in paths for row in json.loads((path / "images.json").read_text(encoding="utf-8"))]

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, index: int) -> NDArray[np.uint8]:
        """(128, 128, 3)."""
        return cast(NDArray[np.uint8], self._images[index // SHARD_SIZE][index % SHARD_SIZE])


class ClipSampler:
    """Batches by number: the same data, seed and number give the same batch, so a resumed training goes on where it was."""

    def __init__(self, data: ClipData, seed: int, mosaic_share: float = 0.35, strength: AugmentStrength | None = None) -> None:
        cv2.setNumThreads(1)
        voc = taxonomy("voc")
        self._data = data
        self._seed = seed
        self._mosaic_share = mosaic_share
        self._strength = strength or AugmentStrength()
        self._tokens = Tokens()
        self._classes = ClassTexts(voc)
        self._places = PlaceTexts(voc)
        place_rows = {name: i for i, name in enumerate(self._places.places)}
        self._visible = multi_hot([row["visible"] for row in data.rows], voc.num_classes)
        self._num_classes = voc.num_classes
        self._place = np.array([place_rows.get(row["place"], len(place_rows)) for row in data.rows])

    def __len__(self) -> int:
        return len(self._data)

    def batch(self, number: int, batch_size: int, size: int, share: float = 1.0) -> ClipBatch:
        """`batch_size` images of `size` pixels, the last ones mosaics of four; `share` of the full strength and mosaics."""
        strength = self._strength.scaled(share)
        rng = np.random.default_rng([self._seed, number])
        grid = size // STRIDE
        num_mosaics = round(share * self._mosaic_share * batch_size)
        num_single = batch_size - num_mosaics
        images = np.empty((batch_size, size, size, 3), np.uint8)
        regions = np.zeros((batch_size, grid, grid), np.int64)
        members = np.zeros((batch_size, MAX_REGIONS), np.int64)
        captioned: list[int] = []
        for i in range(batch_size):
            count = 1 if i < num_single else MAX_REGIONS
            members[i, :count] = rng.integers(0, len(self._data), count)
            if count == 1:
                framed = reframe(self._data.image(members[i, 0]), size, size, strength, rng)
                image, colors_hold = recolor(framed, strength, rng)
                if colors_hold or i == 0:
                    captioned.append(i)
            else:
                image = self._mosaic(members[i], regions[i], size, strength, rng)
            images[i] = degrade(image, strength, rng)
        num_regions = np.where(np.arange(batch_size) < num_single, 1, MAX_REGIONS)
        captions, named = zip(*(self._caption(members[i, 0], rng) for i in captioned), strict=True)
        return ClipBatch(
            images=torch.from_numpy(images).permute(0, 3, 1, 2),
            regions=torch.from_numpy(regions.reshape(batch_size, -1)),
            labels=torch.from_numpy(self._visible[members]),
            num_regions=torch.from_numpy(num_regions),
            places=torch.from_numpy(self._places.labels[self._place[members]]),
            class_texts=self._pack([*self._classes.varied(rng), *self._classes.plain()], rng),
            negated_texts=self._pack(self._classes.negated(rng), rng),
            place_texts=self._pack(self._places.varied(rng), rng),
            captions=torch.from_numpy(self._tokens.pack(captions)),
            caption_images=torch.tensor(captioned),
            caption_labels=torch.from_numpy(multi_hot(named, self._num_classes)),
        )

    def _mosaic(
        self,
        members: Sequence[int] | NDArray[np.int64],
        regions: NDArray[np.int64],
        size: int,
        strength: AugmentStrength,
        rng: np.random.Generator,
    ) -> NDArray[np.uint8]:
        """Four pictures around a split on the token grid; writes who owns which token into `regions` (g, g)."""
        grid = len(regions)
        split_y, split_x = (int(rng.integers(round(0.33 * grid), round(0.67 * grid) + 1)) for _ in range(2))
        image = np.empty((size, size, 3), np.uint8)
        for corner in range(MAX_REGIONS):
            rows = slice(0, split_y) if corner < 2 else slice(split_y, grid)
            columns = slice(0, split_x) if corner % 2 == 0 else slice(split_x, grid)
            regions[rows, columns] = corner
            height, width = (rows.stop - rows.start) * STRIDE, (columns.stop - columns.start) * STRIDE
            framed = reframe(self._data.image(members[corner]), width, height, strength, rng)
            target = image[rows.start * STRIDE : rows.stop * STRIDE, columns.start * STRIDE : columns.stop * STRIDE]
            target[:] = recolor(framed, strength, rng)[0]
        return image

    def _caption(self, index: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """Tokens of one of the image's captions, at times with a class denied or with strewn words, and the classes it names."""
        row = self._data.rows[index]
        choice = int(rng.integers(len(row["captions"])))
        ids, named = self._tokens.encode(row["captions"][choice]), row["named"][choice]
        if rng.random() < 0.2:
            denied = int(rng.integers(self._num_classes))
            if denied + 1 not in named and not self._visible[index, denied]:
                ids = [*ids, *self._tokens.encode(self._classes.negated(rng)[denied])]
        return self._tokens.strew(ids, int(rng.integers(1, 5)) if rng.random() < 0.4 else 0, rng), named

    def _pack(self, texts: Sequence[str], rng: np.random.Generator) -> torch.Tensor:
        strewn = [
            self._tokens.strew(self._tokens.encode(text), int(rng.integers(1, 4)) if rng.random() < 0.2 else 0, rng) for text in texts
        ]
        return torch.from_numpy(self._tokens.pack(strewn))


def voc_ids(names: set[str]) -> list[int]:
    """Ids of VOC classes by canonical name."""
    return [c.class_id for c in taxonomy("voc").classes if c.name in names]


def multi_hot(class_ids: Sequence[Sequence[int]], num_classes: int) -> NDArray[np.int8]:
    """(N, K) with ones at the classes (ids from 1)."""
    hot = np.zeros((len(class_ids), num_classes), np.int8)
    for row, ids in zip(hot, class_ids, strict=True):
        row[[i - 1 for i in ids]] = 1
    return hot
