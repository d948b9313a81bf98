from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path

from synthseg.machine.whole_file import sweep, whole, write_whole


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file"
    write_whole(target, b"old")
    with whole(target) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert list(target.parent.iterdir()) == [target]


def test_what_is_raised_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_whole(target, b"old")
    with suppress(KeyboardInterrupt), whole(target) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_a_secret_is_nobody_elses_from_the_first_byte(tmp_path: Path) -> None:
    with whole(tmp_path / "keys", mode=0o600) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"kept")
    killed = whole(tmp_path / "other")
    killed.__enter__().write_bytes(b"half")
    assert sweep(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
