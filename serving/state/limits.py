"""Limits per key: requests and engine seconds for images, each a bucket that holds a minute's worth and refills evenly.

The buckets live in the shared state, so a key has one limit whichever gateway answers.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

from serving.engines.running_mean import RunningMean
from serving.state.database import Database
from serving.state.keys import Tenant

REQUESTS: Final = "requests"
IMAGE_SECONDS: Final = "image-seconds"
_MINUTE_S: Final = 60.0
_FIRST_IMAGE_S: Final = 1.0
"""What is reserved for an image while no image has told yet how long they take."""
_NEWEST_SHARE: Final = 0.1


class LimitReached(Exception):
    """A key's minute is used up; the same request will be welcome in `retry_after_s` seconds. `headers` tell the limit as OpenAI's API
    does.
    """

    def __init__(self, message: str, retry_after_s: float, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.headers = headers


@dataclass(frozen=True, slots=True)
class _Bucket:
    """A bucket after something was taken. A negative level is work that turned out larger than what was left."""

    kind: str
    limit: float
    level: float

    @property
    def rate(self) -> float:
        """Refill a second."""
        return self.limit / _MINUTE_S

    def headers(self) -> dict[str, str]:
        """OpenAI's rate-limit headers of this kind."""
        return {
            f"x-ratelimit-limit-{self.kind}": _number(self.limit),
            f"x-ratelimit-remaining-{self.kind}": _number(max(self.level, 0.0)),
            f"x-ratelimit-reset-{self.kind}": f"{(self.limit - self.level) / self.rate:.3f}s",
        }

    def refusal(self, needed: float) -> LimitReached:
        """With the time after which `needed` is there."""
        message = f"This key's limit of {_number(self.limit)} {self.kind} a minute is used up."
        return LimitReached(message, (needed - self.level) / self.rate, self.headers())


class Limits:
    """Takes from the buckets of a tenant; a tenant without a limit costs nothing."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._pace_s = RunningMean(_NEWEST_SHARE)
        """Engine seconds a pixel of this gateway's latest images; 0 before the first."""

    async def admit_request(self, tenant: Tenant, headers: MutableMapping[str, str]) -> None:
        """Count one request and put its rate-limit headers into `headers`. LimitReached when the minute's worth is used up."""
        if not tenant.requests_per_min:
            return
        limit = float(tenant.requests_per_min)
        taken, bucket = await self._take(tenant, REQUESTS, limit, amount=1.0, needed=1.0)
        if not taken:
            raise bucket.refusal(1.0)
        headers.update(bucket.headers())

    def estimate_s(self, num_pixels: int) -> float:
        """Engine seconds that an image of `num_pixels` will probably take."""
        return self._pace_s.value * num_pixels or _FIRST_IMAGE_S

    def learn(self, num_pixels: int, engine_s: float) -> None:
        """An image of `num_pixels` has taken `engine_s`."""
        self._pace_s.add(engine_s / num_pixels)

    async def reserve_images(self, tenant: Tenant, estimate_s: float, headers: MutableMapping[str, str]) -> None:
        """Take what images will probably cost. LimitReached while it is not there; what is more than a minute's worth waits for a full
        bucket and leaves a debt, which the next requests wait for.
        """
        limit = tenant.image_seconds_per_min
        if not limit:
            return
        needed = min(estimate_s, limit)
        taken, bucket = await self._take(tenant, IMAGE_SECONDS, limit, amount=estimate_s, needed=needed)
        if not taken:
            raise bucket.refusal(needed)
        headers.update(bucket.headers())

    async def settle_images(self, tenant: Tenant, estimate_s: float, spent_s: float) -> None:
        """Put `spent_s` in the place of what was reserved; the level may fall below zero."""
        if tenant.image_seconds_per_min:
            await self._take(tenant, IMAGE_SECONDS, tenant.image_seconds_per_min, amount=spent_s - estimate_s, needed=None)

    async def _take(self, tenant: Tenant, kind: str, limit: float, *, amount: float, needed: float | None) -> tuple[bool, _Bucket]:
        """Take `amount` if at least `needed` is there (None: in any case)."""

        def update(connection: sqlite3.Connection) -> tuple[bool, _Bucket]:
            now = self._clock()
            query = "SELECT level, at FROM buckets WHERE tenant = ? AND kind = ?"
            level, at = connection.execute(query, (tenant.tenant_id, kind)).fetchone() or (limit, now)
            level = min(limit, level + max(now - at, 0.0) * limit / _MINUTE_S)
            taken = needed is None or level >= needed
            if taken:
                level = min(limit, level - amount)
            connection.execute("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?)", (tenant.tenant_id, kind, level, now))
            return taken, _Bucket(kind, limit, level)

        return await self._database.run(update)


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
