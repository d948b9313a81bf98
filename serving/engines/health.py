"""Whether an engine still works. A replica whose engine is dead must not go on looking alive."""

from __future__ import annotations

import logging
import math
import os
from typing import Generic, NoReturn

from serving.engines.batching import DrainBatcher, Reply, Request
from serving.engines.fair_queue import QueueFull

_LOG = logging.getLogger("synthseg.serving")
_CANARY_DEADLINE_S = 20.0


class EngineDead(Exception):
    """The engine cannot answer any more, with the reason."""


class EngineWatch(Generic[Request, Reply]):
    """Judges one engine by its batcher: a call without a sign of life, or an error after which not even a plain request works."""

    def __init__(self, batcher: DrainBatcher[Request, Reply], canary: Request, stall_s: float, give_up_s: float = math.inf) -> None:
        """`canary` is a request that any healthy engine answers. `stall_s` is how long an engine may be silent in a call, and `give_up_s`
        how long it may be silent in one that nobody waits for any more.
        """
        self._batcher = batcher
        self._canary = canary
        self._stall_s = stall_s
        self._give_up_s = give_up_s

    def fault(self) -> str:
        """What is wrong with the engine, by what can be seen at once; empty while nothing is."""
        if (silent_s := self._batcher.silent_s()) > self._stall_s:
            return f"the engine has given no sign of life in one call for {silent_s:.0f} s"
        if (unwanted_s := self._batcher.unwanted_s()) > self._give_up_s:
            return f"the engine goes on with what was given up {unwanted_s:.0f} s ago"
        return ""

    async def check(self) -> None:
        """EngineDead with the reason, if it is."""
        if fault := self.fault():
            raise EngineDead(fault)
        if self._batcher.last_error is None:
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
