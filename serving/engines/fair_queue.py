"""What waits for an engine, by tenant and by group: tenants take turns, and none fills the queue for the others."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)

SHARED = ""
"""Tenant of work that belongs to no API key: batch runs, and everybody on a server without keys. It may fill the whole queue."""
_REMEMBERED = 1024
"""Tenants whose last turn is remembered while they have nothing waiting."""


class QueueFull(Exception):
    """The queue takes no more of this tenant.

    `queued` requests wait, and `wait_s` is how long those are expected to take. Where `own` is true, it is the tenant's own share that is
    used up: others would still find room, and `queued` counts the tenant's requests only.
    """

    def __init__(self, queued: int, wait_s: float, own: bool = False) -> None:
        super().__init__(queued, wait_s, own)  # what pickle builds it from again
        self.queued = queued
        self.wait_s = wait_s
        self.own = own

    def __str__(self) -> str:
        return f"{self.queued} requests{' of this key' if self.own else ''} are queued"


def check_room(max_queued: int, queued: int, own: int, wait_s: float, tenant: str, num_new: int = 1) -> None:
    """QueueFull when a queue of `max_queued` places (0: no bound) has no room for `num_new` more of `tenant`, which has `own` there.

    A tenant may have as many places as it leaves free (Choudhury and Hahne, Dynamic queue length thresholds, 1998). So a tenant alone has
    at most half of the queue, k tenants that flood it have 1/(k+1) each, and one more that comes always finds room.
    """
    if not max_queued:
        return
    free = max_queued - queued
    if free < min(num_new, max_queued):
        raise QueueFull(queued, wait_s)
    if tenant != SHARED and own + num_new > free and queued:
        raise QueueFull(own, wait_s, own=True) if own else QueueFull(queued, wait_s)


class FairQueue(Generic[Item]):
    """Items in line. Not for several threads at once.

    The next turn goes to the tenant whose last turn is longest ago, and in it to the group whose last turn is longest ago; a group is first
    in, first out. Free places of a batch are dealt out among all tenants with items of its group.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, OrderedDict[Hashable, dict[Item, None]]] = {}
        self._counts: Counter[str] = Counter()
        self._last_turn: dict[str, int] = {}
        self._num_turns = 0

    def __len__(self) -> int:
        return self._counts.total()

    def count(self, tenant: str) -> int:
        """Items of `tenant`."""
        return self._counts[tenant]

    def add(self, item: Item, tenant: str, group: Hashable = None) -> None:
        """Put `item` at the end of its line."""
        self._waiting.setdefault(tenant, OrderedDict()).setdefault(group, {})[item] = None
        self._counts[tenant] += 1

    def remove(self, item: Item, tenant: str, group: Hashable = None) -> bool:
        """Take `item` out of its line; False when it has left it already."""
        groups = self._waiting.get(tenant, OrderedDict())
        if item not in groups.get(group, {}):
            return False
        del groups[group][item]
        self._counts[tenant] -= 1
        if not groups[group]:
            del groups[group]
        if not groups:
            del self._waiting[tenant], self._counts[tenant]
        return True

    def take(self, most: int = 1, fits: Callable[[list[Item], Item], bool] = lambda _, __: True) -> list[Item]:
        """At most `most` items of the group whose turn it is; none when nothing waits. The first that does not fit to those before it ends
        the batch.
        """
        if not self._waiting:
            return []
        first = min(self._waiting, key=self._turn_of)
        group = next(iter(self._waiting[first]))
        others = sorted((tenant for tenant, groups in self._waiting.items() if tenant != first and group in groups), key=self._turn_of)
        batch: list[Item] = []
        dealt = deque((first, *others))
        while dealt and len(batch) < most:
            tenant = dealt.popleft()
            item = next(iter(self._waiting[tenant][group]))
            if batch and not fits(batch, item):
                break
            batch.append(item)
            self.remove(item, tenant, group)
            if group in self._waiting.get(tenant, {}):
                dealt.append(tenant)
        self._end_turn(first, group)
        return batch

    def _turn_of(self, tenant: str) -> int:
        return self._last_turn.get(tenant, 0)

    def _end_turn(self, tenant: str, group: Hashable) -> None:
        if group in self._waiting.get(tenant, {}):
            self._waiting[tenant].move_to_end(group)
        self._num_turns += 1
        self._last_turn[tenant] = self._num_turns
        if len(self._last_turn) > _REMEMBERED:
            self._last_turn = {name: turn for name, turn in self._last_turn.items() if name in self._waiting}
