from __future__ import annotations

import errno
import os

import pyarrow as pa
import pytest
from safetensors import SafetensorError

from synthseg.errors import DiskFull, RunFailure
from synthseg.store.disk import full_disk_named, is_full

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/runs/a.bin")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (FULL, "'/runs/a.bin'"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "Disk quota exceeded"),
        (pa.ArrowException("Error writing bytes to file. Detail: [errno 28] No space left on device"), "ArrowException"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "SafetensorError"),
        (RunFailure("execution.address: Ray did not start\n([Errno 28] No space left on device)"), "RunFailure"),
        (DiskFull("out: no space left to write 'x'; free some and run the same command again"), "'x'"),
    ],
)
def test_a_full_disk_is_known_in_whatever_wrapping(error: Exception, says: str) -> None:
    with (
        pytest.raises(DiskFull, match=r"^out: no space left to write .*; free some and run the same command again$") as raised,
        full_disk_named(),
    ):
        raise error
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 1


def test_the_writer_may_say_what_it_wrote() -> None:
    with pytest.raises(DiskFull, match=r"'state\.pt'"), full_disk_named("state.pt"):
        raise FULL


@pytest.mark.parametrize("error", [OSError(errno.EACCES, os.strerror(errno.EACCES)), KeyError("space"), RunFailure("stalled")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert not is_full(error)
    with pytest.raises(type(error)) as raised, full_disk_named():
        raise error
    assert raised.value is error
