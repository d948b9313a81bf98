from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from synthseg.errors import DiskFull, RunFailure, UsageProblem
from synthseg.store.files import Files


def test_a_written_file_is_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    files.write("a/b.bin", b"xyz")
    assert files.read("a/b.bin") == b"xyz"
    with files.open("a/b.bin") as stream:
        stream.seek(1)
        assert stream.read(1) == b"y"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.bin"]


def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(str(tmp_path))
    files.write("a.bin", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match=r"a\.bin.*free some and run the same command again"):
        files.write("a.bin", b"new")
    with pytest.raises(DiskFull):
        files.prepare()
    assert files.read("a.bin") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs the device that is always full")
def test_a_line_that_no_longer_fits_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="log"):
        Files(str(tmp_path)).append("log", "line")


def test_a_line_cut_short_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    files.append("log", "one")
    (tmp_path / "log").write_bytes(files.read("log") + b"tw")
    files.append("log", "three")
    files.append("log", "four")
    assert files.read("log") == b"one\ntw\nthree\nfour\n"


def test_a_disk_that_went_away_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for write in (lambda files: files.write("file/a", b"1"), lambda files: files.append("file/a", "1")):
        with pytest.raises(RunFailure, match=r"writing '.*file/a' failed"):
            write(Files(str(tmp_path)))


def test_a_root_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UsageProblem, match="cannot be written"):
        Files(str(tmp_path / "file" / "out")).prepare()


def test_names_hide_unfinished_files_and_sweep_removes_them(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    files.write("s/one", b"1")
    (tmp_path / "s" / ".tmp-dead").write_bytes(b"half")
    assert files.names("s") == ["one"]
    assert files.sweep("s") == 1
    assert not (tmp_path / "s" / ".tmp-dead").exists()


def test_any_fsspec_store_works() -> None:
    files = Files("memory://synthseg-test/run")
    files.prepare()
    files.write("x/y", b"1")
    files.append("log", "a")
    files.append("log", "b")
    assert (files.read("x/y"), files.names("x"), files.read("log")) == (b"1", ["y"], b"a\nb\n")
    assert files.local_root is None


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_root_is_measured_and_removed_whole(tmp_path: Path, kind: str) -> None:
    files = Files(str(tmp_path / "run") if kind == "local" else "memory://synthseg-test/weighed")
    beside = Files(str(tmp_path / "run-2") if kind == "local" else "memory://synthseg-test/weighed-2")
    assert files.total_bytes() == 0
    files.delete_all()
    files.write("a.bin", b"x" * 10)
    files.write("deep/er/b.bin", b"x" * 5)
    beside.write("a.bin", b"x")
    assert files.total_bytes() == 15
    files.delete_all()
    assert files.total_bytes() == 0
    assert not files.exists("a.bin")
    assert beside.read("a.bin") == b"x"


def test_an_unknown_store_is_named() -> None:
    with pytest.raises(UsageProblem, match="nosuchstore"):
        Files("nosuchstore://bucket/x")


def test_a_local_folder_is_its_own_copy(tmp_path: Path) -> None:
    with Files(str(tmp_path)).local_copy("segmenter") as folder:
        assert folder == tmp_path / "segmenter"


def test_a_remote_folder_is_copied_for_as_long_as_it_is_needed() -> None:
    files = Files("memory://synthseg-test/copied")
    files.write("segmenter/decoder.safetensors", b"weights")
    files.write("segmenter/state.pt", b"state")
    with files.local_copy("segmenter", "*.safetensors") as folder:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"decoder.safetensors": b"weights"}
    assert not folder.exists()
    with files.local_copy("nothing") as folder:
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["a b", "100%", "a#b", "a?b", "läufe", "a/", "./a/../b", "a'b\"c", "{x}", "[x]", "-x"])
def test_any_folder_name_of_this_machine_will_do(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = Files(name)
    files.prepare()
    files.write("x/y.json", b"1")
    assert files.read("x/y.json") == b"1"
    assert files.names("x") == ["y.json"]
    assert Path(files.path("x/y.json")).read_bytes() == b"1"
    monkeypatch.chdir("/")
    assert files.read("x/y.json") == b"1"


@pytest.mark.parametrize("root", ["s3:/bucket/run", "gs:/bucket", "file:/tmp/x"])
def test_a_uri_that_lacks_a_slash_is_no_folder_of_this_machine(root: str) -> None:
    with pytest.raises(UsageProblem, match=f"^out: '{root}' lacks a slash; write {root.replace(':/', '://')}$"):
        Files(root)


def test_a_path_in_a_store_is_told_as_its_uri() -> None:
    assert Files("memory://bucket/run/").path("metrics.json") == "memory://bucket/run/metrics.json"
    files = Files("s3://key:secret@bucket/run?region=eu-west-1&endpoint_override=127.0.0.1:9")
    assert files.path("a/b") == "s3://***@bucket/run/a/b?region=eu-west-1&endpoint_override=127.0.0.1:9"
