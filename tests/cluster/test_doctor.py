from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from cluster import doctor
from cluster.doctor import checks
from synthseg import cli
from synthseg.config import load_config


def rows(preset: str = "embedded", overrides: tuple[str, ...] = (), out: str = "runs") -> dict[str, doctor.Check]:
    return {check.name: check for check in checks(load_config(preset, overrides), out)}


def test_every_row_that_is_not_ok_says_what_to_do() -> None:
    for preset in ("embedded", "voc", "coco"):
        found = checks(load_config(preset))
        assert all(check.fix for check in found if check.status != "ok")
        assert len({check.name for check in found}) == len(found)


def test_this_machine_runs_the_embedded_language_model() -> None:
    found = rows()
    assert found["python"].status == "ok"
    assert found["language model"].status == "ok"
    assert "gguf" in found["language model"].detail.lower()


def test_a_missing_package_names_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def without(package: str) -> str:
        if package in ("xllamacpp", "faiss-cpu"):
            raise metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(doctor.metadata, "version", without)
    found = rows()
    assert (found["xllamacpp"].status, found["xllamacpp"].fix) == ("fail", doctor.INSTALL_EMBEDDED)
    assert found["faiss"].status == "fail"


def test_two_faiss_packages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.metadata, "version", lambda package: "1.0")
    assert rows()["faiss"].status == "fail"


def test_a_missing_model_file_and_dataset_are_named(tmp_path: Path) -> None:
    found = rows(overrides=(f"prompts.model={tmp_path / 'none.gguf'}", f"evaluation.dataset=folder:{tmp_path / 'none'}"))
    assert found["language model"].status == "fail"
    assert found["dataset"].status == "fail"


def test_a_full_disk_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "MIN_DISK_BYTES", 10**18)
    check = rows(out=str(tmp_path / "new" / "run"))["runs folder"]
    assert check.status == "fail"
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="ascii")
    assert rows(out=str(tmp_path / "file"))["runs folder"].status == "fail"


def test_more_workers_than_cores_is_a_warning() -> None:
    assert rows(overrides=("execution.workers=4096",))["cores"].status == "warn"


@pytest.mark.parametrize(("status", "code"), [("warn", 0), ("fail", 1)])
def test_the_command_fails_only_on_a_fail(
    status: doctor.Status, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "checks", lambda config, out: [doctor.Check("thing", status, "[odd]", "do this")])
    assert cli._guarded(["doctor"]) == code
    shown = capsys.readouterr().out
    assert "[odd]" in shown
    assert "do this" in shown
