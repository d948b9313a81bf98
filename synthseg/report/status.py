"""How far a run is, from its folder alone; safe while the run is going."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from synthseg.errors import CorruptData
from synthseg.redaction import redacted
from synthseg.report.cut_prompts import num_cut_prompts
from synthseg.report.summary import metric
from synthseg.store.run_folder import RunFolder
from synthseg.store.shards import Stage

SHARDED: tuple[Stage, ...] = ("prompts", "plan", "images", "labels", "masks")
TRAINED = ("classifier", "relabel", "segmenter", "evaluate")
"""Stages that are known by their seconds alone; relabelling writes the shards called labels."""


@dataclass(frozen=True, slots=True)
class StageStatus:
    """Published shards and rows of one stage, and its seconds where it has ended."""

    name: str
    num_shards: int
    num_rows: int
    num_bytes: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at a glance."""

    out: str
    """The place of the run, its credentials hidden."""
    preset: str
    fingerprint: str
    seed: int
    classes: tuple[str, ...]
    stages: tuple[StageStatus, ...]
    last_event: dict[str, Any]
    finished: bool
    unreadable: tuple[str, ...]
    """One line for each file that cannot be read; the counts are of the others."""
    num_cut_prompts: int = 0
    """Images whose prompt was longer than the image engine reads."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def read_status(out: str) -> RunStatus:
    """Status of the run in `out`. UsageProblem when there is none."""
    folder = RunFolder.open(out)
    config = folder.config()
    metrics: dict[str, Any] = {}
    unreadable: list[str] = []
    try:
        metrics = folder.metrics()
    except CorruptData as error:
        unreadable.append(str(error))
    seconds = metric(metrics, "stage_seconds") or {}
    stages = []
    for stage in SHARDED:
        found, problems = folder.shards.survey(stage)
        unreadable += problems
        markers = found.values()
        stages.append(
            StageStatus(stage, len(markers), sum(m.num_rows for m in markers), sum(m.num_bytes for m in markers), seconds.get(stage))
        )
    stages += [StageStatus(name, 0, 0, 0, seconds[name]) for name in TRAINED if name in seconds]
    events = list(folder.events())
    return RunStatus(
        out=redacted(out),
        preset=config.preset,
        fingerprint=config.fingerprint(),
        seed=config.seed,
        classes=config.classes,
        stages=tuple(stages),
        last_event=events[-1] if events else {},
        finished=any(event.get("event") == "run_finished" for event in events),
        unreadable=tuple(unreadable),
        num_cut_prompts=num_cut_prompts(folder.shards),
    )
