from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from synthseg.errors import DiskFull
from training.loop import Curves, epoch_order, load_state, read_curves, save_state, schedule, share_of_batch


def test_schedule_rises_then_falls_to_zero() -> None:
    factors = [schedule(i, 100, 10) for i in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9]
    assert factors[50] == pytest.approx(0.5)
    assert factors[100] == 0


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_shares_make_up_the_batch(world: int) -> None:
    assert sum(share_of_batch(16, rank, world) for rank in range(world)) == 16


def test_share_is_never_empty() -> None:
    assert share_of_batch(1, 3, 4) == 1


def test_epoch_order_visits_all_once_a_pass_however_it_is_cut() -> None:
    whole = epoch_order(0, 20, 10, 7)
    assert sorted(whole[:10]) == sorted(whole[10:]) == list(range(10))
    assert whole[:10] != whole[10:]
    assert whole == [i for start in range(0, 20, 4) for i in epoch_order(start, 4, 10, 7)]
    assert whole != epoch_order(0, 20, 10, 8)


def test_state_comes_back_for_its_own_training_only(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    assert load_state(path, "a") is None
    save_state(path, {"iteration": 3, "weights": {"w": torch.ones(2)}, "fingerprint": "a"})
    state = load_state(path, "a")
    assert state is not None
    assert state["iteration"] == 3
    assert torch.equal(state["weights"]["w"], torch.ones(2))
    assert load_state(path, "b") is None
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_a_full_disk_keeps_the_old_state_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.pt"
    save_state(path, {"iteration": 1, "fingerprint": "a"})

    def full(part: Path, content: bytes) -> None:
        part.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFull, match=r"state\.pt.*free some"):
        save_state(path, {"iteration": 2, "fingerprint": "a"})
    assert load_state(path, "a") == {"iteration": 1, "fingerprint": "a"}
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_curves_lose_what_a_resumed_run_repeats_and_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / "curves.jsonl"
    curves = Curves(path, resumed_at=0)
    for iteration in (10, 20, 30):
        curves.write(iteration=iteration, total=1.0)
    with path.open("a") as file:
        file.write('{"iteration": 4')
    assert [line["iteration"] for line in read_curves(path)] == [10, 20, 30]
    Curves(path, resumed_at=20).write(iteration=25, total=0.5)
    assert [line["iteration"] for line in read_curves(path)] == [10, 20, 25]
    Curves(path, resumed_at=0)
    assert read_curves(path) == []
