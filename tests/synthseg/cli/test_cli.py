from __future__ import annotations

import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from huggingface_hub import constants

from synthseg import cli
from synthseg.config import load_config
from synthseg.errors import CorruptData, RunFailure, UsageProblem
from synthseg.machine import interrupt
from synthseg.store.run_folder import RunFolder


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands in for pipelines.run: records the call, writes a run folder, raises what the test asks for."""
    seen: dict[str, Any] = {}

    def run_pipeline(config: Any, out: str, *, verbose: bool, progress: Any, until: str) -> None:
        seen.update(config=config, out=out, verbose=verbose, until=until)
        if "raises" in seen:
            raise seen["raises"]
        progress.start_stage("images", 4)
        progress.advance("images", ok=3, dropped=1)
        progress.finish_stage("images", 1.0, "4 images")
        folder = RunFolder.create(out, config)
        folder.update_metrics({"samples": {"planned": 4, "ok": 3, "dropped": 1, "failed": 0}, "segmenter": {"field_miou": 0.4321}})

    module = ModuleType("pipelines.run")
    module.run_pipeline = run_pipeline  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pipelines.run", module)
    return seen


def test_run_passes_everything_on_and_ends_with_the_numbers(
    pipeline: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    arguments = ["run", "--out", out, "--classes", "dog, cat", "--per-class", "6", "--seed", "3", "--workers", "1"]
    assert cli._guarded([*arguments, "--set", "prompts.max_rounds=2", "--until", "images", "-v"]) == 0
    config = pipeline["config"]
    assert config == load_config("embedded", ["prompts.max_rounds=2"], ["cat", "dog"], 6, 3, 1)
    assert (pipeline["out"], pipeline["verbose"], pipeline["until"]) == (out, True, "images")
    shown = capsys.readouterr()
    assert "0.432" in shown.out
    assert f"{out}/metrics.json" in shown.out
    assert "1 dropped" in shown.err


def test_out_defaults_to_a_folder_named_after_the_preset(pipeline: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli._guarded(["run"]) == 0
    assert pipeline["out"] == "runs/embedded"


def test_a_run_in_a_bucket_ends_with_uris(pipeline: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._guarded(["run", "--out", "memory://cli-test/run"]) == 0
    assert "metrics  memory://cli-test/run/metrics.json\n" in capsys.readouterr().out
    assert cli._guarded(["report", "memory://cli-test/run/"]) == 0
    assert capsys.readouterr().out == "memory://cli-test/run/report/index.html\n"


def test_no_line_of_a_command_shows_the_credentials_in_out(pipeline: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    out = "memory://key:hunter2@cli-test/secret?token=hunter2"
    for arguments in (["run", "--out", out], ["status", out], ["status", out, "--json"], ["report", out], ["verify", out]):
        cli._guarded(arguments)
    for raised in (RunFailure(f"ray: {out} is gone"), OSError(f"{'x' * 360} {out}")):
        pipeline["raises"] = raised
        cli._guarded(["run", "--out", out])
        cli._guarded(["run", "--out", out, "--verbose"])
    cli._guarded(["status", "--in", out])
    cli._guarded(["status", out, out])
    shown = "".join(capsys.readouterr())
    assert "metrics  memory://***@cli-test/secret/metrics.json?token=***\n" in shown
    assert "OSError: xxx" in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (UsageProblem("out: is another run"), 2, "error: out: is another run"),
        (RunFailure("disk\n  full"), 1, "error: disk full"),
        (CorruptData("images/x: truncated"), 1, "error: images/x: truncated"),
        (KeyboardInterrupt(), 130, "interrupted; the same command resumes"),
        (ZeroDivisionError("oops"), 1, "error: unexpected ZeroDivisionError at test_cli.py:"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    raised: BaseException, code: int, line: str, pipeline: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline["raises"] = raised
    assert cli._guarded(["run", "--out", str(tmp_path / "run")]) == code
    written = capsys.readouterr().err.splitlines()
    assert len(written) == 1
    assert written[0].startswith(line)


def test_what_a_library_makes_of_a_signal_is_told_as_the_signal(
    pipeline: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline["raises"] = RunFailure("ray: the worker died")
    monkeypatch.setattr(interrupt, "_asked", [interrupt.Interrupted(signal.SIGTERM)])
    assert cli._guarded(["run", "--out", str(tmp_path / "run")]) == 143
    assert capsys.readouterr().err == "terminated; the same command resumes\n"


def test_an_error_inside_a_worker_is_told_by_its_cause(
    pipeline: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrapped = UsageProblem("a long remote traceback")
    wrapped.cause = UsageProblem("weights: missing")  # type: ignore[attr-defined]
    pipeline["raises"] = wrapped
    assert cli._guarded(["run", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == "error: weights: missing\n"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["run", "embeded"], "did you mean 'embedded'"),
        (["run", "--classes", "cta"], "did you mean 'cat'"),
        (["run", "--set", "images.widht=3"], "did you mean 'images.width'"),
        (["run", "--set", "images.width=big"], "expected a whole number"),
        (["run", "--per-class", "0"], "per_class: must be at least 1"),
        (["run", "--workers", "0"], "execution.workers: must be greater than 0"),
        (["run", "--sed", "1"], "--sed"),
        (["run", "--seed", "x"], "--seed"),
        (["plan", "voc", "--price", "inf"], "--price"),
        (["plan", "voc", "--image-seconds", "inf"], "must be a finite number"),
        (["keys", "add", "a", "--image-seconds-per-min", "inf"], "must be a finite number"),
        (["bogus"], "bogus"),
        (["verify"], "OUT"),
        (["status", "nowhere"], "holds no run"),
        (["report", "nowhere"], "holds no run"),
        (["verify", "nowhere"], "holds no run"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(
    arguments: list[str],
    word: str,
    pipeline: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli._guarded(arguments) == 2
    written = capsys.readouterr().err.splitlines()
    assert len(written) == 1
    assert written[0].startswith("error: ")
    assert word in written[0]
    assert "config" not in pipeline
    assert not list(tmp_path.iterdir())


def test_a_preset_without_weights_of_the_hub_fetches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert cli._guarded(["fetch", "embedded"]) == 0
    assert capsys.readouterr().out == "embedded: needs no weights from the hub\n"


def test_what_would_be_fetched_is_listed_with_licence_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("SYNTHSEG_WEIGHTS", raising=False)
    assert cli._guarded(["fetch", "laptop", "--list", "--json"]) == 0
    rows = {row["field"]: row for row in json.loads(capsys.readouterr().out)["weights"]}
    assert rows["images.model"]["licence"].startswith("Stability AI Community License")
    assert all((row["state"], row["commit"]) == ("missing", "") and row["bytes"] for row in rows.values())
    assert not list(tmp_path.iterdir())


def test_config_prints_a_file_that_run_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._guarded(["config", "voc", "--seed", "9"]) == 0
    path = tmp_path / "voc9.toml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_config(str(path)) == load_config("voc", seed=9)


def test_status_reads_an_unfinished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunFolder.create(str(tmp_path), load_config("embedded", seed=4))
    assert cli._guarded(["status", str(tmp_path), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["seed"], status["finished"], status["last_event"]["event"]) == (4, False, "run_created")
    assert [stage["num_rows"] for stage in status["stages"]] == [0, 0, 0, 0, 0]
    assert cli._guarded(["status", str(tmp_path)]) == 0
    assert "not finished" in capsys.readouterr().out


def test_verify_fails_on_a_run_that_is_not_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunFolder.create(str(tmp_path), load_config("embedded"))
    assert cli._guarded(["verify", str(tmp_path), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] == 0
    assert result["faults"]
    assert cli._guarded(["verify", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "fault: plan: no sample is planned yet" in shown
    assert "0 duplicate, 0 missing" in shown


@dataclass(frozen=True)
class FakeReproduction:
    matches: bool
    expected_sha256: str = "aa"
    actual_sha256: str = "bb"


@pytest.mark.parametrize(("matches", "code"), [(True, 0), (False, 1)])
def test_reproduce_tells_whether_the_bytes_agree(matches: bool, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pipelines.reproduce")
    module.reproduce = lambda out, sample_id: FakeReproduction(matches)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pipelines.reproduce", module)
    assert cli._guarded(["reproduce", "out", "id"]) == code


def test_version_and_help_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._guarded(["--version"]) == 0
    assert cli._guarded(["--help"]) == 0
    assert "reproduce" in capsys.readouterr().out
