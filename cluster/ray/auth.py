"""A Ray of one's own demands a token of everybody: whoever reaches its ports on this machine could otherwise run code as its user.

Ray 2.60 does so by default, unless the environment says otherwise, and leaves the file of the token readable to all users.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from pathlib import Path

from synthseg.errors import UsageProblem

_MODE = "RAY_AUTH_MODE"
_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 - the name of a variable
_ELSEWHERE = (_TOKEN, "RAY_AUTH_TOKEN_PATH")


def refuse_open_ray() -> None:
    """UsageProblem when the environment would have a server's Ray serve everybody on this machine."""
    mode = os.environ.get(_MODE)
    if mode is not None and mode.lower() != "token":
        raise UsageProblem(f"{_MODE}: '{mode}' would let every user of this machine run code in the server's Ray; unset it")


def require_token() -> None:
    """Before a Ray of one's own starts: have it demand a token that only this user can read. An explicit RAY_AUTH_MODE counts."""
    if _MODE not in os.environ:
        from cluster.ray.compat import raylet

        os.environ[_MODE] = "token"
        raylet.Config.initialize("")  # Ray has read its settings when it was imported
    if os.environ[_MODE].lower() == "token" and not any(os.environ.get(name) for name in _ELSEWHERE):
        try:
            _private_token(Path.home() / ".ray" / "auth_token")
        except OSError:  # no home that can be written: a token for this Ray and what it starts
            os.environ[_TOKEN] = secrets.token_hex(32)


def _private_token(path: Path) -> None:
    """Write a token to `path`, where Ray looks for it, unless one is there. Only this user can read it, whatever the umask says.

    Several servers may start at once, so the file itself is locked.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            os.fchmod(file.fileno(), 0o600)
        if not os.fstat(file.fileno()).st_size:
            file.write(secrets.token_hex(32))
