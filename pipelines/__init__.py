"""The run: Ray Data stages, their order, resume, evaluation."""

import os

# A thread that outlives its cluster must not start or join another one behind our back. Ray reads this when it is imported.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
