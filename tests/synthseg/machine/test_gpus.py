from __future__ import annotations

import os
from pathlib import Path

import pytest

from synthseg.machine.gpus import Gpu, gpus, parse_listing


def test_the_listing_of_nvidia_smi() -> None:
    text = "NVIDIA H100 80GB HBM3, 81559, 570.86.15\nNVIDIA L4, [N/A], 570.86.15\n"
    assert parse_listing(text) == [Gpu("NVIDIA H100 80GB HBM3", 81559 << 20, "570.86.15"), Gpu("NVIDIA L4", 0, "570.86.15")]
    assert parse_listing("") == []


def test_a_program_that_fails_leaves_the_device_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA A100, 81920, 550.1'\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin{os.pathsep}/usr/bin")
    assert gpus() == (Gpu("NVIDIA A100", 81920 << 20, "550.1"),)
    program.write_text("#!/bin/sh\nexit 9\n", encoding="utf-8")
    assert all(gpu.num_bytes == 0 for gpu in gpus())
