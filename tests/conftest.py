from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator

import pytest

# Before anything imports Ray: a thread left over from one test must not join another cluster on this machine.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
# Tests neither read nor leave embeddings in the user's cache.
os.environ.setdefault("SYNTHSEG_CACHE", tempfile.mkdtemp(prefix="synthseg-test-cache-"))


@pytest.fixture
def hangup_heard() -> Iterator[None]:
    """SIGHUP as a terminal leaves it, for what a test starts as well, though the tests may run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
