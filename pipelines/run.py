"""The whole run: prompts -> images and scoring -> classifier -> relabel -> segmenter -> evaluate -> report.

Every stage asks the store what is published and does the rest, so the same command starts, resumes and finishes a run.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cluster.ray.streaming import StageWorker, run_stage
from pipelines import invariance
from pipelines.label_metrics import label_metrics
from pipelines.samples import kept_samples, training_samples
from pipelines.session import check_room, ray_session
from pipelines.stages import evaluate, images, prompts, relabel
from serving.deploy.build import deploy_engines, image_app, image_handle, release, text_app
from serving.engines.client import engine_digest
from synthseg import ids
from synthseg.config.schema import RunConfig
from synthseg.datasets.base import num_samples
from synthseg.errors import RunFailure, UsageProblem
from synthseg.machine import interrupt
from synthseg.machine.availability import check_dataset, check_endpoint, check_requirements
from synthseg.machine.gpus import gpus
from synthseg.machine.precision import emulated
from synthseg.machine.sizing.placement import stage_wishes
from synthseg.machine.stacks import clear, stacks_folder
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


class _Run:
    """One start of a run: the stages share its folder, configuration and progress."""

    def __init__(self, config: RunConfig, folder: RunFolder, progress: Progress) -> None:
        self.config = config
        self.folder = folder
        self.progress = progress
        self.stacks = stacks_folder(config.fingerprint())
        clear(self.stacks)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[None]:
        """Progress, event and seconds of one stage; seconds of earlier starts are added up."""
        self.folder.event("stage_started", stage=name, total=total)
        self.progress.start_stage(name, total)
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        before = self.folder.metrics().get("stage_seconds", {}).get(name, 0.0)
        self.folder.update_metrics({"stage_seconds": {name: round(before + seconds, 2)}})
        self.folder.event("stage_finished", stage=name, seconds=round(seconds, 2))
        self.progress.finish_stage(name, seconds, "")

    def stream(
        self, stage: Stage, worker: Callable[..., StageWorker], arguments: dict[str, Any], shards: list[Any], calls_per_worker: int = 1
    ) -> Iterator[dict[str, Any]]:
        """`run_stage` with this run's settings."""
        execution = self.config.execution
        each = stage_wishes(self.config, stage)[-1].each
        return run_stage(
            worker,
            {"config": self.config, "stacks": self.stacks, **arguments},
            shards,
            num_workers=execution.workers,
            num_gpus=each["GPU"],
            stall_timeout_s=execution.stall_timeout_s,
            folder=self.folder,
            stacks=self.stacks,
            calls_per_worker=calls_per_worker,
        )

    def prompts(self) -> None:
        """Ask the agent for the prompts of every class that has none yet."""
        pending = prompts.pending_classes(self.config, self.folder)
        if pending:
            section = self.config.prompts
            with self.stage("prompts", len(pending) * (section.prompts_per_class + section.context_prompts_per_class)):
                check_room(self.config, Stage.prompts)
                deploy_engines(self.config, text=True, image=False)
                for row in self.stream(Stage.prompts, prompts.PromptWorker, {"out": self.folder.out}, pending, prompts.CLASSES_AT_ONCE):
                    self.progress.advance("prompts", ok=row["agent"]["accepted"])
                release(text_app(self.config))
        self.folder.update_metrics(prompts.prompt_metrics(self.config, self.folder))

    def images(self) -> None:
        """Plan the samples, then paint, score and select every shard that is not published."""
        accepted = prompts.accepted_prompts(self.folder)
        if not accepted:
            raise RunFailure("prompts: no prompt was accepted; lower prompts.min_quality or raise prompts.max_rounds")
        if self.folder.shards.marker("plan", "plan") and not images.pending_shards(self.config, self.folder):
            return
        planned = len(accepted) * self.config.images.images_per_prompt
        with self.stage("images", planned):
            check_room(self.config, Stage.images)
            deploy_engines(self.config, text=False, image=True)
            digest = engine_digest(image_handle(self.config))
            images.ensure_plan(self.config, self.folder, accepted, digest)
            _check_engine(self.folder, digest)
            invariance.note_invariance(self.config, self.folder)
            self.folder.shards.discard_unpublished("images")
            pending = images.pending_shards(self.config, self.folder)
            done = planned - sum(shard.num_rows for shard in pending)
            self.progress.advance("images", ok=done)
            for row in self.stream(Stage.images, images.ImageWorker, {"out": self.folder.out}, pending):
                self.folder.event("shard_published", stage="images", shard=row["shard"])
                self.folder.note_precision("images", [row["precision"]])
                self.progress.advance("images", **row["stats"]["outcomes"])
            release(image_app(self.config))

    def relabel(self) -> None:
        """Train the out-of-fold classifiers and let them relabel every kept sample."""
        from training.classifier import train_classifier

        config = self.config
        kept = kept_samples(self.folder)
        pending = relabel.pending_shards(self.folder)
        if pending:
            check_room(config, Stage.relabel)
        with self.training_folder("classifier") as out, self.stage("classifier", config.classifier.folds):
            trained = train_classifier(config, kept, out, config.execution.workers)
            self.progress.advance("classifier", ok=config.classifier.folds)
        self.folder.note_precision("classifier", trained.precision)
        self.folder.update_metrics({"classifier": {"curve": trained.curve}})
        if pending:
            checkpoints = [path.name for path in trained.checkpoints]
            with self.stage("relabel", len(kept)):
                arguments = {"out": self.folder.out, "checkpoints": checkpoints}
                for row in self.stream(Stage.relabel, relabel.RelabelWorker, arguments, pending):
                    self.folder.event("shard_published", stage="labels", shard=row["shard"])
                    self.folder.note_precision("relabel", [row["precision"]])
                    self.progress.advance("relabel", **row["stats"]["outcomes"])
        self.folder.update_metrics({"labels": label_metrics(config, self.folder)})

    def segmenter(self) -> None:
        """Train the decoder on the relabelled samples."""
        from training.segmenter import train_segmenter

        if not self.folder.files.exists(f"segmenter/{evaluate.SEGMENTER}"):
            check_room(self.config, Stage.segmenter)
        with self.training_folder("segmenter") as out, self.stage("segmenter", self.config.segmenter.iterations):
            trained = train_segmenter(self.config, training_samples(self.folder), out, self.config.execution.workers)
            self.progress.advance("segmenter", ok=self.config.segmenter.iterations)
        self.folder.note_precision("segmenter", trained.precision)
        self.folder.update_metrics({"segmenter": {"curve": trained.curves}})

    def evaluate(self) -> None:
        """Measure segmenter, classifier and training-free control on the evaluation split."""
        num_images = num_samples(self.config.evaluation.dataset, self.config)
        with self.stage("evaluate", num_images):
            check_room(self.config, Stage.evaluate)
            stream = partial(self.stream, Stage.evaluate)
            measured = evaluate.evaluate_run(self.config, self.folder, num_images, stream, self.progress)
        self.folder.update_metrics(measured)

    @contextmanager
    def training_folder(self, name: str) -> Iterator[Path]:
        """Local folder for checkpoints: OUT/name, or one that starts as a copy of it and is brought back into a remote OUT afterwards.

        A copy lies where the next start on this machine finds it again, so that a killed training goes on.
        """
        files = self.folder.files
        if files.local_root is not None:
            yield files.local_root / name
            return
        scratch = Path(tempfile.gettempdir()) / f"synthseg-{ids.digest(self.config.fingerprint(), self.folder.out)}" / name
        fetched = files.fetch(name, scratch)
        yield scratch
        for path in sorted(path for path in scratch.iterdir() if path.is_file()):
            content = path.read_bytes()
            if fetched.get(path.name) != hashlib.sha256(content).digest():
                files.write(f"{name}/{path.name}", content)
        shutil.rmtree(scratch)


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
    run = _Run(config, folder, progress)
    started = time.monotonic()
    stages = {
        Stage.prompts: run.prompts,
        Stage.images: run.images,
        Stage.relabel: run.relabel,
        Stage.segmenter: run.segmenter,
        Stage.evaluate: run.evaluate,
    }
    with interrupt.remembered(), full_disk_named(), ray_session(config, verbose=verbose):
        for name, stage in stages.items():
            stage()
            interrupt.check()
            if name == until:
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
    if not folder.files.exists(f"segmenter/{evaluate.SEGMENTER}"):
        raise UsageProblem(f"out: '{out}' has no trained segmenter yet; finish it with: synthseg run --out {out}")
    check_requirements(config, "run")
    check_dataset(config)
    _warn(config, progress)
    folder.hold_to_weights(weights_digests(config))
    with full_disk_named(), ray_session(config, verbose=verbose):
        _Run(config, folder, progress).evaluate()
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
    }
    rows = []
    for name, (planned, ok, dropped, failed) in counts.items():
        seconds = stage_seconds.get(name, 0.0)
        rate = round(planned / seconds, 2) if seconds else 0.0
        rows.append({"name": name, "planned": planned, "ok": ok, "dropped": dropped, "failed": failed, "seconds": seconds, "rate": rate})
    return rows


def _ends(folder: RunFolder, stage: ShardStage) -> tuple[int, int, int, int]:
    """How many samples entered a stage and how many of them left it ok, dropped and failed."""
    ended = from_table(folder.shards.read_all(stage, stage_schema(stage), ["outcome.status"]))
    ends = Counter(present(sample.outcome).status for sample in ended)
    return len(ended), ends["ok"], ends["dropped"], ends["failed"]


def _check_engine(folder: RunFolder, digest: str) -> None:
    marker = folder.shards.marker("plan", "plan")
    planned = marker.stats["engine_digest"] if marker else digest
    if planned != digest:
        raise UsageProblem(
            f"out: '{folder.out}' was planned with image engine {planned}, this installation has {digest}; "
            "finish it with the version that began it, or use another --out"
        )
