"""The smallest real run: two classes, the template engine, a few steps of training. Every stage and every library is the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CLASSES = "car,horse"
SETTINGS = (
    "prompts.engine=template",
    "prompts.prompts_per_class=6",
    "prompts.context_prompts_per_class=1",
    "images.images_per_prompt=4",
    "execution.shard_size=8",
    "classifier.epochs=1",
    "segmenter.iterations=10",
    "segmenter.warmup_iterations=2",
    "evaluation.num_images=8",
)


def arguments(out: Path | str, *extra: str, settings: tuple[str, ...] = ()) -> list[str]:
    """Command line of the small run into `out`."""
    sets = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
    return ["run", "embedded", "--out", str(out), "--classes", CLASSES, *sets, *extra]


def command(*args: str) -> list[str]:
    """`synthseg ARGS` in a process of its own."""
    return [sys.executable, "-m", "synthseg", *args]


def synthseg(*args: str, timeout_s: float = 400, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `synthseg ARGS` to its end, with `environment` on top of this process's own."""
    variables = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment}
    return subprocess.run(command(*args), capture_output=True, encoding="utf-8", timeout=timeout_s, check=False, env=variables)


def metrics(out: Path) -> dict[str, Any]:
    """OUT/metrics.json."""
    found: dict[str, Any] = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return found


def images(out: Path) -> dict[str, str]:
    """Image hash by sample id."""
    from synthseg.store.run_folder import RunFolder
    from synthseg.store.verify import stage_schema

    table = RunFolder.open(str(out)).shards.read_all("images", stage_schema("images"), ["sample_id", "image.sha256"])
    return {row["sample_id"]: row["image"]["sha256"] for row in table.to_pylist()}


def events(out: Path, kind: str, stage: str) -> list[dict[str, Any]]:
    """Events of one kind and stage, in order."""
    from synthseg.store.run_folder import RunFolder

    return [event for event in RunFolder.open(str(out)).events() if event["event"] == kind and event.get("stage") == stage]
