"""Weights that ship with the package."""

from __future__ import annotations

from pathlib import Path

import synthseg

EMBEDDED_CLIP = Path(synthseg.__file__).parent / "embedded" / "weights" / "embedded_clip"
"""Folder of the embedded CLIP: open_clip config, safetensors, model card. Made by `make embedded-clip`."""
