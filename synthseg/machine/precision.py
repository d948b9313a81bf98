"""Which precision the matrix products of a network take: what a setting says, or what the hardware is made for.

bfloat16 halves the time of a matrix product where the hardware has units for it. Where a CPU has none, it is emulated: measured with
AVX2, 59 times slower than float32 in a matrix product and 133 times in a convolution. So `auto` asks the hardware. Its answer is how
the work is carried out, never what the work is: a run that was begun in one precision goes on in another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import torch

Setting = Literal["auto", "fp32", "bf16"]
"""What a configuration may say."""
Precision = Literal["fp32", "bf16"]
"""What a network computes in."""

CPU_INFO: Final = Path("/proc/cpuinfo")
_FLAG_LINES: Final = ("flags", "Features")
"""What x86 and ARM call the line of a core's abilities."""
_BF16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16", "svebf16"})
"""Products of bfloat16 numbers in hardware, as Linux names them: the first two on x86, the others on ARM."""
_LIMITS: Final = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Variables by which PyTorch's CPU library is told to use less than the hardware has."""
_WITHOUT_BF16: Final = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"})
"""Values of these under which bfloat16 is emulated."""


def cpu_flags() -> frozenset[str]:
    """Abilities that every core of this machine has; none where the system does not tell."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    cores = [frozenset(line.partition(":")[2].split()) for line in lines if line.partition(":")[0].strip() in _FLAG_LINES]
    return frozenset.intersection(*cores) if cores else frozenset()


def cpu_has_bf16(flags: Iterable[str] | None = None, environment: Mapping[str, str] | None = None) -> bool:
    """Whether this CPU multiplies bfloat16 numbers in hardware, and PyTorch's library may use that."""
    environment = os.environ if environment is None else environment
    if any(environment.get(name, "").upper() in _WITHOUT_BF16 for name in _LIMITS):
        return False
    return not _BF16_FLAGS.isdisjoint(cpu_flags() if flags is None else flags)


@cache
def _device_has_bf16(kind: str) -> bool:
    if kind != "cuda":
        return kind == "cpu" and cpu_has_bf16()
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def resolve(setting: Setting, device_type: str) -> Precision:
    """The precision of `setting` on a device of PyTorch's kind `device_type` of this machine. What is said outright is obeyed."""
    if setting == "auto":
        return "bf16" if _device_has_bf16(device_type) else "fp32"
    return setting


def autocast(setting: Setting, device: torch.device) -> torch.autocast:
    """The context in which a network computes on `device`: as `setting` says or, for `auto`, as the device is made for."""
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=resolve(setting, device.type) == "bf16")


def used_here(setting: Setting) -> str:
    """What this process computes in and where, such as "fp32 on cpu": for the record of a run."""
    import torch

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    return f"{resolve(setting, kind)} on {kind}"


def emulated(settings: Mapping[str, str]) -> str:
    """A warning about the `settings` (by name) that ask this machine's CPU for bfloat16 which it has no units for; empty where none does.

    For a machine without a GPU: where there is one, the CPU computes no network.
    """
    asking = [name for name, setting in settings.items() if setting == "bf16"]
    if not asking or cpu_has_bf16():
        return ""
    return f"{', '.join(asking)} = bf16, and this CPU has no bf16 units: many times slower than fp32; set it to auto"
