from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Before anything imports Ray: a thread left over from one test must not join another cluster on this machine.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
# Tests neither read nor leave embeddings in the user's cache.
if "SYNTHSEG_CACHE" not in os.environ:
    os.environ["SYNTHSEG_CACHE"] = cache = tempfile.mkdtemp(prefix="synthseg-test-cache-")
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
