from __future__ import annotations

import concurrent.futures
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray._raylet import Config

from cluster.ray import auth as ray_auth
from serving.deploy.server import preflight
from synthseg.config.loading import load_config
from synthseg.errors import UsageProblem


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user who has started no Ray yet, with a umask that lets all others read."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        os.environ.pop(name, None)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    before = os.umask(0)
    yield tmp_path
    os.umask(before)
    monkeypatch.undo()
    Config.initialize("")  # Ray keeps what it has read of the environment


def test_the_token_is_for_this_user_only_whatever_the_umask(home: Path) -> None:
    ray_auth.require_token()
    token = home / ".ray" / "auth_token"
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
    assert len(token.read_text(encoding="utf-8")) == 64
    assert [path.name for path in token.parent.iterdir()] == ["auth_token"]


def test_one_that_ray_has_left_open_is_closed_and_kept(home: Path) -> None:
    token = home / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("given", encoding="utf-8")
    assert stat.S_IMODE(token.stat().st_mode) == 0o666
    ray_auth.require_token()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert token.read_text(encoding="utf-8") == "given"


@pytest.mark.parametrize("empty", [False, True])
def test_runs_that_start_at_once_have_one_token(home: Path, *, empty: bool) -> None:
    if empty:
        (home / ".ray").mkdir()
        (home / ".ray" / "auth_token").touch()

    def start(_: int) -> str:
        ray_auth.require_token()
        return (home / ".ray" / "auth_token").read_text(encoding="utf-8")

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(start, range(64)))) == 1


def test_without_a_home_there_is_a_token_all_the_same(home: Path) -> None:
    (home / ".ray").write_text("this is a file", encoding="utf-8")
    ray_auth.require_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.parametrize(("name", "value"), [("RAY_AUTH_TOKEN", "mine"), ("RAY_AUTH_TOKEN_PATH", "/mine"), ("RAY_AUTH_MODE", "disabled")])
def test_what_the_user_has_set_counts_for_a_run(home: Path, name: str, value: str) -> None:
    os.environ[name] = value
    ray_auth.require_token()
    assert os.environ[name] == value
    assert not (home / ".ray").exists()


def test_a_server_does_not_take_an_inherited_disabled(home: Path) -> None:
    os.environ["RAY_AUTH_MODE"] = "disabled"
    config = load_config("embedded", [f"serving.state_dir={home}", "serving.port=0", "prompts.engine=template"])
    with pytest.raises(UsageProblem, match=r"^RAY_AUTH_MODE: 'disabled' would let every user"):
        preflight(config)
    os.environ["RAY_AUTH_MODE"] = "token"
    preflight(config)
