"""The environment variables that HTTP clients read, proxies and certificates: refused by name before anything loads.

A client reads them when it is made and fails there with an error that names none of them. A proxy's value may hold a password and is never
shown.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from synthseg.errors import UsageProblem

Client = TypeVar("Client")

_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")
_SCHEMES: Final = ("http", "https", "socks5", "socks5h")


def client_from(make_client: Callable[[], Client]) -> Client:
    """What `make_client`, such as httpx.Client, makes. UsageProblem for the environment variable with which it cannot work."""
    if problem := next(_bad_certificates(), ""):
        raise UsageProblem(problem)
    try:
        return make_client()
    except Exception as error:
        # Each HTTP library has its own kinds of errors here, and none of them is of a common base.
        raise UsageProblem(_at_fault(error)) from error


def _bad_certificates() -> Iterator[str]:
    """Certificates that are missing, of which a client says nothing until a server is refused, or cannot be read."""
    for name, is_right, what in (
        ("SSL_CERT_FILE", Path.is_file, "file"),
        ("SSL_CERT_DIR", Path.is_dir, "folder"),
        ("REQUESTS_CA_BUNDLE", Path.exists, "file or folder"),
    ):
        value = os.environ.get(name)
        if value and not is_right(Path(value)):
            yield f"{name}: '{value}' is no {what}; correct that environment variable or unset it"
    if value := os.environ.get("SSL_CERT_FILE"):
        try:
            ssl.create_default_context(cafile=value)
        except (OSError, ssl.SSLError) as error:
            yield f"SSL_CERT_FILE: '{value}' holds no certificates ({error}); correct that environment variable or unset it"


def _at_fault(error: Exception) -> str:
    """The message for whichever variable keeps a client from starting."""
    for name in _set(*_PROXIES):
        if fault := _proxy_fault(os.environ[name]):
            return f"{name}: {fault}, or unset that environment variable"
    for name in _set("no_proxy"):
        for entry in map(str.strip, os.environ[name].split(",")):
            if "[" in entry or "]" in entry or (entry.count(":") > 1 and "/" in entry):
                return f"{name}: '{entry}' cannot be read; write IPv6 addresses bare, such as ::1, and without ranges"
            if not _has_port(entry):
                return f"{name}: '{entry}' cannot be read; its port is no number"
    found = ", ".join(_set(*_PROXIES, "no_proxy", "ssl_cert_file", "ssl_cert_dir")) or "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY"
    return f"{found}: no HTTP client can start with these environment variables ({type(error).__name__}: {error}); correct or unset them"


def _proxy_fault(value: str) -> str:
    """What is wrong with a proxy's address, with the way out, or an empty string."""
    url = _split(value if "://" in value else f"http://{value}")
    if url.scheme.startswith("socks") and url.scheme not in _SCHEMES:
        return f"{url.scheme}:// is no kind of proxy that can be used; write socks5://"
    if url.scheme not in _SCHEMES or not url.hostname or not _has_port(url.netloc.rpartition("@")[2]):
        return "is no proxy's address, such as http://host:8080; correct it"
    if url.scheme.startswith("socks") and find_spec("socksio") is None:
        return "a SOCKS proxy needs the package socksio; run: pip install socksio"
    return ""


def _has_port(host: str) -> bool:
    """Whether what may be a port behind `host` is one."""
    try:
        _ = urlsplit(f"//{host}").port if host.count(":") == 1 else None
    except ValueError:
        return False
    return True


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _set(*names: str) -> Iterator[str]:
    """The variables of `names` that hold something, as they are written; small letters count first."""
    for name in names:
        yield from (spelled for spelled in (name, name.upper()) if os.environ.get(spelled))
