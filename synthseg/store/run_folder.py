"""One run's folder: who it is (run.json), what happened (events.jsonl), what was measured (metrics.json)."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from pydantic import ValidationError

from synthseg import __version__
from synthseg.config.schema import PRECISION, RunConfig
from synthseg.config.section import STORED
from synthseg.errors import CorruptData, UsageProblem
from synthseg.redaction import redacted
from synthseg.store.files import Files
from synthseg.store.reach import reach
from synthseg.store.shards import ShardStore

RUN = "run.json"
METRICS = "metrics.json"
EVENTS = "events.jsonl"
_SCORER = "scorer_digest"
"""Where earlier versions noted the weights of scoring.model."""
_HARDWARE = "hardware"
"""What the hardware decided, one entry a start."""
_VERSIONED = (
    "torch",
    "ray",
    "open_clip_torch",
    "timm",
    "pyarrow",
    "numpy",
    "opencv-python-headless",
    "vllm",
    "xllamacpp",
    "gguf",
    "faiss-cpu",
    "faiss-gpu",
    "diffusers",
)


class RunFolder:
    """Opens `out` for one run; `create` starts or resumes it, `open` only reads."""

    def __init__(self, out: str) -> None:
        self.out = out
        self.files = Files(out)
        self.shards = ShardStore(self.files)
        self._opened = datetime.now(UTC).isoformat(timespec="milliseconds")

    @classmethod
    def create(cls, out: str, config: RunConfig) -> RunFolder:
        """Start a run in `out`, or take up the one that is there. UsageProblem if that one is another run, with the difference.

        CorruptData when what the run left cannot be read.
        """
        reach(out, "out")
        folder = cls(out)
        folder.files.prepare()
        folder.metrics()
        if not folder.files.exists(RUN):
            folder._write_run(config)
            folder.event("run_created", fingerprint=config.fingerprint())
            return folder
        before = folder.config()
        if before.fingerprint() != config.fingerprint():
            changes = "; ".join(differences(before.content(), config.content()))
            raise UsageProblem(f"out: '{out}' holds another run ({changes}); use another --out, or the same settings to resume")
        folder.event("run_resumed", fingerprint=config.fingerprint())
        return folder

    @classmethod
    def open(cls, out: str) -> RunFolder:
        """The run in `out`. UsageProblem when there is none, or when a remote `out` does not answer."""
        reach(out, "out")
        folder = cls(out)
        if not folder.files.exists(RUN):
            raise UsageProblem(f"out: '{out}' holds no run (no {RUN}); start one with: synthseg run --out {out}")
        return folder

    def record(self) -> dict[str, Any]:
        """What run.json says. CorruptData when it cannot be read."""
        record = self._json(RUN, "choose another --out")
        if not isinstance(record.get("config"), dict):
            raise CorruptData(f"{self.files.path(RUN)}: holds no configuration; choose another --out")
        return record

    def config(self) -> RunConfig:
        """The resolved configuration the run was started with. CorruptData when run.json cannot be read, or only by another version."""
        record = self.record()
        try:
            return RunConfig.model_validate(
                record["config"] if _HARDWARE in record else _left_to_hardware(record["config"]), context=STORED
            )
        except ValidationError as error:
            version = (record.get("versions") or {}).get("synthseg", "an unknown version")
            field = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise CorruptData(
                f"{self.files.path(RUN)}: was written by SynthSeg {version} and cannot be read by {__version__} ({field}: "
                f"{error.errors()[0]['msg']}); use that version, or choose another --out"
            ) from error

    def hold_to_weights(self, digests: Mapping[str, str]) -> None:
        """Note in run.json the weights that the run is made with, by the setting that names the model.

        UsageProblem when it was begun with others. What an earlier version did not note is taken as it is met first.
        """
        record = self.record()
        begun_with: dict[str, str] = {**record.get("weights", {})}
        if _SCORER in record:
            begun_with.setdefault("scoring.model", record[_SCORER])
        for setting, digest in digests.items():
            if begun_with.setdefault(setting, digest) != digest:
                raise UsageProblem(
                    f"out: '{self.out}' was begun with other weights ({begun_with[setting]}) than {setting} loads now ({digest}); "
                    "put the old weights back, or use another --out"
                )
        if begun_with != record.get("weights"):
            record["weights"] = begun_with
            self.files.write(RUN, json.dumps(record, indent=2, sort_keys=True).encode())

    def note_precision(self, stage: str, used: Iterable[str]) -> None:
        """Note in run.json what the networks of `stage` computed in (such as "fp32 on cpu") since this folder was opened."""
        record = self.record()
        if _HARDWARE not in record:
            record |= {"config": _left_to_hardware(record["config"]), _HARDWARE: []}
        starts: list[dict[str, Any]] = record[_HARDWARE]
        if not starts or starts[-1]["opened"] != self._opened:
            starts.append({"opened": self._opened, PRECISION: {}})
        noted: dict[str, list[str]] = starts[-1][PRECISION]
        together = sorted({*noted.get(stage, []), *used})
        if together and together != noted.get(stage):
            noted[stage] = together
            self.files.write(RUN, json.dumps(record, indent=2, sort_keys=True).encode())

    def event(self, kind: str, **details: Any) -> None:
        """Append what happened to events.jsonl, with the wall clock; credentials in the texts of `details` are hidden."""
        told = {name: redacted(value) if isinstance(value, str) else value for name, value in details.items()}
        self.files.append(EVENTS, json.dumps({"time": round(time.time(), 3), "event": kind, **told}, sort_keys=True))

    def worker_event(self, kind: str, **details: Any) -> None:
        """`event` from one of many processes. Left out on stores without append, where writers would undo each other's lines."""
        if self.files.local_root is not None:
            self.event(kind, **details)

    def events(self) -> Iterator[dict[str, Any]]:
        """Everything that happened so far; a line a kill cut short is skipped."""
        if not self.files.exists(EVENTS):
            return
        for line in self.files.read(EVENTS).decode(errors="replace").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event

    def metrics(self) -> dict[str, Any]:
        """What was measured so far. CorruptData when metrics.json cannot be read."""
        return self._json(METRICS, "delete it: the same command measures again") if self.files.exists(METRICS) else {}

    def _json(self, name: str, way_out: str) -> dict[str, Any]:
        """The JSON object in the file `name`. CorruptData, ending with `way_out`, when it holds anything else."""
        try:
            found = json.loads(self.files.read(name))
        except (ValueError, OSError) as error:
            raise CorruptData(f"{self.files.path(name)}: cannot be read ({error}); {way_out}") from error
        if not isinstance(found, dict):
            raise CorruptData(f"{self.files.path(name)}: holds {json.dumps(found)[:40]} and no JSON object; {way_out}")
        return found

    def update_metrics(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """Merge `measured` into metrics.json, key by key at the first two levels; returns the whole."""
        metrics = self.metrics()
        for key, value in measured.items():
            before = metrics.get(key)
            metrics[key] = {**before, **value} if isinstance(before, dict) and isinstance(value, Mapping) else value
        self.files.write(METRICS, json.dumps(metrics, indent=2, sort_keys=True, allow_nan=False).encode())
        return metrics

    def _write_run(self, config: RunConfig) -> None:
        record = {
            "config": config.model_dump(mode="json"),
            "fingerprint": config.fingerprint(),
            "generation_fingerprint": config.generation_fingerprint(),
            "seed": config.seed,
            _HARDWARE: [],
            "versions": {"synthseg": __version__, "python": platform.python_version(), **_versions()},
        }
        self.files.write(RUN, json.dumps(record, indent=2, sort_keys=True).encode())


def differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Lines `a.b: 1 -> 2` for every key in which the contents of two configurations differ."""
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}: {json.dumps(old)} -> {json.dumps(new)}"


def _left_to_hardware(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of an earlier version, whose default was bf16 on any hardware: nobody may have asked for it."""
    return {
        name: {**section, PRECISION: "auto"} if isinstance(section, Mapping) and section.get(PRECISION) == "bf16" else section
        for name, section in config.items()
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _VERSIONED:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
