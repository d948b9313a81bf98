from __future__ import annotations

import socket
from pathlib import Path

import pytest

from serving.deploy.server import _deploy, preflight
from serving.state.keys import KeyStore, keys_path
from synthseg.cli import _guarded
from synthseg.config.loading import load_config
from synthseg.errors import UsageProblem

EMBEDDED = ["serve", "embedded", "--set", "prompts.engine=template"]


@pytest.fixture
def state(tmp_path: Path) -> str:
    return f"serving.state_dir={tmp_path}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "embeded"], "did you mean 'embedded'"),
        ([*EMBEDDED, "--set", "serving.image.num_replica=2"], "did you mean 'serving.image.num_replicas'"),
        ([*EMBEDDED, "--port", "70000"], "serving.port"),
        ([*EMBEDDED, "--port", "http"], "see synthseg --help"),
        ([*EMBEDDED, "--host", "no.such.host.invalid"], "there are no API keys"),
        ([*EMBEDDED, "--host", "0.0.0.0"], "synthseg keys add"),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_2_before_anything_starts(
    arguments: list[str], said: str, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _guarded([*arguments, "--set", state]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_a_port_in_use_is_said_before_anything_starts(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert _guarded([*EMBEDDED, "--set", state, "--port", str(taken.getsockname()[1])]) == 2
    assert "is in use" in capsys.readouterr().err


def test_keys_open_the_server_to_others_and_revoking_them_does_not_close_it_half(tmp_path: Path) -> None:
    config = load_config("embedded", [f"serving.state_dir={tmp_path}", "serving.host=0.0.0.0", "serving.port=0", "prompts.engine=template"])
    with pytest.raises(UsageProblem):
        preflight(config)
    store = KeyStore(keys_path(config.serving))
    store.add("alice")
    preflight(config)
    # A revoked key opens nothing, and a server that has had keys keeps asking for one.
    store.revoke("alice")
    preflight(config)


def test_a_cluster_without_room_is_said_before_anything_is_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.ray.start.cluster_room", lambda: {"CPU": 16.0, "GPU": 1.0})
    monkeypatch.setattr("ray.serve.start", lambda **_: pytest.fail("Serve was started"))
    with pytest.raises(UsageProblem, match=r"^serving needs 2 GPU at once \(.*\) and there are 1; lower serving\."):
        _deploy(load_config("voc"), verbose=False, front=None)
