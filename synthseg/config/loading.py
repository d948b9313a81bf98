"""Reading a configuration: preset or file, then `--set` overrides, then the short flags. Every problem is one line."""

from __future__ import annotations

import codecs
import difflib
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from synthseg.config.checks import check_config
from synthseg.config.schema import RunConfig
from synthseg.errors import UsageProblem
from synthseg.machine.paths import expanded
from synthseg.taxonomy import taxonomy

_SHOWN_PROBLEMS: Final = 3
_EXPECTED: Final[Mapping[str, str]] = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a string",
    "tuple_type": "a list in brackets",
    "dict_type": "a table such as {steps = 30}",
    "model_type": "a table of settings",
}


def preset_names() -> tuple[str, ...]:
    """Names of the presets in the package, `embedded` first."""
    names = (entry.name.removesuffix(".toml") for entry in files("synthseg.config").joinpath("presets").iterdir())
    return tuple(sorted((n for n in names if not n.startswith("_")), key=lambda n: (n != "embedded", n)))


def load_config(
    preset_or_file: str,
    overrides: Sequence[str] = (),
    classes: Sequence[str] = (),
    per_class: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
) -> RunConfig:
    """The validated configuration of a run.

    `preset_or_file` is a preset name or the path of a TOML file; a file whose `preset` names one of ours starts from it and
    only says what differs. `overrides` are `section.key=value` with TOML values (a bare word is a string). `per_class` asks for
    that many kept images a class: prompts_per_class = ceil(per_class / scoring.keep_per_prompt).
    UsageProblem names the field, what is wrong and the nearest valid name.
    """
    data = _read(preset_or_file)
    for override in overrides:
        _apply_override(data, override)
    if classes:
        data["classes"] = list(classes)
    if seed is not None:
        data["seed"] = seed
    if workers is not None:
        _apply_override(data, f"execution.workers={workers}")
    if not data.get("classes") and data.get("taxonomy") in ("voc", "coco"):
        data["classes"] = [c.name for c in taxonomy(data["taxonomy"]).classes]
    config = _validate(data)
    if per_class is not None:
        if per_class < 1:
            raise UsageProblem(f"per_class: must be at least 1, not {per_class}")
        config = _with_quota(config, math.ceil(per_class / config.scoring.keep_per_prompt))
    config = config.model_copy(update={"classes": tuple(c.name for c in config.class_infos())})
    check_config(config)
    return config


def to_toml(config: RunConfig) -> str:
    """The resolved configuration as TOML that `load_config` reads back to an equal one."""
    import tomli_w

    return tomli_w.dumps(config.model_dump(mode="json"))


def setting_names() -> tuple[str, ...]:
    """Every `section.key` a configuration knows."""
    return tuple(_names(RunConfig, ""))


def _names(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _names(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


@cache
def _preset_text(name: str) -> str:
    return files("synthseg.config").joinpath("presets", f"{name}.toml").read_text(encoding="utf-8")


def _read(preset_or_file: str) -> dict[str, Any]:
    presets = preset_names()
    if preset_or_file in presets:
        return tomllib.loads(_preset_text(preset_or_file))
    path = expanded(preset_or_file, "preset")
    if path.suffix != ".toml" and not path.is_file():
        near = _nearest(preset_or_file, presets)
        raise UsageProblem(f"preset '{preset_or_file}' is unknown; did you mean '{near}'? (presets: {', '.join(presets)}; or a .toml file)")
    try:
        data = tomllib.loads(_text(path))
    except FileNotFoundError:
        raise UsageProblem(f"{path}: no such configuration file; presets are {', '.join(presets)}") from None
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageProblem(f"{path}: not valid TOML: {error}") from None
    base = data.get("preset")
    return _merged(tomllib.loads(_preset_text(base)), data) if base in presets else data


def _text(path: Path) -> str:
    """Content of a text file in UTF-8, with the mark that some editors begin it with or without. UsageProblem for another encoding."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        what = "it is UTF-16" if utf16 else f"byte {error.start} is not UTF-8"
        raise UsageProblem(f"{path}: cannot be read as text: {what}; save it as UTF-8") from None
    if "\0" in text:
        raise UsageProblem(f"{path}: cannot be read as text: it holds zero bytes, as UTF-16 does; save it as UTF-8")
    return text


def _merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Sections merge key by key; a value, engine parameters included, is replaced whole."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            base[key] = {**base[key], **value}
        else:
            base[key] = value
    return base


def _apply_override(data: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    name = name.strip()
    if not equals or not name:
        raise UsageProblem(f"--set {override}: write it as section.key=value, for example --set prompts.max_rounds=3")
    kind = _field_type(name)
    *sections, key = name.split(".")
    target = data
    for section in sections:
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            raise UsageProblem(f"{name}: '{section}' is a value, not a table")
    target[key] = _parse_value(text.strip(), is_text=kind is str)


def _field_type(name: str) -> Any:
    """Annotation of the setting `name`; None inside a free table such as images.parameters."""
    model: Any = RunConfig
    parts = name.split(".")
    while parts:
        field = model.model_fields.get(parts.pop(0))
        if field is None:
            raise UsageProblem(_unknown(name))
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            break
    else:
        raise UsageProblem(f"{name}: is a section; set one of its keys, for example {next(iter(_names(model, name + '.')))}")
    if not parts:
        return model
    if field.default_factory is dict and all(parts):
        return None
    raise UsageProblem(f"{name}: '{name.removesuffix('.' + '.'.join(parts))}' is a value, not a table")


def _parse_value(text: str, *, is_text: bool) -> Any:
    if is_text and not (len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"):
        return text
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _validate(data: Mapping[str, Any]) -> RunConfig:
    try:
        # JSON mode is strict about kinds (no true for 1, no "4" for 4) and still takes lists for tuples.
        return RunConfig.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        problems = [_describe(detail) for detail in error.errors()]
        more = len(problems) - _SHOWN_PROBLEMS
        raise UsageProblem("; ".join(problems[:_SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")) from None


def _describe(detail: ErrorDetails) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(name)
    if kind == "missing":
        return f"{name}: is required; add it, or start from a preset with preset = 'embedded' as the file's first line"
    if kind == "literal_error":
        choices = [c for c in str(context.get("expected", "")).replace(" or ", ", ").replace("'", "").split(", ") if c]
        return f"{name}: '{given}' is not one of {', '.join(choices)}; did you mean '{_nearest(str(given), choices)}'?"
    if kind in _EXPECTED:
        return f"{name}: expected {_EXPECTED[kind]}, not {json.dumps(given, default=str)}"
    message = detail["msg"].replace("Input should be", "must be")
    return f"{name}: {message}, not {json.dumps(given, default=str)}"


def _unknown(name: str) -> str:
    return f"{name}: is not a setting; did you mean '{_nearest(name, setting_names())}'?"


def _nearest(name: str, choices: Sequence[str]) -> str:
    """The choice most like `name`; a setting given without its section still finds it."""
    tail = name.rpartition(".")[2].lower()
    return max(
        choices,
        key=lambda choice: max(
            difflib.SequenceMatcher(None, name.lower(), choice.lower()).ratio(),
            0.95 * difflib.SequenceMatcher(None, tail, choice.rpartition(".")[2].lower()).ratio(),
        ),
    )


def _with_quota(config: RunConfig, prompts_per_class: int) -> RunConfig:
    return config.model_copy(update={"prompts": config.prompts.model_copy(update={"prompts_per_class": prompts_per_class})})
