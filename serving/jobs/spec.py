"""What a client asks for, turned into the configuration of a run. A client chooses the content, never a place or a machine."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_origin

from pydantic import BaseModel

from serving.jobs.limits import ENGINE_PARAMETERS, check_limits, has_bound
from synthseg.config.loading import load_config, preset_names, to_toml
from synthseg.config.schema import RunConfig
from synthseg.config.serving import ServingConfig
from synthseg.errors import UsageProblem

_OWN_TEXT: Final = frozenset({"images.negative_prompt", "segmenter.text_templates", "classes"})
"""Free text that is part of the content. Any other free text names a file, a model or a server."""
_OWN_EXECUTION: Final = frozenset({"shard_size", "image_batch_size", "max_in_flight", "stall_timeout_s"})
_ENGINE_PARAMETER: Final = re.compile(r"\w+")
_NUMBER: Final = re.compile(r"true|false|[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def run_config(served: RunConfig, spec: Mapping[str, Any]) -> RunConfig:
    """The configuration of the run that `spec` (preset, classes, per_class, seed, settings) asks for.

    The served preset starts from the server's own configuration, with its models and weights; another one from the package.
    UsageProblem names the field and what may stand there.
    """
    settings = list(spec.get("settings") or ())
    for setting in settings:
        _check_setting(setting)
    config = _load(served, spec, settings)
    check_limits(config, _load(served, {"preset": spec.get("preset")}, ()), served.serving)
    own = served.execution
    # The GPUs of this machine belong to the serving cluster: a cluster beside it would hand them out a second time.
    address = own.address or ("auto" if own.num_gpus_per_replica else "")
    machine = {"workers": own.workers, "num_gpus_per_replica": own.num_gpus_per_replica, "address": address}
    execution = config.execution.model_copy(update=machine)
    # Of the server's own settings, a run's command checks this one against its images.
    serving = ServingConfig(max_pixels=max(ServingConfig().max_pixels, config.images.width * config.images.height))
    return config.model_copy(update={"execution": execution, "serving": serving})


def _load(served: RunConfig, spec: Mapping[str, Any], settings: Sequence[str]) -> RunConfig:
    preset = spec.get("preset") or served.preset
    content: tuple[Any, ...] = (spec.get("classes") or (), spec.get("per_class"), spec.get("seed"))
    if preset != served.preset:
        known = sorted({*preset_names(), served.preset})
        if preset not in known:
            raise UsageProblem(f"preset: '{preset}' is not served here; use one of {', '.join(known)}")
        return load_config(preset, settings, *content)
    with tempfile.TemporaryDirectory(prefix="synthseg-job-") as folder:
        base = Path(folder) / "served.toml"
        base.write_text(to_toml(served), encoding="utf-8")
        return load_config(str(base), settings, *content)


def _check_setting(setting: str) -> None:
    """UsageProblem for everything but numbers, switches, choices from a fixed list, and the text that is content."""
    name, equals, value = (part.strip() for part in setting.partition("="))
    if not equals or not name:
        raise UsageProblem(f"settings: '{setting}' must be section.key=value, for example prompts.max_rounds=3")
    if name.startswith(f"{ENGINE_PARAMETERS}."):
        parameter = name.removeprefix(f"{ENGINE_PARAMETERS}.")
        if not _ENGINE_PARAMETER.fullmatch(parameter) or not _NUMBER.fullmatch(value):
            raise UsageProblem(f"settings: {name} must be a number, true or false, and its name one word after {ENGINE_PARAMETERS}")
    elif _is_known(name) and not is_open(name):
        raise UsageProblem(f"settings: {name} is the server's own: it names a place, a machine or a model; leave it out")


def is_open(name: str) -> bool:
    """Whether a client may choose the setting `name`: what it may hold is a number with an upper bound, a switch or one of a list of
    words, or it is content.
    """
    section, _, key = name.partition(".")
    if section == "serving" or (section == "execution" and key not in _OWN_EXECUTION):
        return False
    kind = _annotation(name)
    if kind is bool or get_origin(kind) is Literal or name in _OWN_TEXT:
        return True
    return kind in (int, float, tuple[float, ...]) and has_bound(name)


def _is_known(name: str) -> bool:
    """False for what is no setting at all, which loading refuses with the nearest name."""
    return name.partition(".")[0] == "serving" or _annotation(name) is not None


def _annotation(name: str) -> Any:
    """The declared type of setting `name`, a section's class included; None for what is no setting."""
    found: Any = RunConfig
    for part in name.split("."):
        field = found.model_fields.get(part) if isinstance(found, type) and issubclass(found, BaseModel) else None
        if field is None:
            return None
        found = field.annotation
    return found
