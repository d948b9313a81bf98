"""No text file is read or written in the locale's encoding: every call that could names its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("synthseg", "pipelines", "serving", "training", "cluster", "benchmarks", "tests", "docker")
_MODE = re.compile(r"[rwxabtU+]{1,4}")
_PROCESSES = ("run", "Popen", "check_output", "check_call", "call")
_WRAPPERS = ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "fdopen")


def unnamed(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls that open a file as text, or a process's pipes, and leave the encoding to the locale."""
    contexts = {id(item.context_expr) for node in ast.walk(tree) if isinstance(node, ast.With | ast.AsyncWith) for item in node.items}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if "encoding" in keywords or None in keywords:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        function = isinstance(node.func, ast.Name)
        texts = [argument.value for argument in (*node.args, *keywords.values()) if isinstance(argument, ast.Constant)]
        modes = [text for text in texts if isinstance(text, str) and _MODE.fullmatch(text)]
        as_text = not any("b" in mode for mode in modes)
        piped = name in _PROCESSES and any(
            isinstance(keywords.get(key), ast.Constant) and keywords[key].value is True for key in ("text", "universal_newlines")
        )
        if (
            piped
            or (name == "read_text" and not node.args)
            or (name == "write_text" and len(node.args) < 2)
            or (name == "open" and function and as_text)
            or (name == "open" and not function and as_text and (modes or (id(node) in contexts and not node.args)))
            or (name in _WRAPPERS and modes and as_text)
            or (name == "TextIOWrapper" and len(node.args) < 2)
        ):
            yield node


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("open(p)", 1), ("open(p, 'a')", 1), ("open(p, 'rb')", 0), ("open(p, encoding='utf-8')", 0),
        ("p.open('w')", 1), ("p.open(mode='r')", 1),
        ("with p.open() as f: pass", 1), ("with p.open('rb') as f: pass", 0),
        ("gate.open()", 0), ("Image.open(path)", 0), ("p.read_text()", 1),
        ("p.read_text(errors='replace')", 1), ("p.read_text('utf-8')", 0), ("p.write_text(t)", 1), ("p.write_text(t, encoding='utf-8')", 0),
        ("run(c, text=True)", 1), ("run(c, text=True, encoding='utf-8')", 0),
        ("run(c)", 0), ("deploy(text=True)", 0), ("NamedTemporaryFile('w')", 1),
        ("NamedTemporaryFile()", 0), ("TextIOWrapper(raw)", 1), ("open(*a, **k)", 0),
    ],
)  # fmt: skip
def test_the_check_sees_what_it_should(source: str, number: int) -> None:
    assert len(list(unnamed(ast.parse(source)))) == number


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_text_file_names_its_encoding(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for call in unnamed(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []
