"""What this server is called: the names that a request may call it by, and the start of the URLs that it gives out."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

import psutil
from starlette.requests import Request

from serving.state.keys import is_loopback
from synthseg.config.serving import ServingConfig

_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on


def is_own_name(url: str, serving: ServingConfig) -> bool:
    """Whether the host of `url` is loopback, serving.host or the host of serving.public_url: names that no other server can point here."""
    host = host_of(url)
    return bool(host) and (is_loopback(host) or host in (serving.host, host_of(serving.public_url)))


def base_url(request: Request, serving: ServingConfig) -> str:
    """Start of the URLs in the answer to `request`, without a slash at the end: serving.public_url, else the name by which the request
    came if that is this machine's own, else the address that the server listens at. A name that only the client knows the server by may
    be anybody's, and an answer may be kept and shown to others.
    """
    if serving.public_url:
        return serving.public_url.rstrip("/")
    given = request.base_url
    if is_own_name(str(given), serving) or (serving.host in _EVERYWHERE and _is_this_machine(given.hostname or "")):
        return str(given).rstrip("/")
    host = _outward_address() if serving.host in _EVERYWHERE else serving.host
    netloc = f"[{host}]" if ":" in host else host
    return str(given.replace(netloc=f"{netloc}:{serving.port}")).rstrip("/")


def host_of(url: str) -> str:
    """The host of a URL in lower case; empty where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_this_machine(host: str) -> bool:
    return host == socket.gethostname().lower() or host in _addresses()


def _addresses() -> list[str]:
    """Of this machine's network interfaces, loopback left out."""
    families = (socket.AF_INET, socket.AF_INET6)
    found = [entry.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for entry in entries if entry.family in families]
    return [address for address in found if not ipaddress.ip_address(address).is_loopback]


def _outward_address() -> str:
    return next((address for address in _addresses() if not ipaddress.ip_address(address).is_link_local), "127.0.0.1")
