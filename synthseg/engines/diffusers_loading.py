"""From the settings of `[images]` to a diffusers pipeline that is ready to be called."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Final

import diffusers
import torch
import transformers

from synthseg.config.schema import ImagesConfig
from synthseg.engines.diffusers_files import PipelineFiles, lora_file, pipeline_files, safety_checker_folder
from synthseg.engines.diffusers_parameters import CallSignature
from synthseg.engines.diffusers_safety import NoChecker, SafetyChecker
from synthseg.engines.file_digest import file_digest
from synthseg.errors import UsageProblem
from synthseg.ids import digest

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_ADAPTER: Final = "synthseg"


@dataclass(frozen=True, slots=True)
class LoadedPipeline:
    """A pipeline on its device, what it takes, who judges its images, and its identity."""

    pipe: Any
    signature: CallSignature
    side_multiple: int
    """Sides of images are multiples of this many pixels."""
    checker: SafetyChecker | NoChecker
    device: torch.device
    digest: str


def load_pipeline(images: ImagesConfig) -> LoadedPipeline:
    """The pipeline of `images.model`. UsageProblem names the setting that it cannot work with; nothing is downloaded."""
    files = pipeline_files(images)
    lora, checker_folder = lora_file(images), safety_checker_folder(images)
    _silence()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _check_device(images, device)
    pipe = _from_folder(images, files)
    signature = CallSignature.of(type(pipe))
    checker: SafetyChecker | NoChecker = NoChecker()
    own = getattr(pipe, "safety_checker", None)
    if checker_folder is not None:
        checker = SafetyChecker.load(checker_folder, device)
    elif own is not None:
        checker = SafetyChecker(own, pipe.feature_extractor, device)
    if own is not None:  # the pipeline would blacken what it flags
        pipe.register_modules(safety_checker=None)
    if lora is not None:
        _merge_lora(pipe, images, str(lora))
    if images.scheduler:
        pipe.scheduler = _scheduler(pipe, images.scheduler)
    _place(pipe, images, device)
    return LoadedPipeline(pipe, signature, side_multiple(pipe), checker, device, _digest(images, files, pipe, device))


def side_multiple(pipe: Any) -> int:
    """Sides of this pipeline's images are multiples of this many pixels: the stride of its latents times that of its patches."""
    processor: Any = getattr(pipe, "image_processor", None)
    factor: int = processor.config.vae_scale_factor if processor is not None else pipe.vae_scale_factor
    patch: int = getattr(pipe, "patch_size", 1)  # of pipelines whose image processor leaves it out
    return factor * patch


def pipeline_class(files: PipelineFiles) -> type:
    """Class of a pipeline that has no code of its own. UsageProblem when this diffusers does not know it."""
    found = getattr(diffusers, files.class_name, None)
    if not (isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)):
        raise UsageProblem(
            f"images.model: diffusers {diffusers.__version__} has no pipeline '{files.class_name}'; pip install --upgrade diffusers"
        )
    return found


def _from_folder(images: ImagesConfig, files: PipelineFiles) -> Any:
    trusted = bool(files.own_code)
    takes = () if trusted else inspect.signature(pipeline_class(files)).parameters
    extra: dict[str, Any] = {}
    if "safety_checker" in takes and images.safety_checker != "auto":
        extra["safety_checker"] = None
    if "add_watermarker" in takes:  # else the pixels would depend on whether a package is installed
        extra["add_watermarker"] = False
    load: Any = diffusers.DiffusionPipeline.from_pretrained
    try:
        return load(
            files.folder,
            dtype=_DTYPES[images.dtype],
            variant=images.variant or None,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=trusted,
            **extra,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise UsageProblem(f"images.model: {files.folder} cannot be loaded ({_first_line(error)})") from error


def _check_device(images: ImagesConfig, device: torch.device) -> None:
    if images.offload and device.type != "cuda":
        raise UsageProblem("images.offload: needs a GPU; set images.offload = false")
    if images.dtype == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UsageProblem(f"images.dtype: {torch.cuda.get_device_name(device)} has no bf16; set images.dtype = 'fp16' or 'fp32'")


def _merge_lora(pipe: Any, images: ImagesConfig, path: str) -> None:
    """Add the LoRA's product to the weights, so that it costs nothing at each call and no adapter is left that could be switched."""
    name = type(pipe).__name__
    if not hasattr(pipe, "load_lora_weights"):
        raise UsageProblem(f"images.lora: {name} takes no LoRA; leave it empty")
    try:
        pipe.load_lora_weights(path, adapter_name=_ADAPTER, local_files_only=True)
    except (ValueError, KeyError, RuntimeError, AttributeError) as error:
        raise UsageProblem(f"images.lora: {path} does not fit {name} ({_first_line(error)})") from error
    if not any(_ADAPTER in adapters for adapters in pipe.get_list_adapters().values()):
        raise UsageProblem(f"images.lora: {path} has no weight that fits {name}")
    pipe.fuse_lora(components=list(pipe.get_list_adapters()), lora_scale=images.lora_scale, adapter_names=[_ADAPTER], safe_fusing=True)
    pipe.unload_lora_weights()


def _scheduler(pipe: Any, name: str) -> Any:
    """The scheduler class `name` with the settings of the pipeline's own one."""
    compatible = {found.__name__: found for found in pipe.scheduler.compatibles}
    if name not in compatible:
        raise UsageProblem(f"images.scheduler: '{name}' does not fit {type(pipe).__name__}; it takes {', '.join(sorted(compatible))}")
    return compatible[name].from_config(pipe.scheduler.config)


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
        # Blocks that repeat are compiled once, which is faster by far and as fast to run.
        if getattr(denoiser, "_repeated_blocks", None):
            denoiser.compile_repeated_blocks()
        else:
            denoiser.compile()


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
        raise UsageProblem(f"images.attention: '{backend}' cannot be used here ({_first_line(error)})") from error


def _digest(images: ImagesConfig, files: PipelineFiles, pipe: Any, device: torch.device) -> str:
    """Identity of everything that decides pixels and verdicts, besides a request. GPUs of other models may still differ in last bits."""
    lora, checker = lora_file(images), safety_checker_folder(images)
    scheduler = {name: repr(value) for name, value in pipe.scheduler.config.items() if not name.startswith("_")}
    settings = images.model_dump(
        mode="json", include={"dtype", "exact", "attention", "compile", "vae_slicing", "vae_tiling", "safety_checker"}
    )
    identity = {
        "files": files.digests(),
        "pipeline": type(pipe).__name__,
        "scheduler": [type(pipe.scheduler).__name__, scheduler],
        "settings": settings | {"safety_checker": images.safety_checker if checker is None else file_digest(checker / "model.safetensors")},
        "lora": [file_digest(lora), images.lora_scale] if lora else [],
        "versions": [diffusers.__version__, transformers.__version__, torch.__version__, device.type],
    }
    return f"diffusers:{digest(identity)}"


def _silence() -> None:
    """The libraries' progress bars and advice; what goes wrong comes as an exception."""
    for logging in (diffusers.utils.logging, transformers.utils.logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
