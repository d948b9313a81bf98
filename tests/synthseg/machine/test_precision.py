from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from synthseg.config import load_config
from synthseg.machine import precision
from synthseg.machine.precision import autocast, cpu_flags, cpu_has_bf16, emulated, resolve, used_here

LAPTOP = "fpu sse2 avx avx2 fma f16c"
ICE_LAKE = f"{LAPTOP} avx512f avx512dq avx512cd avx512bw avx512vl avx512_vnni"
COOPER_LAKE = f"{ICE_LAKE} avx512_bf16"
SAPPHIRE_RAPIDS = f"{COOPER_LAKE} amx_bf16 amx_tile amx_int8"
GRAVITON_2 = "fp asimd aes sha2 crc32 atomics fphp asimdhp asimddp"
GRAVITON_3 = f"{GRAVITON_2} sve i8mm svebf16 bf16"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    precision._device_has_bf16.cache_clear()
    yield
    precision._device_has_bf16.cache_clear()


def with_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *cores: str, word: str = "flags") -> None:
    text = "".join(
        f"processor\t: {n}\nmodel name\t: Xeon with avx512_bf16 in its name\n{word}\t\t: {flags}\n\n" for n, flags in enumerate(cores)
    )
    (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")


@pytest.mark.parametrize(
    ("flags", "word", "expected"),
    [
        (LAPTOP, "flags", "fp32"),
        (ICE_LAKE, "flags", "fp32"),
        (COOPER_LAKE, "flags", "bf16"),
        (SAPPHIRE_RAPIDS, "flags", "bf16"),
        (f"{LAPTOP} amx_bf16", "flags", "bf16"),
        (GRAVITON_2, "Features", "fp32"),
        (GRAVITON_3, "Features", "bf16"),
    ],
)
def test_the_flags_of_a_cpu_decide(flags: str, word: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_cores(monkeypatch, tmp_path, flags, flags, word=word)
    assert resolve("auto", "cpu") == expected
    assert autocast("auto", torch.device("cpu"))._enabled == (expected == "bf16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert used_here("auto") == f"{expected} on cpu"


def test_only_what_every_core_has_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_cores(monkeypatch, tmp_path, SAPPHIRE_RAPIDS, LAPTOP)
    assert not cpu_has_bf16()


def test_a_system_that_tells_nothing_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "none")
    assert cpu_flags() == frozenset()
    assert resolve("auto", "cpu") == "fp32"


@pytest.mark.parametrize(("limit", "expected"), [("AVX2", "fp32"), ("avx512_core", "fp32"), ("AVX512_CORE_AMX", "bf16"), ("ALL", "bf16")])
def test_a_library_that_may_use_less_than_the_hardware_has_decides(
    limit: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cores(monkeypatch, tmp_path, SAPPHIRE_RAPIDS)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert resolve("auto", "cpu") == expected


@pytest.mark.parametrize("has", [True, False])
def test_a_gpu_says_itself_and_emulation_does_not_count(has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return has or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    assert resolve("auto", "cuda") == ("bf16" if has else "fp32")


def test_what_is_said_outright_is_obeyed_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_cores(monkeypatch, tmp_path, LAPTOP)
    assert resolve("bf16", "cpu") == "bf16"
    warning = emulated({"scoring.precision": "auto", "classifier.precision": "bf16", "segmenter.precision": "bf16"})
    assert warning.startswith("classifier.precision, segmenter.precision = bf16, and this CPU has no bf16 units")
    assert warning.endswith("set it to auto")
    assert emulated({"scoring.precision": "fp32"}) == ""
    with_cores(monkeypatch, tmp_path, SAPPHIRE_RAPIDS)
    assert resolve("fp32", "cpu") == "fp32"
    assert emulated({"scoring.precision": "bf16"}) == ""


@pytest.mark.parametrize("preset", ["embedded", "laptop", "voc", "coco"])
def test_every_preset_leaves_it_to_the_hardware(preset: str) -> None:
    assert set(load_config(preset).precisions().values()) == {"auto"}


def test_an_image_model_in_bf16_is_warned_of_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthseg.machine.precision.cpu_has_bf16", lambda: False)
    diffusers = ["images.engine=diffusers", "images.model=m"]
    assert emulated(load_config("embedded", diffusers).bf16_settings()).startswith("images.dtype = bf16, and this CPU has no bf16 units")
    for settings in ([*diffusers, "images.dtype=fp32"], [*diffusers, "images.dtype=auto"], []):
        assert emulated(load_config("embedded", settings).bf16_settings()) == ""
