from __future__ import annotations

import os

# Before anything imports Ray: a thread left over from one test must not join another cluster on this machine.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
