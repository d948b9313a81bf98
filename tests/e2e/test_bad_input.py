"""Bad input: one clear line that names the field and the fix, the right exit code, before Ray or any model starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.small import synthseg


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("run", "embeded"), "embedded"),
        (("run", "--classes", "cat,hrose"), "horse"),
        (("run", "--set", "prompts.prompt_per_class=3"), "prompts_per_class"),
        (("run", "--set", "images.width=-1"), "images.width"),
        (("run", "--set", "images.width=wide"), "images.width"),
        (("run", "--workers", "0"), "workers"),
        (("run", "--set", "scoring.weights=/nowhere/model.safetensors"), "/nowhere/model.safetensors"),
        (("status", "/nowhere/run"), "holds no run"),
        (("verify", "/nowhere/run"), "holds no run"),
        (("report", "/nowhere/run"), "holds no run"),
        (("nosuchcommand",), "nosuchcommand"),
    ],
)
def test_one_line_and_exit_2(args: tuple[str, ...], says: str, tmp_path: Path) -> None:
    extra = ("--out", str(tmp_path / "out")) if args[0] == "run" else ()
    done = synthseg(*args, *extra, timeout_s=60)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_split_of_wrong_values_is_one_line_and_exit_2(tmp_path: Path) -> None:
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / "voc" / part).mkdir(parents=True)
    (tmp_path / "voc/ImageSets/Segmentation/val.txt").write_bytes(b"\xef\xbb\xbfa  1\r\n")
    Image.new("RGB", (6, 4)).save(tmp_path / "voc/JPEGImages/a.jpg")
    Image.new("RGB", (6, 4), (128, 0, 0)).convert("L").save(tmp_path / "voc/SegmentationClass/a.png")
    setting = "evaluation.dataset=voc:~/voc"
    done = synthseg("run", "--set", setting, "--out", str(tmp_path / "out"), timeout_s=100, HOME=str(tmp_path))
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error: evaluation.dataset: {tmp_path}/voc/SegmentationClass/a.png: holds 38, which voc has no class for")
    assert not (tmp_path / "out").exists()


def test_an_out_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    done = synthseg("run", "--out", str(tmp_path / "file" / "out"), timeout_s=60)
    assert done.returncode == 2
    assert "--out" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs the device that is always full")
def test_a_full_disk_is_one_line_and_exit_1(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    done = synthseg("run", "--out", str(tmp_path), timeout_s=60)
    assert done.returncode == 1
    assert done.stderr == f"error: out: no space left to write '{tmp_path}/events.jsonl'; free some and run the same command again\n"


def test_missing_weights_are_named_with_the_command_that_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from synthseg.config import load_config
    from synthseg.machine import availability

    monkeypatch.setattr(availability, "_EMBEDDED_CLIP", tmp_path / "gone.safetensors")
    assert any("make embedded-clip" in line for line in availability.missing_requirements(load_config("embedded")))


def test_a_preset_for_gpus_says_what_is_missing(tmp_path: Path) -> None:
    done = synthseg("run", "voc", "--out", str(tmp_path / "out"), timeout_s=60)
    assert done.returncode == 2
    assert "vllm" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "locale", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_names_in_other_letters_are_told_in_any_locale(locale: dict[str, str], tmp_path: Path) -> None:
    from synthseg.config import load_config
    from synthseg.store.run_folder import RunFolder

    out = tmp_path / "läufe 跑 100% #1"
    missing = synthseg("status", str(out), timeout_s=60, **locale)
    assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1)
    RunFolder.create(str(out), load_config("embedded"))
    for command, code in (("status", 0), ("verify", 1), ("report", 0)):
        done = synthseg(command, str(out), timeout_s=60, **locale)
        assert done.returncode == code, done.stderr
        assert "100% #1" in done.stdout
        assert done.stderr == ""
    file = tmp_path / "übung.toml"
    file.write_bytes('\ufeffpreset = "embedded"\nclasses = ["cat"]  # größer\n'.encode())
    shown = synthseg("config", str(file), timeout_s=60, **locale)
    assert shown.returncode == 0, shown.stderr
    assert 'classes = [\n    "cat",\n]' in shown.stdout
