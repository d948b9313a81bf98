"""What one field cannot check alone: settings that contradict each other."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from synthseg.config.schema import DIFFUSERS_ONLY, ImagesConfig, RunConfig
from synthseg.config.text import ENDPOINT_FIELDS
from synthseg.errors import UsageProblem
from synthseg.ids import SEED_BITS

DATASET_KINDS: Final = ("voc", "coco", "folder")
_SIZE: Final = re.compile(r"[1-9]\d*x[1-9]\d*")


def check_config(config: RunConfig) -> None:
    """UsageProblem for the first contradiction, naming both settings and the fix."""
    for problem, broken in (_rules(config) | _text_rules(config)).items():
        if broken:
            raise UsageProblem(problem)


def _rules(config: RunConfig) -> dict[str, bool]:
    """Each rule's message with whether this configuration breaks it."""
    images, scoring, relabel, segmenter = config.images, config.scoring, config.relabel, config.segmenter
    kind, _, path = config.evaluation.dataset.partition(":")
    painted = images.engine == "painter"
    return _serving_rules(config) | {
        f"seed: {config.seed} must be below 2**{SEED_BITS}": config.seed >= 1 << SEED_BITS,
        f"scoring.keep_per_prompt: {scoring.keep_per_prompt} cannot exceed images.images_per_prompt, which is {images.images_per_prompt}": (
            scoring.keep_per_prompt > images.images_per_prompt
        ),
        "scoring.absent_threshold: must not exceed scoring.present_threshold": scoring.absent_threshold > scoring.present_threshold,
        "relabel.absent_threshold: must not exceed relabel.present_threshold": relabel.absent_threshold > relabel.present_threshold,
        "relabel.drop_threshold: must not exceed relabel.absent_threshold": relabel.drop_threshold > relabel.absent_threshold,
        "images.engine: 'painter' knows the classes of VOC only; set taxonomy = 'voc' or images.engine = 'diffusers'": (
            painted and config.taxonomy != "voc"
        ),
        "segmenter.dino_model: is empty; name a model or set segmenter.mode = 'clip_only'": (
            segmenter.mode == "clip_dino" and not segmenter.dino_model
        ),
        f"evaluation.dataset: '{config.evaluation.dataset}' must be field, voc:PATH, coco:PATH or folder:PATH": (
            config.evaluation.dataset != "field" and (kind not in DATASET_KINDS or not path)
        ),
        "evaluation.dataset: 'field' holds the classes of VOC only; set taxonomy = 'voc' or name a dataset": (
            config.evaluation.dataset == "field" and config.taxonomy != "voc"
        ),
        "evaluation.scales: must name at least one positive scale, such as [1.0]": (
            not config.evaluation.scales or min(config.evaluation.scales) <= 0
        ),
        **_image_rules(images),
    }


def _image_rules(images: ImagesConfig) -> dict[str, bool]:
    painted = images.engine == "painter"
    defaults = {name: ImagesConfig.model_fields[name].default for name in DIFFUSERS_ONLY}
    return {
        "images.model: is empty; name the hub id or the folder of a diffusers pipeline": not painted and not images.model,
        "images.lora_file: needs images.lora": bool(images.lora_file) and not images.lora,
        f"images.trust_remote_code: must be '{images.model}', the model whose code you trust, or empty": (
            images.trust_remote_code not in ("", images.model)
        ),
        **{
            f"images.{name}: is a setting of 'diffusers'; images.engine = 'painter' has none": painted and getattr(images, name) != default
            for name, default in defaults.items()
        },
    }


def _text_rules(config: RunConfig) -> dict[str, bool]:
    prompts = config.prompts
    fields = config.execution.endpoint.fields
    url = _split(prompts.base_url)
    names_model = {"openai": "the model that the endpoint serves", "vllm": "a hub id or a folder of weights"}.get(prompts.engine, "")
    return {
        "prompts.base_url: is empty; give the endpoint's address, such as http://127.0.0.1:8000/v1, or use another prompts.engine": (
            prompts.engine == "openai" and not prompts.base_url
        ),
        # The URL is stored with the run, so a key in it would be, too.
        f"prompts.base_url: must hold no user, key or query; put the key into the variable {config.execution.endpoint.api_key_env}": (
            "@" in url.netloc or bool(url.query) or bool(url.fragment)
        ),
        "prompts.base_url: must begin with http:// or https:// and name a host": (
            bool(prompts.base_url) and (url.scheme not in ("http", "https") or not url.hostname)
        ),
        f"prompts.model: is empty; name {names_model}": bool(names_model) and not prompts.model,
        **{
            f"execution.endpoint.fields: '{name}' is no field that can be changed; those are {', '.join(ENDPOINT_FIELDS)}": (
                name not in ENDPOINT_FIELDS
            )
            for name in fields
        },
        **{
            f"execution.endpoint.fields.{name}: must be {' or '.join(map(repr, ENDPOINT_FIELDS[name]))}, not '{value}'": (
                value not in ENDPOINT_FIELDS[name]
            )
            for name, value in fields.items()
            if name in ENDPOINT_FIELDS
        },
        f"prompts.lora: engine '{prompts.engine}' takes none; use prompts.engine = 'vllm'": bool(prompts.lora) and prompts.engine != "vllm",
    }


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # brackets that hold no IPv6 address
        return SplitResult("", "", "", "", "")


def _serving_rules(config: RunConfig) -> dict[str, bool]:
    serving, images = config.serving, config.images
    deployments = {name: getattr(serving, name) for name in ("gateway", "prompt_agent", "text", "image")}
    return {
        "serving.min_side_px: must not exceed serving.max_side_px": serving.min_side_px > serving.max_side_px,
        f"serving.max_pixels: {serving.max_pixels} is less than images.width x images.height, {images.width} x {images.height}": (
            images.width * images.height > serving.max_pixels
        ),
        **{f"serving.sizes: '{size}' must be WIDTHxHEIGHT such as 512x512": not _SIZE.fullmatch(size) for size in serving.sizes},
        **{
            f"serving.{name}.min_replicas: must not exceed serving.{name}.max_replicas, which is {deployment.max_replicas}": (
                0 < deployment.max_replicas < deployment.min_replicas
            )
            for name, deployment in deployments.items()
        },
    }
