from __future__ import annotations

import socket
from collections.abc import Callable

import psutil
import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.state.keys import KeyStore, keys_path
from synthseg.config.schema import RunConfig
from tests.serving.http.local_backend import LocalBackend

BODY = {"prompt": "a cow in a field", "size": "64x64", "response_format": "url"}


def interface() -> str:
    """An address of this machine that is not loopback."""
    entries = [entry for entries in psutil.net_if_addrs().values() for entry in entries if entry.family == socket.AF_INET]
    found = [entry.address for entry in entries if not entry.address.startswith("127.")]
    if not found:
        pytest.skip("this machine has no address but loopback")
    return found[0]


def url(config: RunConfig, host: str) -> str:
    """Start of the URL in the answer to a request that calls the server `host`, with a key."""
    token = {"authorization": f"Bearer {KeyStore(keys_path(config.serving)).add('alice')}"}
    with TestClient(create_app(LocalBackend(config), None, config), headers=token) as client:
        found = client.post("/v1/images/generations", json=BODY, headers={"host": host}).json()["data"][0]["url"]
        assert client.get(found.partition("/v1/")[1] + found.partition("/v1/")[2]).status_code == 200
    return str(found.partition("/v1/files/")[0])


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "6.6.6.6"])
def test_a_foreign_host_never_comes_back_in_a_url(configure: Callable[..., RunConfig], host: str) -> None:
    assert url(configure("serving.port=8123"), host) == "http://127.0.0.1:8123"


@pytest.mark.parametrize("host", ["user@evil.example", "[", ""])
def test_what_is_no_host_does_not_either(configure: Callable[..., RunConfig], host: str) -> None:
    assert url(configure(), host) == "http://127.0.0.1:8000"


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:9", "[::1]:8000"])
def test_a_name_of_its_own_does(configure: Callable[..., RunConfig], host: str) -> None:
    assert url(configure(), host) == f"http://{host}"


def test_the_public_url_comes_first(configure: Callable[..., RunConfig]) -> None:
    assert url(configure("serving.public_url=https://images.example.org/"), "evil.example") == "https://images.example.org"


def test_a_server_that_others_reach_goes_by_the_addresses_of_its_machine(configure: Callable[..., RunConfig]) -> None:
    config, address = configure("serving.host=0.0.0.0", "serving.port=8123"), interface()
    assert url(config, f"{address}:8123") == f"http://{address}:8123"
    KeyStore(keys_path(config.serving)).revoke("alice")
    assert "evil" not in url(config, "evil.example")
