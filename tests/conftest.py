from __future__ import annotations

import os
import tempfile

# Before anything imports Ray: a thread left over from one test must not join another cluster on this machine.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
# Tests neither read nor leave embeddings in the user's cache.
os.environ.setdefault("SYNTHSEG_CACHE", tempfile.mkdtemp(prefix="synthseg-test-cache-"))
