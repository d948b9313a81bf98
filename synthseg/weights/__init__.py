"""Weights that ship with the package."""

from __future__ import annotations

from pathlib import Path

EMBEDDED_CLIP = Path(__file__).parent / "embedded_clip"
"""Folder of the embedded CLIP: open_clip config, safetensors, model card. Made by `make embedded-clip`."""
