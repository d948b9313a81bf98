from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

from serving.http import logs
from synthseg.config.schema import RunConfig


def test_only_the_newest_logs_of_ended_gateways_stay(configure: Callable[..., RunConfig], tmp_path: Path) -> None:
    folder = tmp_path / "state" / "logs"
    folder.mkdir(parents=True)
    for age in range(20):
        for name in (f"gateway-{1000 + age}.jsonl", f"gateway-{1000 + age}.jsonl.1"):
            (folder / name).write_text("{}", encoding="utf-8")
            os.utime(folder / name, (1e9 - age, 1e9 - age))
    (folder / "other.txt").write_text("not ours", encoding="utf-8")
    logs.configure(configure().serving)
    left = {path.name for path in folder.iterdir()}
    newest = {f"gateway-{1000 + age}.jsonl{end}" for age in range(9) for end in ("", ".1")}
    assert left == {*newest, "other.txt"}


def test_a_line_shows_no_credentials() -> None:
    place = "s3://key:hunter2@bucket/jobs"
    try:
        raise OSError(f"{place} is away")
    except OSError as error:
        record = logging.LogRecord(
            "synthseg.serving", logging.ERROR, "x.py", 1, "jobs in %s", (place,), (OSError, error, error.__traceback__)
        )
    line = logs.JsonFormatter().format(record)
    assert json.loads(line)["event"] == "jobs in s3://***@bucket/jobs"
    assert "OSError: s3://***@bucket/jobs is away" in json.loads(line)["traceback"]
    assert "hunter2" not in line
