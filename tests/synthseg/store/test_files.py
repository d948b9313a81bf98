from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from synthseg.errors import RunFailure, UsageProblem
from synthseg.store.files import Files


def test_a_written_file_is_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    files.write("a/b.bin", b"xyz")
    assert files.read("a/b.bin") == b"xyz"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.bin"]


def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(str(tmp_path))
    files.write("a.bin", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailure, match=r"a\.bin.*No space left.*same command"):
        files.write("a.bin", b"new")
    assert files.read("a.bin") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_root_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
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
