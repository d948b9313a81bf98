from __future__ import annotations

from pathlib import Path

import pytest

from synthseg.config import load_config
from synthseg.errors import CorruptData
from synthseg.ids import image_sha256
from synthseg.store.blobs import BlobCache
from synthseg.store.run_folder import RunFolder
from tests.rows import outcome, samples

NAMES = [f"shard-{i:05d}" for i in range(3)]


def blob(shard: int, row: int) -> bytes:
    return bytes([shard, row]) * 500


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Three shards of four masks of 1,000 bytes; the second mask of each shard is null."""
    folder = RunFolder.create(str(tmp_path / "run"), load_config("embedded"))
    for number, name in enumerate(NAMES):
        rows = [
            {"sample_id": f"{number}-{row}", "class_ids": [], "ordinal": row, "seed": 1, "outcome": outcome("ok", "masks")}
            | ({} if row == 1 else {"mask": {"bytes": blob(number, row), "sha256": image_sha256(blob(number, row))}})
            for row in range(4)
        ]
        folder.shards.publish("masks", name, samples(rows, "key", "mask", "outcome"))
    return folder


def cache(run: RunFolder, tmp_path: Path, max_bytes: int = 1 << 20) -> BlobCache:
    return BlobCache(run.out, "masks", max_bytes, tmp_path / "cache")


def test_each_picture_comes_as_it_was_published(run: RunFolder, tmp_path: Path) -> None:
    blobs = cache(run, tmp_path)
    for number, name in enumerate(NAMES):
        for row in (3, 0, 2):
            assert blobs.read(name, row, image_sha256(blob(number, row))) == blob(number, row)
    blobs.close()


def test_a_shard_is_read_once_for_all_processes(run: RunFolder, tmp_path: Path) -> None:
    wanted = image_sha256(blob(0, 0))
    cache(run, tmp_path).read(NAMES[0], 0, wanted)
    for path in (Path(run.out) / "masks").glob("*.parquet"):
        path.unlink()
    assert cache(run, tmp_path).read(NAMES[0], 0, wanted) == blob(0, 0)


def test_the_files_stay_below_the_bound_and_those_unused_for_longest_go(run: RunFolder, tmp_path: Path) -> None:
    most = 2 * (3 * 1000 + 6 * 8)  # the pictures of two shards with their offsets
    blobs = cache(run, tmp_path, most)
    for number, name in enumerate(NAMES):
        blobs.read(name, 0, image_sha256(blob(number, 0)))
        kept = list((tmp_path / "cache").glob("*.blobs"))
        assert sum(path.stat().st_size for path in kept) <= most
    assert len(kept) == 2
    # One that is open is read on, although its file is gone.
    assert blobs.read(NAMES[0], 2, image_sha256(blob(0, 2))) == blob(0, 2)
    assert cache(run, tmp_path, most).read(NAMES[0], 2, image_sha256(blob(0, 2))) == blob(0, 2)


def test_what_does_not_match_is_refused_by_name(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(CorruptData, match=r"^masks/shard-00001: row 2 does not match its sha256"):
        cache(run, tmp_path).read(NAMES[1], 2, image_sha256(b"other"))
    with pytest.raises(CorruptData, match=r"^masks/shard-00009: not published"):
        cache(run, tmp_path).read("shard-00009", 0, "")
    data = Path(run.out) / "masks" / run.shards.markers("masks")[NAMES[2]].data
    data.write_bytes(data.read_bytes()[:-9])
    with pytest.raises(CorruptData, match="do not match the marker"):
        cache(run, tmp_path).read(NAMES[2], 0, image_sha256(blob(2, 0)))
