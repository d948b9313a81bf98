from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.http.database import Database
from serving.http.errors import ApiError
from serving.http.limits import Limits
from serving.keys import LOCAL, Tenant

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
    with pytest.raises(ApiError) as refused:
        request(limits)
    assert (refused.value.status, refused.value.code, refused.value.headers["retry-after"]) == (429, "rate_limit_exceeded", "1")
    assert refused.value.headers["x-ratelimit-remaining-requests"] == "0"
    clock.now += 1
    request(limits)
    with pytest.raises(ApiError):
        request(limits)
    clock.now += 3600
    assert request(limits)["x-ratelimit-remaining-requests"] == "59"


def test_two_gateways_share_one_limit(database: Database, tmp_path: Path, clock: Clock) -> None:
    other = Database(tmp_path)
    for _ in range(30):
        request(Limits(database, clock))
        request(Limits(other, clock))
    with pytest.raises(ApiError):
        request(Limits(other, clock))
    other.close()


def test_keys_do_not_share(database: Database, clock: Clock) -> None:
    limits = Limits(database, clock)
    for _ in range(60):
        request(limits)
    request(limits, Tenant("key-b", "bob", 60, 0.0))


def test_image_seconds_are_charged_afterwards_and_the_debt_is_waited_for(database: Database, clock: Clock) -> None:
    limits = Limits(database, clock)
    headers: dict[str, str] = {}
    run(limits.admit_images(ALICE, headers))
    assert headers["x-ratelimit-remaining-image-seconds"] == "10"
    run(limits.charge_images(ALICE, 14.0))
    with pytest.raises(ApiError) as refused:
        run(limits.admit_images(ALICE, headers))
    assert refused.value.headers["retry-after"] == "30"  # 4 s of debt and the 1 s that is asked for, at 10 s a minute
    clock.now += 30
    run(limits.admit_images(ALICE, headers))


def test_a_tenant_without_limits_is_never_refused_and_gets_no_headers(database: Database, clock: Clock) -> None:
    limits = Limits(database, clock)
    headers: dict[str, str] = {}
    for _ in range(200):
        run(limits.admit_request(LOCAL, headers))
    run(limits.charge_images(LOCAL, 1e6))
    run(limits.admit_images(LOCAL, headers))
    assert headers == {}
