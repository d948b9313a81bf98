"""Quality of the embedded preset on the field split, mean of several seeds, beside its control and its twin.

    python -m benchmarks.quality --seeds 0 1 2 --out runs/quality

Runs (or resumes) `synthseg run embedded` for each seed and trains its supervised twin, then prints the table of
docs/results.md and writes benchmarks/results/quality.json. Exit 1 when a promise of docs/results.md does not hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.supervised_twin import twin_miou

RESULTS = Path(__file__).parent / "results" / "quality.json"
MIN_GAIN = 0.10
"""The trained segmenter must beat the training-free control by this much mIoU."""
ROWS = (
    ("segmenter field_miou", "field_miou"),
    ("training-free control", "training_free_miou"),
    ("supervised twin", "twin_miou"),
    ("segmenter / twin", "twin_share"),
    ("pseudo_f1", "pseudo_f1"),
    ("relabelled_f1", "relabelled_f1"),
    ("classifier field_map", "field_map"),
    ("neighbour similarity, LLM", "llm_similarity"),
    ("neighbour similarity, template", "template_similarity"),
    ("kept images", "kept"),
    ("seconds of all stages", "seconds"),
)


def measure(seed: int, out: Path, settings: list[str]) -> dict[str, float]:
    """Run one seed to its end and collect its figures."""
    sets = [part for setting in settings for part in ("--set", setting)]
    subprocess.run([sys.executable, "-m", "synthseg", "run", "embedded", "--seed", str(seed), "--out", str(out), *sets], check=True)
    measured: dict[str, Any] = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    twin = out / "twin.json"
    if not twin.exists():
        twin.write_text(json.dumps(twin_miou(str(out))), encoding="utf-8")
    twin_score = json.loads(twin.read_text(encoding="utf-8"))["miou"]
    miou = measured["segmenter"]["field_miou"]
    return {
        "field_miou": miou,
        "training_free_miou": measured["control"]["training_free_miou"],
        "twin_miou": twin_score,
        "twin_share": miou / twin_score,
        "pseudo_f1": measured["labels"]["pseudo_f1"],
        "relabelled_f1": measured["labels"]["relabelled_f1"],
        "field_map": measured["classifier"]["field_map"],
        "llm_similarity": measured["prompts"]["mean_neighbour_similarity"],
        "template_similarity": measured["template_control"]["mean_neighbour_similarity"],
        "kept": measured["samples"]["ok"],
        "seconds": sum(measured["stage_seconds"].values()),
    }


def main() -> int:
    """Run, print, write; the exit code says whether every promise holds."""
    parser = argparse.ArgumentParser(description="Measure the embedded preset's quality over several seeds.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/quality"))
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="A.B=C")
    options = parser.parse_args()
    runs = {seed: measure(seed, options.out / f"seed-{seed}", options.settings) for seed in options.seeds}
    average = {key: mean(run[key] for run in runs.values()) for _, key in ROWS}
    print(f"| measure | {' | '.join(f'seed {seed}' for seed in runs)} | mean |")
    print(f"|---|{'---|' * (len(runs) + 1)}")
    for title, key in ROWS:
        print(f"| {title} | {' | '.join(f'{run[key]:.3f}' for run in runs.values())} | {average[key]:.3f} |")
    promises = {
        f"field_miou >= control + {MIN_GAIN}": average["field_miou"] >= average["training_free_miou"] + MIN_GAIN,
        "relabelled_f1 > pseudo_f1": average["relabelled_f1"] > average["pseudo_f1"],
        "LLM prompts less alike than the template's": average["llm_similarity"] < average["template_similarity"],
    }
    for promise, holds in promises.items():
        print(f"{'holds' if holds else 'FAILS'}: {promise}")
    RESULTS.parent.mkdir(exist_ok=True)
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "settings": options.settings,
        "runs": runs,
        "mean": average,
        "promises": promises,
    }
    RESULTS.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0 if all(promises.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
