from __future__ import annotations

import json
import os
import shutil
import socket
from importlib import metadata
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from cluster import doctor
from cluster.doctor import Check, checks
from synthseg import cli
from synthseg.config import load_config
from synthseg.config.loading import preset_names
from synthseg.errors import RunFailure
from synthseg.machine import precision as machine_precision
from synthseg.machine.gpus import Gpu
from synthseg.machine.hub.catalogue import weights_of


@pytest.fixture(autouse=True)
def no_weights_and_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("SYNTHSEG_WEIGHTS", raising=False)
    monkeypatch.setattr(doctor, "gpus", lambda: ())


def rows(preset: str = "embedded", overrides: tuple[str, ...] = (), out: str = "runs") -> dict[str, doctor.Check]:
    return {check.name: check for check in checks(load_config(preset, overrides), out)}


def test_every_row_that_is_not_ok_says_what_to_do() -> None:
    for preset in preset_names():
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
        if package in ("xllamacpp", "gguf", "faiss-cpu"):
            raise metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(doctor.metadata, "version", without)
    found = rows()
    for package in ("xllamacpp", "gguf"):
        assert (found[package].status, found[package].fix) == ("fail", doctor.INSTALL_EMBEDDED)
    assert found["faiss"].status == "fail"


def test_two_faiss_packages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.metadata, "version", lambda package: "1.0")
    assert rows()["faiss"].status == "fail"


def test_a_missing_model_file_and_dataset_are_named(tmp_path: Path) -> None:
    found = rows(overrides=(f"prompts.model={tmp_path / 'none.gguf'}", f"evaluation.dataset=folder:{tmp_path / 'none'}"))
    assert found["language model"].status == "fail"
    assert found["dataset"].status == "fail"


def test_a_dataset_that_cannot_be_read_is_a_row_with_its_fix(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "images" / "a.jpg")
    setting = (f"evaluation.dataset=folder:{tmp_path}",)
    check = rows(overrides=setting)["dataset"]
    assert (check.status, check.fix) == ("fail", "place the dataset there or correct the path")
    assert check.detail.startswith(f"{tmp_path}/masks is missing")
    (tmp_path / "masks").mkdir()
    Image.new("L", (6, 4), 150).save(tmp_path / "masks" / "a.png")
    check = rows(overrides=setting)["dataset"]
    assert (check.status, check.fix) == ("fail", "restore the original mask")
    assert check.detail.startswith(f"{tmp_path}/masks/a.png: holds 150")
    Image.new("L", (6, 4), 1).save(tmp_path / "masks" / "a.png")
    assert rows(overrides=setting)["dataset"].status == "ok"


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


def test_every_weight_has_a_row_and_so_has_the_room_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows("voc")
    for field in ("prompts.model", "images.model", "scoring.model", "classifier.model", "segmenter.dino_model"):
        check = found[f"weights: {field}"]
        assert (check.status, check.fix) == ("fail", "synthseg fetch voc")
        assert "GB" in check.detail
    assert found["weights folder"].status == "ok"
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**9))
    assert rows("voc")["weights folder"].status == "fail"
    assert not any(name.startswith("weights") for name in rows("embedded"))


@pytest.mark.parametrize(("num_bytes", "status"), [(10**10, "fail"), (80 * 10**9, "ok"), (0, "warn")])
def test_gpu_memory_is_held_against_what_the_preset_wants(num_bytes: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows("voc")["GPU"].status == "fail"
    assert rows("laptop")["GPU"].status == "ok"
    monkeypatch.setattr(doctor, "gpus", lambda: (Gpu("NVIDIA Something", num_bytes, "570.1"),))
    found = rows("voc")
    assert found["GPU"].status == "ok"
    assert "NVIDIA Something" in found["GPU"].detail
    assert found["GPU memory"].status == status


@pytest.mark.parametrize(
    ("flags", "precision"), [("avx2", "fp32; this CPU has no bf16 units"), ("avx2 amx_bf16", "bf16; this CPU has bf16 units")]
)
def test_the_precision_of_this_machine_is_named(flags: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_precision, "CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}", encoding="utf-8")
    monkeypatch.setattr(doctor, "gpus", tuple)
    monkeypatch.setattr(machine_precision, "_device_has_bf16", lambda kind: machine_precision.cpu_has_bf16())
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert doctor._precision(load_config("embedded")) == Check("precision", "ok", precision)
    asked = doctor._precision(load_config("embedded", ["classifier.precision=bf16"]))
    assert asked.status == ("ok" if "amx" in flags else "warn")
    if asked.status == "warn":
        assert "classifier.precision = bf16" in asked.detail
        assert asked.fix == "set it to auto"


def test_a_taken_port_names_its_holder() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        check = rows(overrides=(f"serving.port={port}",))[f"port {port}"]
        assert check.status == "warn"
        assert f"(process {os.getpid()})" in check.detail
    assert rows(overrides=(f"serving.port={port}",))[f"port {port}"].status == "ok"


def test_a_port_that_ray_holds_is_a_running_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "port_is_free", lambda host, port: port != 6379)
    monkeypatch.setattr(doctor, "owner_of", lambda port: "gcs_server (process 7)")
    assert rows()["port 6379"].status == "ok"
    monkeypatch.setattr(doctor, "owner_of", lambda port: "redis-server (process 7)")
    assert rows()["port 6379"].status == "warn"


def test_shards_too_large_for_the_object_store_are_a_warning() -> None:
    assert rows()["object store"].status == "ok"
    assert rows(overrides=("execution.shard_size=4096", "execution.workers=64"))["object store"].status == "warn"


def test_a_store_behind_a_uri_is_written_to() -> None:
    assert rows(out="memory://doctor/runs")["runs folder"].status == "ok"
    assert rows(out="nosuchstore://runs")["runs folder"].status == "fail"


@pytest.fixture
def painting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where nothing is missing for `laptop`, and an engine that measures at once."""
    monkeypatch.setattr(doctor, "measure_invariance", lambda engine, config: f"{engine} {config.preset}")
    monkeypatch.setattr(doctor, "build_image_engine", lambda config: "engine")
    monkeypatch.setattr(doctor, "missing_weights", lambda config: [])
    monkeypatch.setattr(doctor, "_version", lambda package: None if package == "faiss-gpu" else "1.0")


def test_invariance_is_measured_where_nothing_is_missing(painting: None) -> None:
    found = rows("laptop")["batch invariance"]
    assert (found.status, found.detail) == ("ok", "engine laptop")
    assert "batch invariance" not in rows("embedded")
    assert "batch invariance" not in rows("voc")  # no GPU
    assert not any(check.name == "batch invariance" for check in checks(load_config("laptop"), alone=False))


@pytest.mark.parametrize("broken", ["a package", "weights", "GPU memory"])
def test_invariance_is_left_out_where_a_row_failed(broken: str, painting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "build_image_engine", lambda config: pytest.fail("the model was loaded"))
    if broken == "a package":
        monkeypatch.setattr(doctor, "_version", lambda package: None if package in ("faiss-gpu", "diffusers") else "1.0")
    elif broken == "weights":
        monkeypatch.setattr(doctor, "missing_weights", weights_of)
    else:
        monkeypatch.setattr(doctor, "gpus", lambda: (Gpu("NVIDIA Small", 10**9),))
    assert "batch invariance" not in rows("laptop")


def test_settings_that_an_image_model_cannot_take_are_a_row(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="needs the extra 'diffusion'")
    from tests.tiny_diffusers import stable_diffusion

    settings = ("images.engine=diffusers", f"images.model={stable_diffusion(tmp_path / 'sd')}", "images.width=64", "images.height=64")
    config = load_config("embedded", settings)
    assert next(check for check in checks(config, alone=False) if check.name == "image model").status == "ok"
    config = load_config("embedded", [*settings, "images.parameters={steps=1001}"])
    found = next(check for check in checks(config, alone=False) if check.name == "image model")
    assert (found.status, found.detail.partition(":")[0]) == ("fail", "images.parameters.steps")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'diffusers'"), "ModuleNotFoundError: No module named 'diffusers'"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate"), "OutOfMemoryError: CUDA out of memory."),
        (RunFailure("invariance: nothing to compare"), "invariance: nothing to compare"),
    ],
)
def test_an_engine_that_breaks_is_a_row(error: Exception, said: str, painting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(config: object) -> None:
        raise error

    monkeypatch.setattr(doctor, "build_image_engine", fail)
    found = rows("laptop")
    assert (found["batch invariance"].status, found["batch invariance"].detail) == ("fail", said)
    assert found["python"].status == "ok"


def test_the_gpus_here_must_hold_replicas_and_workers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "gpus", lambda: (Gpu("NVIDIA H100", 80 * 10**9),))
    found = rows("voc")["GPUs at once"]
    assert (found.status, found.detail) == ("ok", "1 for 1")
    found = rows("voc", ("execution.num_gpus_per_replica=1",))["GPUs at once"]
    assert found.status == "fail"
    assert "stage prompts needs 2 GPU at once (1 text replica of 1 + 1 worker of 0.2) and there are 1" in found.detail
    assert "GPUs at once" not in rows("embedded")
    assert "GPUs at once" not in rows("voc", ("execution.address=auto",))


def test_json_holds_every_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._guarded(["doctor", "--preset", "voc", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert {"check": "GPU", "status": "fail"}.items() <= next(row for row in answer["checks"] if row["check"] == "GPU").items()


@pytest.mark.parametrize(("status", "code"), [("warn", 0), ("fail", 1)])
def test_the_command_fails_only_on_a_fail(
    status: doctor.Status, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "checks", lambda config, out: [doctor.Check("thing", status, "[odd]", "do this")])
    assert cli._guarded(["doctor"]) == code
    shown = capsys.readouterr().out
    assert "[odd]" in shown
    assert "do this" in shown
