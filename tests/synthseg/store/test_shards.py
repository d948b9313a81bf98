from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from synthseg.errors import CorruptData
from synthseg.records import part_of, sample_schema
from synthseg.store.files import Files
from synthseg.store.shards import ShardStore
from tests.rows import samples

SCHEMA = sample_schema("key")


def rows(*ids: str) -> pa.Table:
    return samples([{"sample_id": i, "class_ids": [1], "ordinal": 0, "seed": 7} for i in ids], "key")


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return ShardStore(Files(str(tmp_path)))


def test_read_returns_what_was_published(store: ShardStore) -> None:
    marker = store.publish("images", "shard-00000", rows("a", "b"), {"seconds": 1.5})
    assert store.read("images", "shard-00000", SCHEMA).equals(rows("a", "b"))
    assert store.markers("images") == {"shard-00000": marker}


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
def test_reading_starts_no_thread_that_outlives_it(store: ShardStore, tmp_path: Path) -> None:
    """A thread of Arrow's that still holds a buffer while the interpreter exits aborts the process."""
    store.publish("images", "shard-00000", rows("a", "b"))
    code = (
        "import os, sys\n"
        "from synthseg.records import sample_schema\n"
        "from synthseg.store.files import Files\n"
        "from synthseg.store.shards import ShardStore\n"
        "store = ShardStore(Files(sys.argv[1]))\n"
        "store.files.names('images')\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "assert store.read('images', 'shard-00000', sample_schema('key')).num_rows == 2\n"
        "print(len(os.listdir('/proc/self/task')) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == "0"


def test_data_without_a_marker_does_not_exist(store: ShardStore, tmp_path: Path) -> None:
    marker = store.publish("images", "shard-00000", rows("a"))
    (tmp_path / "images" / "shard-00000.json").unlink()
    assert store.read_all("images", SCHEMA).num_rows == 0
    with pytest.raises(CorruptData, match="not published"):
        store.read("images", "shard-00000", SCHEMA)
    assert store.discard_unpublished("images") == 1
    assert not (tmp_path / "images" / marker.data).exists()


def test_publishing_again_replaces_and_never_duplicates(store: ShardStore) -> None:
    store.publish("images", "shard-00000", rows("a"))
    store.publish("images", "shard-00000", rows("a"))
    assert store.read_all("images", SCHEMA).num_rows == 1


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_damaged_data_is_named_with_the_way_out(store: ShardStore, tmp_path: Path, damage: str) -> None:
    marker = store.publish("images", "shard-00000", rows("a", "b", "c"))
    path = tmp_path / "images" / marker.data
    content = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(content[:-20])
    elif damage == "flip":
        path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    else:
        path.unlink()
    with pytest.raises(CorruptData, match=rf"{marker.data}.*delete images/shard-00000\.json and run the same command again"):
        store.read("images", "shard-00000", SCHEMA)


def test_a_broken_marker_is_named(store: ShardStore, tmp_path: Path) -> None:
    store.publish("images", "shard-00000", rows("a"))
    (tmp_path / "images" / "shard-00000.json").write_text("{", encoding="utf-8")
    with pytest.raises(CorruptData, match=r"images/shard-00000\.json: not a marker"):
        store.markers("images")


@pytest.mark.parametrize("content", ["null", "[]", "3", "{}", '{"name": "shard-00000"}', "", "\ufeff"])
def test_every_marker_that_is_none_is_named(content: str, store: ShardStore, tmp_path: Path) -> None:
    for name in ("shard-00000", "shard-00001", "shard-00002"):
        store.publish("images", name, rows("a"))
    for name in ("shard-00000", "shard-00002"):
        (tmp_path / "images" / f"{name}.json").write_text(content, encoding="utf-8")
    found, problems = store.survey("images")
    assert list(found) == ["shard-00001"]
    assert [problem.partition(":")[0] for problem in problems] == ["images/shard-00000.json", "images/shard-00002.json"]
    with pytest.raises(CorruptData, match=r"shard-00000\.json.*shard-00002\.json"):
        store.markers("images")


def test_a_copy_of_a_marker_and_one_with_odd_values_count_for_nothing(store: ShardStore, tmp_path: Path) -> None:
    store.publish("images", "shard-00000", rows("a"))
    marker = tmp_path / "images" / "shard-00000.json"
    (marker.parent / "shard-00000 (copy).json").write_bytes(marker.read_bytes())
    odd = json.loads(marker.read_bytes()) | {"name": "odd", "num_rows": "1"}
    (marker.parent / "odd.json").write_text(json.dumps(odd), encoding="utf-8")
    (marker.parent / "folder.json").mkdir()
    found, problems = store.survey("images")
    assert list(found) == ["shard-00000"]
    assert len(problems) == 2


def test_another_schema_version_is_refused(store: ShardStore) -> None:
    other = rows("a").replace_schema_metadata({b"synthseg.schema_version": b"99"})
    store.publish("images", "shard-00000", other)
    with pytest.raises(CorruptData, match="schema version 99"):
        store.read("images", "shard-00000", SCHEMA)


def test_other_columns_are_refused(store: ShardStore) -> None:
    store.publish("images", "shard-00000", rows("a").drop_columns("seed"))
    with pytest.raises(CorruptData, match="columns"):
        store.read("images", "shard-00000", SCHEMA)


WIDE = sample_schema("key", "image")


@pytest.fixture
def pictures(store: ShardStore) -> ShardStore:
    made = [
        {"sample_id": "a", "class_ids": [], "ordinal": 0, "seed": 1, "image": {"bytes": b"x" * 99, "width": 3, "sha256": "s"}},
        {"sample_id": "b", "class_ids": [], "ordinal": 0, "seed": 2, "image": None},
    ]
    store.publish("images", "shard-00000", samples(made, "key", "image"))
    return store


def test_only_the_columns_asked_for_are_decoded(pictures: ShardStore) -> None:
    columns = ["image.width", "sample_id", "image.sha256"]
    expected = [{"sample_id": "a", "image": {"width": 3, "sha256": "s"}}, {"sample_id": "b", "image": None}]
    for table in (pictures.read("images", "shard-00000", WIDE, columns), pictures.read_all("images", WIDE, columns)):
        assert table.to_pylist() == expected
        assert table.schema.equals(part_of(WIDE, columns))


def test_no_shards_are_an_empty_table_of_the_columns_asked_for(store: ShardStore) -> None:
    columns = ["image.width", "sample_id", "image.sha256"]
    assert store.read_all("images", WIDE, columns).schema.equals(part_of(WIDE, columns))
    assert part_of(WIDE, ["image", "image.width"]).field("image") == WIDE.field("image")


def test_columns_spare_a_shard_no_check(pictures: ShardStore, tmp_path: Path) -> None:
    with pytest.raises(CorruptData, match="columns"):
        pictures.read("images", "shard-00000", SCHEMA, ["sample_id"])
    path = tmp_path / "images" / pictures.markers("images")["shard-00000"].data
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(CorruptData, match="do not match the marker"):
        pictures.read_all("images", WIDE, ["sample_id"])
