"""Tells requests under way that their key has been revoked: a stream may last for hours."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from serving.state.keys import LOCAL, KeyStore, Tenant
from synthseg.errors import UsageProblem

LOOK_S: Final = 1.0
"""Seconds between two looks at the file of keys, while a key has requests under way."""


class KeyWatch:
    """Looks at the file of keys for as long as requests with keys are under way."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._ended: dict[str, asyncio.Event] = {}
        self._open: Counter[str] = Counter()
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def watched(self, tenant: Tenant) -> Iterator[asyncio.Event]:
        """Around a request: an event that is set when the key of `tenant` is revoked or gone."""
        key_id = tenant.tenant_id
        ended = self._ended.setdefault(key_id, asyncio.Event())
        self._open[key_id] += 1
        if tenant != LOCAL and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look())
        try:
            yield ended
        finally:
            self._open[key_id] -= 1
            if not self._open[key_id]:
                del self._open[key_id], self._ended[key_id]

    async def _look(self) -> None:
        while any(key_id != LOCAL.tenant_id for key_id in self._open):
            await asyncio.sleep(LOOK_S)
            try:
                valid = {record.key_id for record in self._keys.records() if record.revoked is None}
            except UsageProblem:  # a file that cannot be read says nothing of any key; new requests are refused meanwhile
                continue
            for key_id, ended in self._ended.items():
                if key_id not in valid and key_id != LOCAL.tenant_id:
                    ended.set()
