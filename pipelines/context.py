"""What the stages of one start of a run share: its configuration, folder and progress, and how workers get shards."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from cluster.ray.streaming import StageWorker, run_stage
from pipelines.session import check_room
from synthseg import ids
from synthseg.config.schema import RunConfig
from synthseg.machine.sizing.placement import stage_wishes
from synthseg.machine.stacks import clear, stacks_folder
from synthseg.progress import Progress
from synthseg.stages import Stage
from synthseg.store.run_folder import RunFolder
from synthseg.store.shards import Stage as ShardStage


class RunContext:
    """One start of a run."""

    def __init__(self, config: RunConfig, folder: RunFolder, progress: Progress) -> None:
        self.config = config
        self.folder = folder
        self.progress = progress
        self.stacks = stacks_folder(config.fingerprint())
        clear(self.stacks)

    @contextmanager
    def timed(self, stage: Stage, total: int) -> Iterator[None]:
        """Progress, event and seconds of one stage; seconds of earlier starts are added up."""
        self.folder.event("stage_started", stage=stage, total=total)
        self.progress.start_stage(stage, total)
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        before = self.folder.metrics().get("stage_seconds", {}).get(stage, 0.0)
        self.folder.update_metrics({"stage_seconds": {str(stage): round(before + seconds, 2)}})
        self.folder.event("stage_finished", stage=stage, seconds=round(seconds, 2))
        self.progress.finish_stage(stage, seconds, "")

    def stream(
        self, stage: Stage, worker: Callable[..., StageWorker], arguments: dict[str, Any], shards: list[pa.Table], calls_per_worker: int = 1
    ) -> Iterator[dict[str, Any]]:
        """`run_stage` with this run's settings; the worker is also given `config`, `out` and `stacks`."""
        execution = self.config.execution
        each = stage_wishes(self.config, stage)[-1].each
        return run_stage(
            worker,
            {"config": self.config, "out": self.folder.files.address, "stacks": self.stacks, **arguments},
            shards,
            num_workers=execution.workers,
            num_gpus=each["GPU"],
            stall_timeout_s=execution.stall_timeout_s,
            folder=self.folder,
            stacks=self.stacks,
            calls_per_worker=calls_per_worker,
        )

    def follow(self, stage: Stage, worker: Callable[..., StageWorker], source: ShardStage, target: ShardStage) -> None:
        """Have `worker` make the `target` shard of each `source` shard that has none yet."""
        pending = shards_without(self.folder, source, target)
        if not pending:
            return
        made = self.folder.shards.markers(source)
        with self.timed(stage, sum(made[name].stats["outcomes"].get("ok", 0) for name in pending)):
            check_room(self.config, stage)
            for told in self.stream(stage, worker, {}, [pa.table({"shard": [name]}) for name in pending]):
                self.folder.event("shard_published", stage=target, shard=told["shard"])
                self.folder.note_precision(stage, [told["precision"]])
                self.progress.advance(stage, **told["stats"]["outcomes"])

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


def shards_without(folder: RunFolder, source: ShardStage, target: ShardStage) -> list[str]:
    """Names of the published `source` shards that have no `target` shard yet."""
    published = folder.shards.markers(target)
    return [name for name in folder.shards.markers(source) if name not in published]
