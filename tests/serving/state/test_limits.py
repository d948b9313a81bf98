from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.state.database import Database
from serving.state.keys import LOCAL, Tenant
from serving.state.limits import LimitReached, Limits

ALICE = Tenant("key-a", "alice", 60, 10.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path)
    yield database
    database.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def request(limits: Limits, tenant: Tenant = ALICE) -> dict[str, str]:
    headers: dict[str, str] = {}
    run(limits.admit_request(tenant, headers))
    return headers


def test_a_minute_s_worth_may_come_at_once_and_then_one_a_second(database: Database, clock: Clock) -> None:
    limits = Limits(database, clock)
    assert request(limits) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1.000s",
    }
    for _ in range(59):
        request(limits)
    with pytest.raises(LimitReached) as refused:
        request(limits)
    assert refused.value.retry_after_s == pytest.approx(1)
    assert refused.value.headers["x-ratelimit-remaining-requests"] == "0"
    clock.now += 1
    request(limits)
    with pytest.raises(LimitReached):
        request(limits)
    clock.now += 3600
    assert request(limits)["x-ratelimit-remaining-requests"] == "59"


def test_two_gateways_share_one_limit(database: Database, tmp_path: Path, clock: Clock) -> None:
    other = Database(tmp_path)
    for _ in range(30):
        request(Limits(database, clock))
        request(Limits(other, clock))
    with pytest.raises(LimitReached):
        request(Limits(other, clock))
    other.close()


def test_keys_do_not_share(database: Database, clock: Clock) -> None:
    limits = Limits(database, clock)
    for _ in range(60):
        request(limits)
    request(limits, Tenant("key-b", "bob", 60, 0.0))


def reserve(limits: Limits, estimate_s: float) -> str:
    """Image seconds that are left after reserving."""
    headers: dict[str, str] = {}
    run(limits.reserve_images(ALICE, estimate_s, headers))
    return headers["x-ratelimit-remaining-image-seconds"]


def test_images_under_way_count_before_their_cost_is_known(database: Database, clock: Clock) -> None:
    limits = Limits(database, clock)
    assert [reserve(limits, 4.0) for _ in range(2)] == ["6", "2"]
    with pytest.raises(LimitReached) as refused:
        reserve(limits, 4.0)
    assert refused.value.retry_after_s == pytest.approx(12)  # 2 s are missing, at 10 s a minute
    run(limits.settle_images(ALICE, 4.0, 1.0))
    assert reserve(limits, 4.0) == "1"


def test_what_images_cost_beyond_the_estimate_is_waited_for(database: Database, clock: Clock) -> None:
    limits = Limits(database, clock)
    reserve(limits, 1.0)
    run(limits.settle_images(ALICE, 1.0, 14.0))
    with pytest.raises(LimitReached) as refused:
        reserve(limits, 1.0)
    assert refused.value.retry_after_s == pytest.approx(30)  # 4 s of debt and the 1 s that is asked for, at 10 s a minute
    clock.now += 30
    assert reserve(limits, 1.0) == "0"


def test_what_is_given_back_fills_no_bucket_beyond_its_brim(database: Database, clock: Clock) -> None:
    limits = Limits(database, clock)
    reserve(limits, 6.0)
    clock.now += 60
    run(limits.settle_images(ALICE, 6.0, 0.0))
    assert reserve(limits, 1.0) == "9"


def test_more_than_a_minute_s_worth_waits_for_a_full_bucket(database: Database, clock: Clock) -> None:
    limits = Limits(database, clock)
    reserve(limits, 1.0)
    with pytest.raises(LimitReached) as refused:
        reserve(limits, 25.0)
    assert refused.value.retry_after_s == pytest.approx(6)
    clock.now += 6
    assert reserve(limits, 25.0) == "0"
    with pytest.raises(LimitReached) as refused:
        reserve(limits, 1.0)
    assert refused.value.retry_after_s == pytest.approx(96)


def test_the_estimate_follows_the_pace_of_the_images(database: Database, clock: Clock) -> None:
    limits = Limits(database, clock)
    assert limits.estimate_s(64 * 64) == 1.0
    limits.learn(100, 2.0)
    assert limits.estimate_s(300) == pytest.approx(6.0)
    for _ in range(50):
        limits.learn(100, 1.0)
    assert limits.estimate_s(300) == pytest.approx(3.0, rel=0.01)


def test_a_tenant_without_limits_is_never_refused_and_gets_no_headers(database: Database, clock: Clock) -> None:
    limits = Limits(database, clock)
    headers: dict[str, str] = {}
    for _ in range(200):
        run(limits.admit_request(LOCAL, headers))
    run(limits.reserve_images(LOCAL, 1e6, headers))
    run(limits.settle_images(LOCAL, 1e6, 2e6))
    assert headers == {}
