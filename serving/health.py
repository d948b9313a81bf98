"""Whether an engine still works. A replica whose engine is dead must not go on looking alive."""

from __future__ import annotations

import logging
import os
from typing import Generic, NoReturn

from serving.batching import DrainBatcher, QueueFull, Reply, Request

_LOG = logging.getLogger("synthseg.serving")
_CANARY_DEADLINE_S = 20.0


class EngineDead(Exception):
    """The engine cannot answer any more, with the reason."""


class EngineWatch(Generic[Request, Reply]):
    """Judges one engine by its batcher: an engine call that never ends, or an error after which not even a plain request works."""

    def __init__(self, batcher: DrainBatcher[Request, Reply], canary: Request, stall_s: float) -> None:
        """`canary` is a request that any healthy engine answers; `stall_s` is how long one engine call may take."""
        self._batcher = batcher
        self._canary = canary
        self._stall_s = stall_s

    async def check(self) -> None:
        """EngineDead with the reason, if it is."""
        busy_s = self._batcher.busy_s()
        if busy_s > self._stall_s:
            raise EngineDead(f"the engine has been in one call for {busy_s:.0f} s")
        cause = self._batcher.last_error
        if cause is None:
            return
        try:
            await self._batcher.submit(self._canary, _CANARY_DEADLINE_S)
        except (TimeoutError, QueueFull):
            return  # it would wait behind others; the next check knows more
        except Exception as error:
            raise EngineDead(f"{type(error).__name__}: {error}") from error


def exit_process(reason: EngineDead) -> NoReturn:
    """End this replica at once: its callers then try another one and Serve starts a new one, sooner than after failed health checks."""
    _LOG.critical("replica %d ends: %s", os.getpid(), reason)
    logging.shutdown()
    os._exit(1)
