"""Run as a program: `tied.py PARENT COMMAND...` becomes COMMAND, which gets SIGTERM when PARENT, which started it, dies (prctl(2)).

Only a thread that lives as long as the process may start it: Linux counts the death of that thread.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tie(parent: int) -> None:
    """End this process when `parent` ends: also where it is killed, and at once where it has ended already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    tie(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - there is no shell in it
