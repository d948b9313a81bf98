"""Beginnings of chats that llama.cpp has read already: requests that differ in their last message only read the rest once more.

A reply must not depend on what the engine was asked before. llama.cpp's own reuse of a prompt breaks that: how much it finds to reuse
depends on the request before, and a text read in other pieces has other roundings. So every chat is read in the same three pieces,
whether its beginning is known or not: all messages but the last, the last token of these once more by itself, and the rest. After the
second piece the slot holds the same numbers each time, for it cuts off whatever came behind the beginning.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from synthseg.engines.text import IsWanted
from synthseg.ids import canonical_json

NUM_KEPT: Final = 8
"""Beginnings that are kept of a small model, the ones used last. Each costs the memory of a whole context."""
SMALL_BYTES: Final = 1 << 30
"""A larger model keeps one: its contexts may take a gigabyte each."""
_NUM_SEEN: Final = 256
"""A beginning is kept when it comes again within so many others: most come once."""

Messages = Sequence[Mapping[str, str]]
Told = Callable[[dict[str, Any]], bool]
"""Takes a chunk of a streamed answer; True ends the work."""


class Beginnings:
    """Puts a slot of the server into the state in which a chat's last message is read. For one caller at a time."""

    def __init__(self, ask: Callable[[dict[str, Any], Told], Any], num_kept: int = NUM_KEPT) -> None:
        """`ask` hands a body to the server's chat completions, and what they tell to the second argument. The server has `num_kept`
        slots, and one more for what is not kept.
        """
        self._slots = range(num_kept + 1)
        self._spare = num_kept
        self._latest: str | None = None
        """The beginning in the spare slot."""
        self._ask = ask
        self._kept: OrderedDict[str, int] = OrderedDict()
        self._seen: deque[str] = deque(maxlen=_NUM_SEEN)

    def restore(self, messages: Messages, is_wanted: IsWanted = lambda: True) -> dict[str, Any]:
        """What the body of a chat with `messages` has to say besides, so that the rest of it is read in the right slot. Long readings ask
        `is_wanted`.
        """
        beginning = [dict(message) for message in messages[:-1]]
        key = canonical_json(beginning)
        if not beginning:
            self._latest = None
            return {"id_slot": self._spare, "cache_prompt": False}
        slot = self._known_slot(key)
        if slot is None:
            slot = self._free_slot() if key in self._seen else self._spare
            # A chat format that cannot end here, a text beyond the context: then all is read in one piece. Or nobody wants it any more.
            if not self._read(beginning, slot, is_wanted, reuse=False):
                self._latest = None
                return {"id_slot": self._spare, "cache_prompt": False}
            if slot == self._spare:
                self._latest = key
                self._seen.append(key)
            else:
                self._kept[key] = slot
        self._read(beginning, slot, reuse=True)
        return {"id_slot": slot, "cache_prompt": True}

    def _known_slot(self, key: str) -> int | None:
        """The slot that holds the beginning. One that comes again while it is in the spare slot is kept from now on."""
        if key == self._latest:
            self._kept[key] = self._spare
            self._latest = None
            self._spare = self._free_slot()
        elif key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def _free_slot(self) -> int:
        """A slot that holds nothing, or else what was used longest ago."""
        taken = {*self._kept.values(), self._spare}
        free = next((slot for slot in self._slots if slot not in taken), None)
        return self._kept.popitem(last=False)[1] if free is None else free

    def _read(self, beginning: Messages, slot: int, is_wanted: IsWanted = lambda: True, *, reuse: bool) -> bool:
        """Read `beginning` from its first token on, or with `reuse` its last token alone; nothing is written. Whether it is read whole."""
        is_whole = True

        def told(chunk: dict[str, Any]) -> bool:
            nonlocal is_whole
            is_whole = is_whole and "choices" in chunk and is_wanted()
            return not is_whole

        body = {"messages": beginning, "add_generation_prompt": False, "max_tokens": 0, "temperature": 0.0, "seed": 0}
        self._ask({**body, "stream": True, "return_progress": True, "id_slot": slot, "cache_prompt": reuse}, told)
        return is_whole
