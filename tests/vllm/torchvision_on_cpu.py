"""Lets PyPI's torchvision, which is a CUDA build, import beside PyTorch's CPU build. `make test-vllm` puts it into its own environment.

Its compiled operators cannot load there, and its Python code stops at the first one that it describes to PyTorch. Their schemas are
declared just before it is imported; nobody calls the operators.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_KEPT: list[object] = []


class _BeforeTorchvision(MetaPathFinder):
    """Finds nothing; declares the schemas when it is first asked for torchvision."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Always None, so that the next finder finds the module."""
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for schema in _SCHEMAS:
                library.define(schema)
            _KEPT.append(library)  # the schemas go with it
        return None


sys.meta_path.insert(0, _BeforeTorchvision())
