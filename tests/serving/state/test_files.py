from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from fastapi.testclient import TestClient

from serving.state.database import Database, make_room
from serving.state.files import FileStore
from synthseg.errors import UsageProblem


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path)
    yield database
    database.close()


def test_a_file_is_its_tenant_s_until_it_expires(database: Database) -> None:
    now = [0.0]
    store = FileStore(database, ttl_s=60, max_bytes=1000, clock=lambda: now[0])

    async def scenario() -> None:
        file_id = await store.put("alice", b"bytes", "image/png")
        assert (await store.get("alice", file_id)).body == b"bytes"
        for tenant, wanted in (("bob", file_id), ("alice", "file-other")):
            with pytest.raises(KeyError):
                await store.get(tenant, wanted)
        now[0] = 60.0
        with pytest.raises(KeyError):
            await store.get("alice", file_id)

    asyncio.run(scenario())


def test_the_oldest_make_room_for_new_ones(database: Database) -> None:
    now = [0.0]
    store = FileStore(database, ttl_s=60, max_bytes=100, clock=lambda: now[0])

    async def scenario() -> None:
        ids = []
        for age in range(4):
            now[0] = float(age)
            ids.append(await store.put("alice", bytes(40), "image/png"))
        for gone in ids[:2]:
            with pytest.raises(KeyError):
                await store.get("alice", gone)
        for kept in ids[2:]:
            assert len((await store.get("alice", kept)).body) == 40
        large = await store.put("alice", bytes(500), "image/png")
        assert len((await store.get("alice", large)).body) == 500

    asyncio.run(scenario())


def test_a_flood_of_one_key_takes_nothing_from_those_that_hold_less(database: Database) -> None:
    store = FileStore(database, ttl_s=60, max_bytes=100)

    async def scenario() -> None:
        kept = [await store.put("bob", bytes(10), "image/png") for _ in range(3)]
        flood = [await store.put("alice", bytes(20), "image/png") for _ in range(10)]
        for file_id in kept:
            assert len((await store.get("bob", file_id)).body) == 10
        for file_id in flood[-3:]:
            assert len((await store.get("alice", file_id)).body) == 20
        with pytest.raises(KeyError):
            await store.get("alice", flood[-4])
        # Nor does the flood keep others out: who holds less gets room.
        late = [await store.put("carol", bytes(10), "image/png") for _ in range(3)]
        for file_id in late:
            assert len((await store.get("carol", file_id)).body) == 10

    asyncio.run(scenario())


@pytest.mark.parametrize("table", ["files", "answers"])
def test_making_room_reads_no_body(database: Database, table: Literal["files", "answers"]) -> None:
    """Every statement of a writer that is below its limit is answered by an index; bodies are what the table itself is made of."""
    asked: list[str] = []

    def work(connection: sqlite3.Connection) -> list[str]:
        connection.set_trace_callback(asked.append)
        make_room(connection, table, 100, newest=0)
        connection.set_trace_callback(None)
        asked.append(f"DELETE FROM {table} WHERE expires <= 1.0")
        return [row[3] for query in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]

    plans = asyncio.run(database.run(work))
    assert plans == [f"SCAN {table} USING COVERING INDEX {table}_by_holder", f"SEARCH {table} USING INDEX {table}_by_end (expires<?)"]


def test_another_process_s_folder_is_read_in_either_journal(tmp_path: Path) -> None:
    async def scenario() -> None:
        for journal in ("wal", "delete"):
            first, second = (Database(tmp_path / journal, journal) for _ in range(2))
            file_id = await FileStore(first, 60, 1000).put("alice", b"x", "image/png")
            assert (await FileStore(second, 60, 1000).get("alice", file_id)).body == b"x"
            first.close()
            second.close()

    asyncio.run(scenario())


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageProblem, match=r"serving\.state_dir"):
        Database(tmp_path / "file")


@pytest.mark.parametrize("wanted", ["file-unknown", "..%2F..%2Fetc%2Fpasswd", "%00"])
def test_an_unknown_file_is_not_found(client: TestClient, wanted: str) -> None:
    answer = client.get(f"/v1/files/{wanted}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
