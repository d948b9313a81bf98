"""Where a split lies: its name taken apart, and what must be there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Literal

from synthseg.config.checks import DATASET_KINDS
from synthseg.errors import CorruptData, UsageProblem

Found = Literal["file", "folder", "nothing"]


def split_location(spec: str) -> tuple[str, Path]:
    """Kind and folder of `evaluation.dataset`, `~` expanded; `field` has no folder and gives the current one. UsageProblem for another."""
    kind, _, path = spec.partition(":")
    if spec == "field":
        return kind, Path()
    if kind not in DATASET_KINDS or not path:
        raise UsageProblem(f"evaluation.dataset: '{spec}' must be field, voc:PATH, coco:PATH or folder:PATH")
    try:
        return kind, Path(path).expanduser()
    except RuntimeError as error:  # ~name of a user that this machine does not have
        raise UsageProblem(f"evaluation.dataset: '{spec}': {error}; write the whole path") from None


def found_at(path: Path) -> Found:
    """What lies at `path`, links followed. Nothing as well where it cannot be reached: no permission, a name too long, links in a ring."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return "nothing"
    return "folder" if stat.S_ISDIR(mode) else "file"


def require_folder(path: Path, what: str) -> Path:
    """`path` if it is a folder, else UsageProblem that says what is missing."""
    return _required(path, "folder", what)


def require_file(path: Path, what: str) -> Path:
    """`path` if it is a file, else UsageProblem that says what is missing."""
    return _required(path, "file", what)


def file_names(folder: Path) -> set[str]:
    """Names of the files in `folder`, links to files included. UsageProblem when it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError as error:
        raise UsageProblem(f"evaluation.dataset: {folder}: cannot be listed ({error.strerror}); correct its permissions") from None


def check_files(paths: Iterable[Path], source: Path) -> None:
    """CorruptData for the first of `paths` that is no file; `source` is what names it.

    Each folder is listed once, as asking for 40,000 files one by one takes minutes on a network file system.
    """
    listed: dict[Path, set[str]] = {}
    for path in paths:
        if path.parent not in listed:
            listed[path.parent] = file_names(path.parent) if found_at(path.parent) == "folder" else set()
        if path.name not in listed[path.parent]:
            problem = "missing" if found_at(path) == "nothing" else "no file"
            raise CorruptData(f"{path}: is {problem}, but {source} names it; restore it or correct what names it")


def inside(folder: Path, name: str) -> Path:
    """The path below `folder` that `name` means. ValueError where it leads out of it or names nothing."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or PurePosixPath(name).is_absolute() or "\0" in name:
        raise ValueError(f"'{name}' is no name of a file below {folder}")
    return folder.joinpath(*parts)


def _required(path: Path, wanted: Found, what: str) -> Path:
    found = found_at(path)
    if found != wanted:
        problem = "is missing" if found == "nothing" else f"is no {wanted}"
        raise UsageProblem(f"evaluation.dataset: {path} {problem} ({what}); place the dataset there or correct the path")
    return path
