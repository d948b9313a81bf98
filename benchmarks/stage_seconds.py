"""Seconds of each stage of finished runs, as a table of docs/results.md.

    python -m benchmarks.stage_seconds OUT [OUT ...]

The processor named is this one: call it where the runs were made. For a CPU with AVX2 and no more, on one that has more:

    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 make demo
"""

from __future__ import annotations

import argparse
import os

from benchmarks.machine import machine
from synthseg.redaction import redacted
from synthseg.store.run_folder import RunFolder

LIMIT = "ONEDNN_MAX_CPU_ISA"


def main() -> None:
    """Print one row a run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", nargs="+")
    folders = [RunFolder.open(out) for out in parser.parse_args().out]
    seconds = [folder.metrics()["stage_seconds"] for folder in folders]
    names = list(dict.fromkeys(name for found in seconds for name in found))
    here = machine()
    limited = f", held to {os.environ[LIMIT]}" if LIMIT in os.environ else ""
    print(f"{here['cpu']}{limited}, {here['num_cpus']} cores\n")
    print(f"| run | precision | {' | '.join(names)} | all |")
    print(f"|---|---|{'---|' * (len(names) + 1)}")
    for folder, found in zip(folders, seconds, strict=True):
        starts = folder.record().get("hardware") or []
        used = sorted({kind for start in starts for kinds in start["precision"].values() for kind in kinds})
        row = " | ".join(f"{found.get(name, 0):.0f}" for name in names)
        print(f"| {redacted(folder.out)} | {', '.join(used)} | {row} | {sum(found.values()):.0f} |")


if __name__ == "__main__":
    main()
