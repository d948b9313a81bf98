"""From the settings of `[images]` to a diffusers pipeline that is ready to be called."""

from __future__ import annotations

import inspect
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
import transformers

from synthseg.config.schema import ImagesConfig
from synthseg.engines.diffusers.files import PipelineFiles, lora_file, pipeline_files, safety_checker_folder
from synthseg.engines.diffusers.lora import merge_lora
from synthseg.engines.diffusers.outline import LOAD_ERRORS, first_line, outline, pipeline_class, silence
from synthseg.engines.diffusers.parameters import CallSignature, check_class
from synthseg.engines.diffusers.safety import NoChecker, SafetyChecker
from synthseg.engines.diffusers.schedule import scheduler_of
from synthseg.errors import UsageProblem
from synthseg.ids import digest
from synthseg.machine.file_digest import file_digest
from synthseg.machine.precision import resolve

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class LoadedPipeline:
    """A pipeline on its device, what it takes, who judges its images, and its identity."""

    pipe: Any
    signature: CallSignature
    checker: SafetyChecker | NoChecker
    device: torch.device
    digest: str


def load_pipeline(images: ImagesConfig) -> LoadedPipeline:
    """The pipeline of `images.model`. UsageProblem names the setting that it cannot work with; nothing is downloaded."""
    files = pipeline_files(images)
    lora, checker_folder = lora_file(images), safety_checker_folder(images)
    silence()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _check_device(images, device)
    if not files.own_code:
        check_class(pipeline_class(files))
    pipe = _load(images, files, device)
    signature = _signature(pipe, images)
    checker: SafetyChecker | NoChecker = NoChecker()
    own = getattr(pipe, "safety_checker", None)
    if checker_folder is not None:
        checker = SafetyChecker.load(checker_folder, device)
    elif own is not None:
        checker = SafetyChecker(own, pipe.feature_extractor, device)
    if own is not None:  # the pipeline would blacken what it flags
        pipe.register_modules(safety_checker=None)
    if lora is not None:
        merge_lora(pipe, lora, images.lora_scale)
    _place(pipe, images, device)
    return LoadedPipeline(pipe, signature, checker, device, _digest(images, files, pipe, device))


def check_settings(images: ImagesConfig) -> None:
    """UsageProblem when the pipeline of `images.model`, which is whole on this machine, takes no such settings. Loads no weights.

    A pipeline with code of its own is left to the replica: only running that code would tell.
    """
    files = pipeline_files(images)
    if files.own_code:
        return
    check_class(pipeline_class(files))
    _signature(outline(files), images)


def _signature(pipe: Any, images: ImagesConfig) -> CallSignature:
    """What the pipeline takes, once it has the scheduler of `images`, whose settings are checked."""
    if images.scheduler:
        pipe.scheduler = scheduler_of(pipe, images.scheduler)
    signature = CallSignature.of(pipe)
    signature.check(images)
    return signature


def _load(images: ImagesConfig, files: PipelineFiles, device: torch.device) -> Any:
    trusted = bool(files.own_code)
    takes = () if trusted else inspect.signature(pipeline_class(files)).parameters
    extra: dict[str, Any] = {}
    if "safety_checker" in takes and images.safety_checker != "auto":
        extra["safety_checker"] = None
    if "add_watermarker" in takes:  # else the pixels would depend on whether a package is installed
        extra["add_watermarker"] = False
    try:
        if files.checkpoint is not None:
            # diffusers reads a file's weights by the names that their makers gave them; with a local config it asks no hub.
            single: Any = pipeline_class(files)
            return _whole(
                single.from_single_file(
                    str(files.checkpoint), config=str(files.folder), dtype=_DTYPES[_dtype(images, device)], local_files_only=True, **extra
                )
            )
        load: Any = diffusers.DiffusionPipeline.from_pretrained
        return load(
            files.folder,
            dtype=_DTYPES[_dtype(images, device)],
            variant=images.variant or None,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=trusted,
            **extra,
        )
    except LOAD_ERRORS as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise UsageProblem(f"images.model: {files.checkpoint or files.folder} cannot be loaded ({first_line(error)})") from error


def _whole(pipe: Any) -> Any:
    """A pipeline of a single file, unless the file left a weight unfilled, which its loader passes over."""
    for name, part in pipe.components.items():
        lacking = [key for key, weight in part.named_parameters() if weight.is_meta] if isinstance(part, torch.nn.Module) else []
        if lacking:
            raise ValueError(f"it lacks {len(lacking)} weights of {name}, such as {lacking[0]}")
    return pipe


def _dtype(images: ImagesConfig, device: torch.device) -> str:
    """Of the networks on `device`."""
    return resolve("auto", device.type) if images.dtype == "auto" else images.dtype


def _check_device(images: ImagesConfig, device: torch.device) -> None:
    if images.offload and device.type != "cuda":
        raise UsageProblem("images.offload: needs a GPU; set images.offload = false")
    if images.dtype == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UsageProblem(f"images.dtype: {torch.cuda.get_device_name(device)} has no bf16; set images.dtype = 'fp16' or 'fp32'")


def _place(pipe: Any, images: ImagesConfig, device: torch.device) -> None:
    pipe.set_progress_bar_config(disable=True)
    vae = getattr(pipe, "vae", None)
    for wanted, method in ((images.vae_slicing, "enable_slicing"), (images.vae_tiling, "enable_tiling")):
        if wanted and hasattr(vae, method):
            getattr(vae, method)()
    if images.offload:
        pipe.enable_model_cpu_offload()
    else:
        pipe.to(device)
    denoiser = getattr(pipe, "transformer", None) or getattr(pipe, "unet", None)
    if images.attention:
        _set_attention(denoiser, images.attention)
    if images.compile:
        if denoiser is None:
            raise UsageProblem(f"images.compile: {type(pipe).__name__} has no one denoiser; set images.compile = false")
        if device.type == "cpu":
            _keep_kernels_apart()
        # Blocks that repeat are compiled once, which is faster by far and as fast to run.
        if getattr(denoiser, "_repeated_blocks", None):
            denoiser.compile_repeated_blocks()
        else:
            denoiser.compile()


def _keep_kernels_apart() -> None:
    """Have torch.compile keep what it builds for this kind of CPU in a folder of its own, unless the user has named one.

    Its own folder is one a user: a kernel that was built for other vector units is read from it, and gives NaN or ends the process.
    """
    kind = torch.backends.cpu.get_cpu_capability().lower()
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"torchinductor_{os.getuid()}_{kind}"))


def _set_attention(denoiser: Any, backend: str) -> None:
    """Choose diffusers' attention backend. One that would fetch its kernel from the hub at run time is refused."""
    if backend.lower().endswith("_hub"):
        raise UsageProblem(f"images.attention: '{backend}' downloads its kernel when it is first used; install one and name that instead")
    processors = [getattr(module, "processor", None) for module in (denoiser.modules() if denoiser is not None else ())]
    if not any(hasattr(processor, "_attention_backend") for processor in processors):
        raise UsageProblem(f"images.attention: {type(denoiser).__name__} has no choice of attention; leave it empty")
    try:
        denoiser.set_attention_backend(backend)
    except (ValueError, RuntimeError, ImportError) as error:
        raise UsageProblem(f"images.attention: '{backend}' cannot be used here ({first_line(error)})") from error


def _digest(images: ImagesConfig, files: PipelineFiles, pipe: Any, device: torch.device) -> str:
    """Identity of everything that decides pixels and verdicts, besides a request. GPUs of other models may still differ in last bits."""
    lora, checker = lora_file(images), safety_checker_folder(images)
    scheduler = {name: repr(value) for name, value in pipe.scheduler.config.items() if not name.startswith("_")}
    settings = images.model_dump(mode="json", include={"exact", "attention", "compile", "vae_slicing", "vae_tiling"})
    settings["dtype"] = _dtype(images, device)
    settings["safety_checker"] = images.safety_checker if checker is None else file_digest(checker / "model.safetensors")
    identity = {
        "files": files.digests(),
        "pipeline": type(pipe).__name__,
        "scheduler": [type(pipe.scheduler).__name__, scheduler],
        "settings": settings,
        "lora": [file_digest(lora), images.lora_scale] if lora else [],
        "versions": [diffusers.__version__, transformers.__version__, torch.__version__, device.type],
    }
    return f"diffusers:{digest(identity)}"
