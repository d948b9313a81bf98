"""The floors of the architecture: who may import whom, and what an import may cost."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CLI = "synthseg.cli"
FLOORS: dict[str, tuple[str, ...]] = {
    "synthseg": (),
    "cluster": ("synthseg",),
    "serving": ("cluster", "synthseg"),
    "training": ("cluster", "synthseg"),
    "pipelines": ("serving", "training", "cluster", "synthseg"),
}
"""Our packages each package may import, besides itself."""
SERVING_ROOMS: dict[str, tuple[str, ...]] = {
    "serving.engines": (),
    "serving.agent": ("serving.engines",),
    "serving.state": ("serving.engines",),
    "serving.http": ("serving.engines", "serving.agent", "serving.state"),
    "serving.jobs": ("serving.state", "serving.http"),
    "serving.deploy": ("serving",),
}
"""The rooms of serving that each room may import, besides itself: there is no way back."""
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "synthseg": ("ray", "fastapi"),
    "synthseg.method": ("synthseg.embedded",),
    "synthseg.machine": ("synthseg.method", "synthseg.embedded"),
    "synthseg.store": ("synthseg.method", "synthseg.engines", "synthseg.embedded"),
    "synthseg.embedded.scenes": ("synthseg.method", "synthseg.engines", "synthseg.store"),
    "training": ("synthseg.embedded.field_split", "synthseg.embedded.scenes.field", "synthseg.embedded.scenes.composition"),
}
"""What a room may not import although it is on no floor above: the core knows no cluster and no HTTP, the method nothing of the small
world, and no training code reaches what knows the masks."""


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(source: str, module: str, *, is_package: bool) -> Iterator[str]:
    """Dotted names that `source` imports, at any depth; `from a import b` gives a.b, relative imports are resolved."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, base]).rstrip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def broken_rules(package: str, module: str, names: Iterator[str]) -> list[str]:
    room = next((room for room in SERVING_ROOMS if within(module, room)), None)
    forbidden = [name for place, others in FORBIDDEN.items() if within(module, place) for name in others]
    broken = []
    for name in names:
        ours = any(within(name, floor) for floor in FLOORS)
        upwards = ours and not any(within(name, floor) for floor in (package, *FLOORS[package])) and not within(module, CLI)
        back = room and within(name, "serving") and not any(within(name, other) for other in (room, *SERVING_ROOMS[room]))
        if upwards or back or any(within(name, other) for other in forbidden):
            broken.append(f"{module} imports {name}")
    return broken


@pytest.mark.parametrize("package", FLOORS)
def test_every_import_goes_downwards(package: str) -> None:
    found = list(modules(package))
    broken: list[str] = []
    for module, path in found:
        names = imports(path.read_text(encoding="utf-8"), module, is_package=path.name == "__init__.py")
        broken += broken_rules(package, module, names)
    assert found
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("package", "module", "source"),
    [
        ("synthseg", "synthseg.method.labels.x", "import ray"),
        ("synthseg", "synthseg.method.labels.x", "def f():\n    from fastapi import FastAPI"),
        ("synthseg", "synthseg.store.x", "from pipelines.run import run_pipeline"),
        ("serving", "serving.x", "import training.clip"),
        ("training", "training.x", "from serving import engines"),
        ("training", "training.x", "from synthseg.embedded.scenes import field"),
        ("training", "training.x", "from synthseg.embedded.scenes.composition import compose"),
        ("training", "training.x", "from synthseg.embedded.field_split import FieldDataset"),
        ("cluster", "cluster.x", "from serving.deploy import build"),
        ("serving", "serving.engines.x", "from serving.http.contracts import Backend"),
        ("serving", "serving.state.x", "from serving.http import errors"),
        ("synthseg", "synthseg.method.labels.x", "from synthseg.embedded.painter.engine import PainterEngine"),
        ("synthseg", "synthseg.a.b", "from ...pipelines import run"),
    ],
)
def test_a_broken_rule_is_seen(package: str, module: str, source: str) -> None:
    assert broken_rules(package, module, imports(source, module, is_package=False))


@pytest.mark.parametrize(
    ("package", "module", "source"),
    [
        ("synthseg", "synthseg.a.b", "from .c import d\nfrom ..engines import text\nimport numpy"),
        ("synthseg", CLI, "from pipelines.run import run_pipeline"),
        ("synthseg", f"{CLI}.runs", "from pipelines.run import run_pipeline"),
        ("training", "training.x", "from synthseg.embedded.scenes import painter\nimport ray"),
        ("cluster", "cluster.x", "from synthseg.config import load_config"),
    ],
)
def test_what_the_rules_allow_passes(package: str, module: str, source: str) -> None:
    assert broken_rules(package, module, imports(source, module, is_package=False)) == []


def loaded_by(statement: str) -> tuple[set[str], float]:
    """Top-level modules in memory after `statement` in a fresh interpreter, and the CPU seconds it took."""
    script = (
        f"import json, sys, time\nstarted = time.process_time()\n{statement}\nseconds = time.process_time() - started\n"
        "print('\\n' + json.dumps([sorted({m.partition('.')[0] for m in sys.modules}), seconds]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    names, seconds = json.loads(done.stdout.splitlines()[-1])
    return set(names), seconds


def test_importing_the_core_is_cheap() -> None:
    loaded, seconds = loaded_by("import synthseg")
    assert "synthseg" in loaded
    assert not loaded & {"torch", "ray", "numpy", "pyarrow"}
    assert seconds < 0.3


def test_the_command_line_answers_without_torch_or_ray() -> None:
    loaded, _ = loaded_by("from synthseg.cli import app\napp(['--help'], standalone_mode=False)")
    assert "typer" in loaded
    assert not loaded & {"torch", "ray", "pyarrow", "cv2", "pydantic"}
