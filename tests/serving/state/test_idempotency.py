from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from serving.state.database import Database
from serving.state.idempotency import Answers, StillRunning


def test_a_key_whose_gateway_died_is_free_again_after_its_lease(tmp_path: Path) -> None:
    now = [0.0]
    database = Database(tmp_path)

    def gateway() -> Answers:
        return Answers(database, ttl_s=60, lease_s=10, max_bytes=100, clock=lambda: now[0])

    async def scenario() -> None:
        assert await gateway().claim("alice", "k", "request", "dead") is None
        now[0] = 39.0
        with pytest.raises(StillRunning):
            await gateway().claim("alice", "k", "request", "next")
        now[0] = 41.0
        assert await gateway().claim("alice", "k", "request", "next") is None

    asyncio.run(scenario())
    database.close()
