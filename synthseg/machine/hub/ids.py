"""How a model of the hub is written in a setting: ORG/REPO, ORG/REPO/FILE for one file of it, either with @REVISION."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from synthseg.errors import UsageProblem

DEFAULT_REVISION: Final = "main"
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_ID: Final = re.compile(rf"(?P<repo>{_NAME}/{_NAME})(?:/(?P<file>{_NAME}(?:/{_NAME})*))?(?:@(?P<revision>[\w./-]+))?")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubId:
    """A repository of the hub at a revision (branch, tag or commit), and the one file meant, if not all of it."""

    repo: str
    revision: str = DEFAULT_REVISION
    file: str = ""

    @property
    def commit(self) -> str:
        """The revision, where it is a commit already; else empty."""
        return self.revision if _COMMIT.fullmatch(self.revision) else ""

    def __str__(self) -> str:
        name = f"{self.repo}/{self.file}" if self.file else self.repo
        return name if self.revision == DEFAULT_REVISION else f"{name}@{self.revision}"


def parse_hub_id(model: str, field: str, revision: str = "") -> HubId:
    """The hub id in `model`, the value of the setting `field`; `revision` holds where the model names none.

    UsageProblem when it is none.
    """
    match = _ID.fullmatch(model)
    if match is None or ".." in model:
        raise UsageProblem(f"{field}: '{model}' is neither a path nor a model id of the hub (ORG/REPO, ORG/REPO@REVISION)")
    return HubId(match["repo"], match["revision"] or revision or DEFAULT_REVISION, match["file"] or "")


def is_local(model: str) -> bool:
    """Whether `model` means a place on this machine: it is there, or it is written as a path."""
    return model.startswith(("/", ".", "~")) or Path(model).exists()
