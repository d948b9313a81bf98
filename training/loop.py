"""Small things every training loop of this project shares: schedule, state on disk, curves."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from synthseg.config.schema import PRECISION
from synthseg.config.section import Section
from synthseg.machine import heartbeat, whole_file
from synthseg.machine.precision import Setting, used_here
from synthseg.store.disk import full_disk_named

_LOG = logging.getLogger("synthseg.training")
FINGERPRINT = "fingerprint"
"""Key, in a checkpoint's metadata, of the training that it is of."""
_CAME_LATER: Mapping[str, Any] = {"freeze_stem": False}
"""Settings that earlier versions did not have, with what these did."""


def one_thread_on_cpu() -> None:
    """Without a GPU many processes of one thread beat one process of many; leaves GPU machines alone."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
        cv2.setNumThreads(1)


def identity(section: Section) -> dict[str, Any]:
    """What of a section's settings decides its training: all but the precision, which follows the hardware."""
    return section.model_dump(mode="json", exclude={PRECISION, *_unchanged(section)})


def earlier_identities(section: Section) -> list[dict[str, Any]]:
    """`identity` as versions took it that counted the precision in: a training of theirs is the same one, whichever it was."""
    trained = [section.model_copy(update={PRECISION: precision}) for precision in ("bf16", "fp32")]
    return [earlier.model_dump(mode="json", exclude=_unchanged(section)) for earlier in trained]


def _unchanged(section: Section) -> set[str]:
    """Settings that came later and leave a training as it was before there was a choice."""
    return {name for name in _CAME_LATER if getattr(section, name, None) == _CAME_LATER[name]}


def schedule(iteration: int, num_iterations: int, warmup: int) -> float:
    """Factor on the learning rate: linear warm-up, then linear decay to 0 (poly, power 1)."""
    rise = min(1.0, (iteration + 1) / max(1, warmup))
    return rise * (1 - iteration / max(1, num_iterations))


def epoch_order(start: int, count: int, size: int, *seed: int) -> list[int]:
    """Positions start..start+count of an endless run through `size` items, each pass a new permutation seeded by `seed` and its number."""
    orders: dict[int, NDArray[np.int64]] = {}
    found = []
    for position in range(start, start + count):
        epoch, offset = divmod(position, size)
        if epoch not in orders:
            orders[epoch] = np.random.default_rng([*seed, epoch]).permutation(size)
        found.append(int(orders[epoch][offset]))
    return found


def write_whole(path: Path, content: bytes) -> None:
    """Write a file at once: a reader sees the old one or the new one. DiskFull when no space is left; the old one then stays."""
    with full_disk_named(str(path)):
        whole_file.write_whole(path, content)


def beat(out_dir: Path, rank: int) -> None:
    """Say that this worker gets on: `train_workers` ends a training in which no worker has said so for too long."""
    heartbeat.beat(out_dir, rank)


def begin(out_dir: Path, rank: int, setting: Setting) -> None:
    """The first `beat` of a worker; the file's text says what it computes in where the configuration says `setting`."""
    heartbeat.sign_of(out_dir, rank).write_text(used_here(setting), encoding="utf-8")


def told_precisions(out_dir: Path) -> tuple[str, ...]:
    """What the workers of the training in `out_dir` have said in `begin`, each kind once."""
    return tuple(sorted({told for path in heartbeat.signs(out_dir) if (told := path.read_text(encoding="utf-8"))}))


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a resumable state at once."""
    # torch's own writer hides why it could not write.
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_whole(path, buffer.getvalue())


def load_state(path: Path, fingerprints: Collection[str]) -> dict[str, Any] | None:
    """The state of an earlier, killed run; None where there is none or it belongs to a training that is none of `fingerprints`.

    One that cannot be read is none, either: it is removed, and a warning names it.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["fingerprint"]
    except Exception as error:  # noqa: BLE001 - torch raises whatever its readers of zip and pickle meet
        why = str(error).strip().splitlines() or [""]
        _LOG.warning("%s: cannot be read (%s: %s); the training starts from its beginning", path, type(error).__name__, why[0][:200])
        path.unlink(missing_ok=True)
        return None
    return cast("dict[str, Any]", state) if found in fingerprints else None


def fingerprint_of(path: Path) -> str:
    """The training that the finished checkpoint `path` is of; empty where there is none, or none that can be read."""
    if not path.is_file():
        return ""
    try:
        with safe_open(path, framework="pt") as file:
            return cast("dict[str, str]", file.metadata() or {}).get(FINGERPRINT, "")
    except SafetensorError:
        return ""


class Curves:
    """Metrics as JSON lines, one a report; on resume the lines past the resumed iteration go."""

    def __init__(self, path: Path, resumed_at: int) -> None:
        self._path = path
        kept = [line for line in read_curves(path) if line["iteration"] <= resumed_at] if resumed_at else []
        write_whole(path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def write(self, **values: float) -> None:
        """Append one line; `iteration` is one of the values."""
        with full_disk_named(str(self._path)), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({key: round(value, 6) for key, value in values.items()}) + "\n")


def read_curves(path: Path) -> list[dict[str, float]]:
    """The lines written so far, torn ones left out."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
        with contextlib.suppress(ValueError):
            lines.append(json.loads(line))
    return [line for line in lines if isinstance(line, dict) and "iteration" in line]
