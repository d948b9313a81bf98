from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from synthseg.errors import DiskFull
from training.loop import Curves, epoch_order, load_state, read_curves, save_state, schedule


def test_schedule_rises_then_falls_to_zero() -> None:
    factors = [schedule(i, 100, 10) for i in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9]
    assert factors[50] == pytest.approx(0.5)
    assert factors[100] == 0


def test_epoch_order_visits_all_once_a_pass_however_it_is_cut() -> None:
    whole = epoch_order(0, 20, 10, 7)
    assert sorted(whole[:10]) == sorted(whole[10:]) == list(range(10))
    assert whole[:10] != whole[10:]
    assert whole == [i for start in range(0, 20, 4) for i in epoch_order(start, 4, 10, 7)]
    assert whole != epoch_order(0, 20, 10, 8)


def test_state_comes_back_for_its_own_training_only(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    assert load_state(path, ["a"]) is None
    save_state(path, {"iteration": 3, "weights": {"w": torch.ones(2)}, "fingerprint": "a"})
    state = load_state(path, ["a"])
    assert state is not None
    assert state["iteration"] == 3
    assert torch.equal(state["weights"]["w"], torch.ones(2))
    assert load_state(path, ["b", "c"]) is None
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "other", "flipped"])
def test_a_state_that_cannot_be_read_is_none_and_is_named_once(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "state.pt"
    save_state(path, {"iteration": 3, "weights": {"w": torch.ones(2000)}, "fingerprint": "a"})
    whole = path.read_bytes()
    if damage == "other":
        torch.save([1, 2], path)
    else:
        broken = {"empty": b"", "cut": whole[: len(whole) // 2], "text": b"<html>", "flipped": b"\0" * 200 + whole[200:]}
        path.write_bytes(broken[damage])
    assert load_state(path, "a") is None
    assert load_state(path, "a") is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f"{path}: cannot be read (")
    assert record.getMessage().endswith("; the training starts from its beginning")
    assert "\n" not in record.getMessage()


def test_a_state_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())))
    save_state(tmp_path / "state.pt", {"iteration": 1, "fingerprint": "a"})
    (name,) = synced
    assert name.startswith(str(tmp_path))
    assert not name.endswith("state.pt")


def test_a_full_disk_keeps_the_old_state_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.pt"
    save_state(path, {"iteration": 1, "fingerprint": "a"})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match=r"state\.pt.*free some"):
        save_state(path, {"iteration": 2, "fingerprint": "a"})
    assert load_state(path, ["a"]) == {"iteration": 1, "fingerprint": "a"}
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_curves_lose_what_a_resumed_run_repeats_and_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / "curves.jsonl"
    curves = Curves(path, resumed_at=0)
    for iteration in (10, 20, 30):
        curves.write(iteration=iteration, total=1.0)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"iteration": 4')
        file.write('\n\0\0\0\nnull\n[1]\n{"iteration": 5')
    assert [line["iteration"] for line in read_curves(path)] == [10, 20, 30]
    Curves(path, resumed_at=20).write(iteration=25, total=0.5)
    assert [line["iteration"] for line in read_curves(path)] == [10, 20, 25]
    Curves(path, resumed_at=0)
    assert read_curves(path) == []
