"""What something usually takes, of late."""

from __future__ import annotations


class RunningMean:
    """A mean that follows its newest values; 0 before the first."""

    def __init__(self, newest_share: float) -> None:
        """`newest_share`: weight of the newest value, in (0, 1]."""
        self._newest_share = newest_share
        self.value = 0.0

    def add(self, newest: float) -> None:
        """Move towards `newest`; the first value is taken whole."""
        self.value += (self._newest_share if self.value else 1.0) * (newest - self.value)
