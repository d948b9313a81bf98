"""Encoded pictures of published shards, one at a time, from a cache on this machine's disk.

A shard is read whole when its first picture is asked for; its pictures then lie one after the other in a local file, which all processes
of the machine share. The files together stay below a bound: those that nobody has used for the longest time go first.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synthseg.errors import CorruptData
from synthseg.ids import digest, image_sha256
from synthseg.machine.cache import cache_folder, locked
from synthseg.machine.whole_file import whole
from synthseg.records import from_table
from synthseg.store.run_folder import RunFolder
from synthseg.store.shards import Marker, Stage
from synthseg.store.verify import stage_schema

_KIND: Final = "shards"
_SECTION: Final = {"images": "image", "masks": "mask"}
_OPEN_FILES: Final = 64


class BlobCache:
    """Pictures of one stage of the run in `out`."""

    def __init__(self, out: str, stage: Stage, max_bytes: int, folder: Path | None = None) -> None:
        """`max_bytes` bounds what all runs of this machine keep in `folder`, by default the machine's cache."""
        self._run = RunFolder(out)
        self._stage = stage
        self._max_bytes = max_bytes
        self._folder = folder or cache_folder(_KIND)
        self._markers: dict[str, Marker] = {}
        self._open: OrderedDict[str, tuple[int, NDArray[np.int64]]] = OrderedDict()

    def read(self, shard: str, row: int, sha256: str) -> bytes:
        """The picture in row `row` of `shard`. CorruptData where it does not match `sha256`, or the shard its marker."""
        handle, offsets = self._opened(shard)
        start, stop = int(offsets[row]), int(offsets[row + 1])
        content = os.pread(handle, stop - start, start)
        if image_sha256(content) != sha256:
            raise CorruptData(f"{self._stage}/{shard}: row {row} does not match its sha256; synthseg verify tells more")
        return content

    def close(self) -> None:
        """Let the files go."""
        while self._open:
            os.close(self._open.popitem()[1][0])

    def _opened(self, shard: str) -> tuple[int, NDArray[np.int64]]:
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        path = self._kept(shard)
        handle = os.open(path, os.O_RDONLY)
        count = int(np.frombuffer(os.pread(handle, 8, 0), np.int64)[0])
        self._open[shard] = handle, np.frombuffer(os.pread(handle, 8 * count, 8), np.int64)
        if len(self._open) > _OPEN_FILES:
            os.close(self._open.popitem(last=False)[1][0])
        return self._open[shard]

    def _kept(self, shard: str) -> Path:
        """The local file of a shard: the number of offsets, the offsets from the file's start, the pictures."""
        if shard not in self._markers:
            self._markers = self._run.shards.markers(self._stage)
        if shard not in self._markers:
            raise CorruptData(f"{self._stage}/{shard}: not published; run the same command again")
        # Named by content: another shard of the same name is another file.
        path = self._folder / f"{digest(self._stage, self._markers[shard].sha256)}.blobs"
        with locked(path):
            if path.is_file():
                os.utime(path)
            else:
                self._fetch(shard, path)
        return path

    def _fetch(self, shard: str, path: Path) -> None:
        section = _SECTION[self._stage]
        table = self._run.shards.read(self._stage, shard, stage_schema(self._stage), ["sample_id", f"{section}.bytes"])
        pictures = [getattr(sample, section) for sample in from_table(table)]
        contents = [picture.encoded if picture else b"" for picture in pictures]
        sizes = np.array([len(content) for content in contents], np.int64)
        offsets = 8 * (len(contents) + 2) + np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._make_room(int(offsets[-1]))
        with whole(path, durable=False) as temporary, temporary.open("wb") as stream:
            stream.write(np.int64(len(offsets)).tobytes() + offsets.tobytes())
            for content in contents:
                stream.write(content)

    def _make_room(self, num_bytes: int) -> None:
        """Remove the files that were used the longest ago until `num_bytes` more fit. Who has one open reads on."""
        kept = []
        for path in self._folder.glob("*.blobs"):
            with suppress(FileNotFoundError):
                found = path.stat()
                kept.append((found.st_mtime, found.st_size, path))
        total = sum(size for _, size, _ in kept) + num_bytes
        for _, size, path in sorted(kept):
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size
