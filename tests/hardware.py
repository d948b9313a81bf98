"""Marks for tests that need what not every machine has."""

from __future__ import annotations

import pytest

from synthseg.machine.precision import cpu_has_bf16

needs_bf16 = pytest.mark.skipif(not cpu_has_bf16(), reason="needs a CPU with bf16 units; emulated it is slower by two orders")
