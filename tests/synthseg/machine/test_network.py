"""Environment variables that keep an HTTP client from working, by the inputs that users met."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import httpx2
import pytest

from synthseg.engines.openai.engine import OpenAiEngine
from synthseg.errors import UsageProblem
from synthseg.machine.hub.ids import HubId
from synthseg.machine.hub.remote import list_repo
from synthseg.machine.network import client_from

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir", "requests_ca_bundle")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


BAD = [
    ("NO_PROXY", "localhost,[::1]", r"^NO_PROXY: '\[::1\]' cannot be read; write IPv6 addresses bare"),
    ("no_proxy", "localhost, [::1]:8080", r"^no_proxy: '\[::1\]:8080' cannot be read"),
    ("NO_PROXY", "10.0.0.0/8,fe80::/10", r"^NO_PROXY: 'fe80::/10' cannot be read; .* without ranges"),
    ("NO_PROXY", "host:port", r"^NO_PROXY: 'host:port' cannot be read; its port is no number"),
    ("ALL_PROXY", "socks5://127.0.0.1:1080", r"^ALL_PROXY: a SOCKS proxy needs the package socksio; run: pip install socksio"),
    ("all_proxy", "socks://127.0.0.1:1080", r"^all_proxy: socks:// is no kind of proxy that can be used; write socks5://"),
    ("HTTPS_PROXY", "socks4://127.0.0.1:1080", r"^HTTPS_PROXY: socks4:// is no kind"),
    ("HTTP_PROXY", "http://u:secret@host:port", r"^HTTP_PROXY: is no proxy's address"),
    ("ALL_PROXY", "ftp://host", r"^ALL_PROXY: is no proxy's address"),
    ("HTTPS_PROXY", "://", r"^HTTPS_PROXY: is no proxy's address"),
    ("SSL_CERT_FILE", "/nowhere/ca.pem", r"^SSL_CERT_FILE: '/nowhere/ca\.pem' is no file; correct that environment variable or unset it"),
    ("SSL_CERT_FILE", "/etc/hostname", r"^SSL_CERT_FILE: '/etc/hostname' holds no certificates"),
    ("SSL_CERT_DIR", "/nowhere", r"^SSL_CERT_DIR: '/nowhere' is no folder"),
    ("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem", r"^REQUESTS_CA_BUNDLE: '/nowhere/ca\.pem' is no file or folder"),
]


@pytest.mark.parametrize(("name", "value", "says"), BAD)
def test_the_variable_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageProblem, match=says) as problem:
        OpenAiEngine("http://127.0.0.1:9/v1", "m").check()
    assert "\n" not in str(problem.value)
    assert "secret" not in str(problem.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NO_PROXY", "localhost,::1,127.0.0.1,10.0.0.0/8,.example.com,*.example.org,host:8080"),
        ("NO_PROXY", "*"),
        ("HTTPS_PROXY", "http://user:pass@host:8080"),
        ("HTTP_PROXY", "host:8080"),
        ("ALL_PROXY", ""),
    ],
)
@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_what_a_client_takes_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, value: str, library: object) -> None:
    monkeypatch.setenv(name, value)
    client_from(library.Client).close()  # type: ignore[attr-defined]


def test_certificates_that_are_there_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import certifi

    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    client_from(httpx.Client).close()


def test_the_hub_is_asked_with_the_same_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client reads `[::1]`, which is then no fault; a SOCKS proxy without the package is one."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(UsageProblem, match=r"^SSL_CERT_FILE: "):
        list_repo(HubId("a/b"), "main", "prompts.model")
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(UsageProblem, match=r"^ALL_PROXY: "):
        list_repo(HubId("a/b"), "main", "prompts.model")
    monkeypatch.delenv("ALL_PROXY")
    monkeypatch.setenv("NO_PROXY", "[::1]")
    client_from(httpx2.Client).close()


def test_fetch_ends_with_one_line_and_status_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "synthseg", "fetch", "laptop"],
        env={**os.environ, "SSL_CERT_FILE": "/nowhere/ca.pem", "HF_HUB_CACHE": str(tmp_path)}, capture_output=True, encoding="utf-8",
        timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        "error: SSL_CERT_FILE: '/nowhere/ca.pem' is no file; correct that environment variable or unset it"
    ]


@pytest.mark.parametrize("command", ["run", "serve"])
def test_a_command_ends_with_one_line_and_status_2(tmp_path: Path, command: str) -> None:
    with socket.socket() as nothing:
        nothing.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nothing.getsockname()[1]}/v1"
        settings = ["prompts.engine=openai", f"prompts.base_url={url}", "prompts.model=m"]
        more = ["--out", str(tmp_path / "out")] if command == "run" else ["--port", "0"]
        done = subprocess.run(
            [sys.executable, "-m", "synthseg", command, *more, *(part for s in settings for part in ("--set", s))],
            env={**os.environ, "NO_PROXY": "localhost,[::1]"}, capture_output=True, encoding="utf-8", timeout=100, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        "error: NO_PROXY: '[::1]' cannot be read; write IPv6 addresses bare, such as ::1, and without ranges"
    ]
    assert not (tmp_path / "out").exists()
