from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from serving.state.keys import KeyStore, is_loopback, keys_path, tenant_of
from synthseg import cli
from synthseg.config import load_config
from synthseg.errors import UsageProblem


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys.json"


def test_a_key_is_found_and_only_its_hash_is_kept(path: Path) -> None:
    store = KeyStore(path)
    assert not store.any()
    first, second = store.add("alice"), store.add("bob")
    found = store.find(first)
    assert found is not None
    assert found.name == "alice"
    assert store.find(second + "x") is None
    assert store.find("") is None
    text = path.read_text(encoding="utf-8")
    assert first not in text
    assert first.removeprefix("sk-synthseg-") not in text
    salts = {record["salt"] for record in json.loads(text)["keys"]}
    assert len(salts) == 2


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    KeyStore(path).add("alice")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_running_server_sees_new_and_revoked_keys(path: Path) -> None:
    server, command = KeyStore(path), KeyStore(path)
    key = command.add("alice")
    assert server.find(key) is not None
    command.revoke("alice")
    assert server.find(key) is None


def test_revoking_the_last_key_does_not_open_the_server(path: Path) -> None:
    store = KeyStore(path)
    store.add("alice")
    store.revoke("alice")
    assert store.any()


def test_a_name_can_be_used_again_and_the_new_key_is_another_tenant(path: Path) -> None:
    store, serving = KeyStore(path), load_config("embedded").serving
    first = store.find(store.add("alice"))
    store.revoke("alice")
    second = store.find(store.add("alice"))
    assert first is not None
    assert second is not None
    assert tenant_of(first, serving).tenant_id != tenant_of(second, serving).tenant_id


def test_a_key_s_own_limits_win_over_the_server_s(path: Path) -> None:
    store, serving = KeyStore(path), load_config("embedded", ["serving.requests_per_min=7"]).serving
    usual, own = store.find(store.add("alice")), store.find(store.add("bob", 0, 2.5))
    assert usual is not None
    assert own is not None
    assert tenant_of(usual, serving).requests_per_min == 7
    assert (tenant_of(own, serving).requests_per_min, tenant_of(own, serving).image_seconds_per_min) == (0, 2.5)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys": [{"name": "x"}]}'])
def test_a_broken_file_is_an_error_and_no_open_door(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageProblem, match="cannot be read as a file of keys"):
        KeyStore(path).any()


def test_the_error_of_a_broken_file_does_not_tell_to_open_the_door(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UsageProblem, match=r"; restore it$"):
        KeyStore(path).any()


@pytest.mark.parametrize("lost", [None, '{"keys": []}'])
def test_keys_that_are_lost_are_an_error_and_no_open_door(path: Path, lost: str | None) -> None:
    server = KeyStore(path)
    assert not server.any()
    key = KeyStore(path).add("alice")
    assert server.find(key) is not None
    kept = path.read_bytes()
    path.unlink()
    if lost is not None:
        path.write_text(lost, encoding="utf-8")
    for _ in range(2):
        with pytest.raises(UsageProblem, match="holds no keys"):
            server.any()
    path.write_bytes(kept)
    assert server.find(key) is not None


def test_a_server_that_others_reach_needs_keys_from_the_start(path: Path) -> None:
    server = KeyStore(path, required=True)
    with pytest.raises(UsageProblem, match="synthseg keys add"):
        server.any()
    KeyStore(path).add("alice")
    assert server.any()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False)],
)
def test_loopback_is_told_from_the_rest(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 65])
def test_a_name_that_cannot_be_one_is_refused(path: Path, name: str) -> None:
    with pytest.raises(UsageProblem, match="name: "):
        KeyStore(path).add(name)


def test_the_commands_add_list_and_revoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = f"serving.state_dir={tmp_path}"
    assert cli._guarded(["keys", "add", "alice", "--set", state, "--requests-per-min", "5"]) == 0
    key = capsys.readouterr().out.strip()
    store = KeyStore(keys_path(load_config("embedded", [state]).serving))
    assert store.find(key) is not None
    assert cli._guarded(["keys", "list", "--set", state, "--json"]) == 0
    listed = capsys.readouterr().out
    (shown,) = json.loads(listed)["keys"]
    assert (shown["name"], shown["requests_per_min"], shown["revoked"]) == ("alice", 5, None)
    assert key not in listed
    assert store.records()[0].hash not in listed
    assert cli._guarded(["keys", "revoke", "alice", "--set", state]) == 0
    assert store.find(key) is None
    capsys.readouterr()
    assert cli._guarded(["keys", "revoke", "alice", "--set", state]) == 2
    assert "has no valid key" in capsys.readouterr().err
