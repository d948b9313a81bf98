"""A remote OUT that does not answer, or refuses, is one line in under 10 s. No test here leaves this machine."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthseg.errors import UsageProblem
from synthseg.store import reach
from synthseg.store.run_folder import RunFolder
from tests.e2e.bucket_store import install


@pytest.fixture
def deaf_address() -> Iterator[str]:
    """A port that takes connections in and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_store_that_never_answers_is_given_up(scheme: str, deaf_address: str) -> None:
    root = {
        "s3": f"s3://key:secret@bucket/run?scheme=http&region=us-east-1&endpoint_override={deaf_address}",
        "gs": f"gs://anonymous@bucket/run?scheme=http&endpoint_override={deaf_address}",
    }[scheme]
    started = time.monotonic()
    with pytest.raises(
        UsageProblem, match=r"^out: '.*' (did not answer in 7 s|cannot be reached \(.*does not answer\)); check network"
    ) as raised:
        RunFolder.open(root)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)
    assert time.monotonic() - started < reach.PATIENCE_S + reach._LOAD_S


def test_a_host_that_nobody_listens_on_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(UsageProblem, match=rf"^out: '.*' cannot be reached \(no connection to {address}: Connection refused\); check"):
        RunFolder.open(f"s3://key:secret@bucket/run?scheme=http&region=us-east-1&endpoint_override={address}")


def test_a_scheme_that_nobody_knows_is_named() -> None:
    with pytest.raises(UsageProblem, match=r"^out: 'nosuch://bucket/run' cannot be reached .*nosuch"):
        RunFolder.open("nosuch://bucket/run")


def test_a_store_that_answers_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in install(tmp_path).items():
        monkeypatch.setenv(name, value)
    reach.reach("bucket://runs/small", "out")
    monkeypatch.setattr(reach.subprocess, "Popen", None)
    reach.reach("bucket://runs/small", "out")
    reach.reach(str(tmp_path), "out")


def test_what_a_library_says_is_redacted_before_it_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    reach._answer(f"{'x' * (reach._SHOWN_CHARACTERS - 20)} s3://key:secret@bucket/run")
    assert json.loads(capsys.readouterr().out).endswith(" s3://***@bucket/run")


def test_lines_that_come_together_are_read_one_by_one() -> None:
    reading, writing = os.pipe()
    os.write(writing, b'loaded\n""\nhalf')
    assert [reach._line(reading, 1.0), reach._line(reading, 1.0)] == ["loaded\n", '""\n']
    assert reach._line(reading, 0.1) is None
    os.close(writing)
    assert reach._line(reading, 1.0) == ""
    os.close(reading)


def test_the_process_that_asks_takes_nothing_from_the_folder_it_runs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in install(tmp_path / "store").items():
        monkeypatch.setenv(name, value)
    (tmp_path / "json.py").write_text("raise SystemExit(9)", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    reach.reach("bucket://runs/elsewhere", "out")
