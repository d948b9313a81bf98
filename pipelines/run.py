"""The whole run: prompts -> images and scoring -> classifier -> relabel -> segmenter -> evaluate -> report.

Every stage asks the store what is published and does the rest, so the same command starts, resumes and finishes a run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.context import RunContext
from pipelines.session import ray_session
from pipelines.stages import classifier, evaluate, images, masks, prompts, relabel, segmenter
from synthseg.config.schema import RunConfig
from synthseg.errors import RunFailure, UsageProblem
from synthseg.machine import interrupt
from synthseg.machine.availability import check_dataset, check_endpoint, check_requirements
from synthseg.machine.gpus import gpus
from synthseg.machine.precision import emulated
from synthseg.method.networks.identity import weights_digests
from synthseg.progress import Progress
from synthseg.records import from_table, present
from synthseg.report import build_report
from synthseg.stages import Stage
from synthseg.store.disk import full_disk_named
from synthseg.store.run_folder import RunFolder
from synthseg.store.shards import Stage as ShardStage
from synthseg.store.verify import VerifyReport, stage_schema, verify_run


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished run leaves: its folder, its measurements, its page."""

    out: str
    metrics: dict[str, Any]
    report: str


_STAGES: Mapping[Stage, Callable[[RunContext], None]] = {
    Stage.prompts: prompts.run,
    Stage.images: images.run,
    Stage.classifier: classifier.run,
    Stage.relabel: relabel.run,
    Stage.masks: masks.run,
    Stage.segmenter: segmenter.run,
    Stage.evaluate: evaluate.run,
}
"""In order. Each asks the store what is published and does the rest."""


def run_pipeline(config: RunConfig, out: str, *, verbose: bool, progress: Progress, until: Stage = Stage.report) -> RunResult:
    """Run or resume `config` in `out`, up to and including the stage `until`.

    UsageProblem before any model loads; RunFailure when the run cannot go on or its outcomes do not add up.
    """
    check_requirements(config, "run")
    check_dataset(config)
    if _needs_prompts(config, out):
        check_endpoint(config)
    _warn(config, progress)
    folder = RunFolder.create(out, config)
    folder.hold_to_weights(weights_digests(config))
    context = RunContext(config, folder, progress)
    started = time.monotonic()
    with interrupt.remembered(), full_disk_named(), ray_session(config, verbose=verbose):
        for stage, run in _STAGES.items():
            run(context)
            interrupt.check()
            if stage == until:
                return RunResult(out, folder.metrics(), "")
    report = verify_run(out)
    metrics = folder.update_metrics(_run_metrics(folder, report, time.monotonic() - started))
    folder.event("run_finished", ok=report.ok, dropped=report.dropped, failed=report.failed)
    if not report.sound:
        raise RunFailure(f"verify: {report.faults[0]} ({len(report.faults)} faults; synthseg verify {out} lists them)")
    return RunResult(out, metrics, str(build_report(out)))


def _warn(config: RunConfig, progress: Progress) -> None:
    """Say what will be slow. The machines of another cluster are not known here."""
    if not (config.execution.address or gpus()) and (slow := emulated(config.bf16_settings())):
        progress.message(f"warning: {slow}")


def _needs_prompts(config: RunConfig, out: str) -> bool:
    """Whether the text engine will be asked. Looks before the folder is made: one that was made for a wrong address would hold to it."""
    try:
        folder = RunFolder.open(out)
    except UsageProblem:
        return True
    return bool(prompts.pending_classes(config, folder))


def evaluate_pipeline(out: str, *, verbose: bool, progress: Progress) -> None:
    """Measure the trained networks of the run in `out` again. UsageProblem while it has none."""
    folder = RunFolder.open(out)
    config = folder.config()
    if not segmenter.is_trained(folder):
        raise UsageProblem(f"out: '{out}' has no trained segmenter yet; finish it with: synthseg run --out {out}")
    check_requirements(config, "run")
    check_dataset(config)
    _warn(config, progress)
    folder.hold_to_weights(weights_digests(config))
    with full_disk_named(), ray_session(config, verbose=verbose):
        evaluate.run(RunContext(config, folder, progress))
    build_report(out)


def _run_metrics(folder: RunFolder, report: VerifyReport, seconds: float) -> dict[str, Any]:
    stage_seconds = folder.metrics().get("stage_seconds", {})
    made = report.planned - report.failed
    return {
        "samples": {
            "planned": report.planned,
            "ok": report.ok,
            "dropped": report.dropped,
            "failed": report.failed,
            "per_class": report.per_class,
            "dropped_by_reason": report.dropped_by_reason,
            "failed_by_error": report.failed_by_error,
        },
        "images_per_s": round(made / stage_seconds["images"], 2) if stage_seconds.get("images") else 0.0,
        "last_start_seconds": round(seconds, 2),
        "stages": _stage_table(folder, stage_seconds),
    }


def _stage_table(folder: RunFolder, stage_seconds: dict[str, float]) -> list[dict[str, Any]]:
    """Planned, ok, dropped and failed of the stages that handle samples or prompts."""
    found = folder.metrics()["prompts"]
    counts = {
        "prompts": (found["candidates"], found["accepted"], found["candidates"] - found["accepted"], 0),
        "images": _ends(folder, "images"),
        "relabel": _ends(folder, "labels"),
        "masks": _ends(folder, "masks"),
    }
    rows = []
    for name, (planned, ok, dropped, failed) in counts.items():
        if not planned:  # a run whose network an earlier version trained has no masks
            continue
        seconds = stage_seconds.get(name, 0.0)
        rate = round(planned / seconds, 2) if seconds else 0.0
        rows.append({"name": name, "planned": planned, "ok": ok, "dropped": dropped, "failed": failed, "seconds": seconds, "rate": rate})
    return rows


def _ends(folder: RunFolder, stage: ShardStage) -> tuple[int, int, int, int]:
    """How many samples entered a stage and how many of them left it ok, dropped and failed."""
    ended = from_table(folder.shards.read_all(stage, stage_schema(stage), ["outcome.status"]))
    ends = Counter(present(sample.outcome).status for sample in ended)
    return len(ended), ends["ok"], ends["dropped"], ends["failed"]
