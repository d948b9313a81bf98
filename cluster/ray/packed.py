"""What only its last reader unpacks.

A worker's class travels through Ray's own processes (the one that iterates a dataset, Ray Train's controller) before it reaches the worker.
Each of them would import all that the class refers to, PyTorch and open_clip among it, which takes seconds of a core in each process.
"""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from ray import cloudpickle

T = TypeVar("T")


class Packed(Generic[T]):
    """A pickled value. It must hold no reference of Ray's: Ray would not know of it."""

    def __init__(self, value: T) -> None:
        self._pickled: bytes = cloudpickle.dumps(value)

    def unpack(self) -> T:
        """The value, made anew."""
        return cast(T, cloudpickle.loads(self._pickled))
