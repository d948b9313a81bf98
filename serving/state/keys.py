"""API keys: hashed at rest, compared in constant time, read again when the file changes."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from serving.engines.fair_queue import SHARED
from synthseg.config.serving import ServingConfig
from synthseg.errors import UsageProblem
from synthseg.machine.whole_file import whole

PREFIX: Final = "sk-synthseg-"
_SECRET_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who asks: one API key, or everybody while no keys are set. Jobs and files belong to `tenant_id`."""

    tenant_id: str
    name: str
    requests_per_min: int
    """0 sets no limit, here and below."""
    image_seconds_per_min: float

    @property
    def queue(self) -> str:
        """Whose turn its requests take at the engines: the key's own, or everybody's while there are no keys."""
        return SHARED if self == LOCAL else self.tenant_id


LOCAL: Final = Tenant("local", "local", 0, 0.0)
"""Everybody on a server without keys, which listens on loopback only."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key as the file keeps it: a salted hash, never the key. The secret has 256 random bits, so one fast hash is enough."""

    key_id: str
    name: str
    salt: str
    hash: str
    created: float
    revoked: float | None = None
    """Seconds since the epoch. A revoked key stays in the file, so that revoking the last one never opens the server."""
    requests_per_min: int | None = None
    """None takes serving.requests_per_min; 0 sets no limit."""
    image_seconds_per_min: float | None = None

    def public(self) -> dict[str, str | float | None]:
        """What may be shown: everything but salt and hash."""
        return {
            "name": self.name,
            "id": self.key_id,
            "requests_per_min": self.requests_per_min,
            "image_seconds_per_min": self.image_seconds_per_min,
            "created": _date(self.created),
            "revoked": _date(self.revoked),
        }


def keys_path(serving: ServingConfig) -> Path:
    """The file of keys of this configuration."""
    return Path(serving.keys_file or Path(serving.state_dir) / "keys.json").expanduser()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class KeyStore:
    """The keys in one JSON file, readable by its owner only."""

    def __init__(self, path: Path, *, required: bool = False) -> None:
        """`required`: having no keys is an error. Once keys have been seen it is one in any case: the file was lost, not unwanted."""
        self._path = path
        self._required = required
        self._seen: tuple[int, int, int] | None = None
        self._records: tuple[KeyRecord, ...] = ()

    def records(self) -> tuple[KeyRecord, ...]:
        """All keys, oldest first. UsageProblem when the file cannot be read or keys are missing that must be there: a server must not
        take that for `no keys`.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._seen, self._records = None, ()
        else:
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen != self._seen:
                self._records = self._read()
                self._seen = seen
        if not self._records and self._required:
            raise UsageProblem(f"{self._path}: holds no keys, and this server needs some; restore it, or run: synthseg keys add NAME")
        self._required = self._required or bool(self._records)
        return self._records

    def any(self) -> bool:
        """Whether this server asks for a key."""
        return bool(self.records())

    def add(self, name: str, requests_per_min: int | None = None, image_seconds_per_min: float | None = None) -> str:
        """A new key, shown once and never stored. UsageProblem for a name that is taken or cannot be one."""
        if not _NAME.fullmatch(name):
            raise UsageProblem(f"name: '{name}' must be 1 to 64 letters, digits, dots, dashes or underscores")
        with self._locked():
            records = self.records()
            if any(record.name == name and record.revoked is None for record in records):
                raise UsageProblem(f"name: '{name}' already has a key; revoke it first: synthseg keys revoke {name}")
            key = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
            salt = secrets.token_hex(16)
            record = KeyRecord(
                key_id=f"key-{secrets.token_hex(6)}",
                name=name,
                salt=salt,
                hash=_hash(key, salt),
                created=time.time(),
                requests_per_min=requests_per_min,
                image_seconds_per_min=image_seconds_per_min,
            )
            self._write((*records, record))
        return key

    def revoke(self, name: str) -> None:
        """End the key called `name`; a running server refuses it from its next request on, and ends what is under way.

        UsageProblem when there is none.
        """
        with self._locked():
            records = self.records()
            if not any(record.name == name and record.revoked is None for record in records):
                raise UsageProblem(f"name: '{name}' has no valid key; see synthseg keys list")
            now = time.time()
            self._write(tuple(replace(r, revoked=now) if r.name == name and r.revoked is None else r for r in records))

    def find(self, key: str) -> KeyRecord | None:
        """The valid record of `key`. Every record is compared in full, so the time tells nothing about which came close."""
        found = None
        for record in self.records():
            same = hmac.compare_digest(_hash(key, record.salt), record.hash)
            if same and record.revoked is None:
                found = record
        return found

    def _read(self) -> tuple[KeyRecord, ...]:
        try:
            return tuple(KeyRecord(**record) for record in json.loads(self._path.read_text(encoding="utf-8"))["keys"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageProblem(f"{self._path}: cannot be read as a file of keys ({type(error).__name__}); restore it") from None

    def _write(self, records: tuple[KeyRecord, ...]) -> None:
        content = json.dumps({"keys": [asdict(record) for record in records]}, indent=2)
        with whole(self._path, mode=0o600) as temporary:
            temporary.write_text(content, encoding="utf-8")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two commands at once take turns."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._path.with_name(f".{self._path.name}.lock").open("w", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise UsageProblem(f"{self._path}: cannot be written: {error}") from error


def tenant_of(record: KeyRecord, serving: ServingConfig) -> Tenant:
    """The tenant behind a key, with the server's limits where the key has none of its own."""
    return Tenant(
        tenant_id=record.key_id,
        name=record.name,
        requests_per_min=serving.requests_per_min if record.requests_per_min is None else record.requests_per_min,
        image_seconds_per_min=serving.image_seconds_per_min if record.image_seconds_per_min is None else record.image_seconds_per_min,
    )


def _date(seconds: float | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))


def _hash(key: str, salt: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + key.encode("utf-8", "surrogatepass")).hexdigest()
