"""Schemas from which constrained decoding explodes, and those that people use."""

from __future__ import annotations

import functools
import json
import time
from typing import Any

import numpy as np
import pytest

from serving.http.errors import ApiError
from serving.http.schema_bounds import MAX_ALTERNATIVES, MAX_PATTERN_CHOICES, check_schema, pattern_choices
from synthseg.config.loading import load_config, preset_names
from synthseg.engines.llama.engine import LlamaEngine, embedded_model_path
from synthseg.engines.text import TextRequest
from synthseg.errors import UsageProblem
from synthseg.method.prompts.messages import PLACE, rate_request, write_request
from synthseg.method.prompts.profiles import profile
from synthseg.method.prompts.template import draw_slots

TEXT: dict[str, Any] = {"type": "string"}


def within(levels: int) -> dict[str, Any]:
    """An object in an object, so often."""
    return functools.reduce(lambda inner, _: {"type": "object", "properties": {"a": inner}}, range(levels), TEXT)


def one_of(count: int, mark: str = "") -> dict[str, Any]:
    return {"enum": [f"{mark}value number {i}" for i in range(count)]}


def optional(count: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"k{i}": TEXT for i in range(count)}}


def needed(count: int, part: dict[str, Any] = TEXT) -> dict[str, Any]:
    properties = {f"k{i}": part for i in range(count)}
    return {"type": "object", "properties": properties, "required": list(properties)}


def matching(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


CHAIN: dict[str, Any] = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(100)}
PRODUCT: dict[str, Any] = {
    "anyOf": [{"type": "array", "items": {"$ref": "#/$defs/color"}, "maxItems": i} for i in range(1, 21)],
    "$defs": {"color": one_of(100)},
}
BOMB: dict[str, Any] = {
    "$ref": "#/$defs/a9",
    "$defs": {"a0": one_of(2), **{f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i - 1}"}] * 10} for i in range(1, 10)}},
}


@pytest.mark.parametrize(
    ("schema", "place", "said"),
    [
        (one_of(20_000), "", "bytes; at most 65536"),
        ({"enum": list(range(501))}, "enum", "leaves 501 alternatives open at one place; at most 500"),
        ({"anyOf": [{"const": i} for i in range(501)]}, "anyOf", "501 alternatives"),
        ({"anyOf": [{"oneOf": [{"const": f"{i} {j}"} for j in range(30)]} for i in range(30)]}, "anyOf", "900 alternatives"),
        (PRODUCT, "anyOf", "2000 alternatives"),
        (BOMB, "$defs.a3.anyOf", "2000 alternatives"),
        (optional(500), "properties", "501 alternatives"),
        (needed(1001), "properties", "1001 properties; at most 1000"),
        (json.loads(json.dumps(needed(40, needed(30)))), "properties.k32.properties", "to 1030 properties; at most 1000"),
        (within(40), "", "nested more than 64 levels"),
        (within(5000), "", "nested more than 64 levels"),
        ({"$ref": "#/$defs/d0", "$defs": CHAIN}, "$defs.d63.$ref", "chain of 65 references; at most 64"),
        ({"type": "array", "items": TEXT, "minItems": 2001}, "minItems", "is 2001; at most 2000"),
        ({"type": "array", "items": {"type": "string", "maxLength": 10**18}}, "items.maxLength", "at most 100000"),
        ({"type": "object", "properties": {"a.b": {"type": "string", "minLength": 1e9}}}, "properties.a.b.minLength", "at most 2000"),
        (matching("^" + "a" * 600), "pattern", "601 characters; at most 512"),
        (matching("^" + "(" * 30 + "a+" + ")+" * 30 + "$"), "pattern", "more than 16 groups inside each other"),
        (matching("^" + "(" * 12 + "a+" + ")+" * 12 + "$"), "pattern", "places"),
        (matching("^(a?){100}b$"), "pattern", "200 places"),
        (matching("^" + "[a-z]*" * 50 + "$"), "pattern", "100 places"),
        (matching("^((a{1,30}){1,30}){1,30}$"), "pattern", "places"),
        (matching("^a{1,2001}$"), "pattern", "counts to 2001, more than 2000"),
        ({"patternProperties": {"^(a*b*)*" + "c*" * 40: TEXT}}, "patternProperties", "places"),
        ({"anyOf": [matching(f"^{i}" + "x*" * 12) for i in range(21)]}, "anyOf", "525 alternatives"),
        ({"allOf": [{"not": one_of(501)}]}, "allOf.0.not.enum", "501 alternatives"),
    ],
)
def test_the_place_and_the_bound_are_named(schema: dict[str, Any], place: str, said: str) -> None:
    started = time.process_time()
    with pytest.raises(ApiError) as refused:
        check_schema(schema, "field")
    assert time.process_time() - started < 1
    error = refused.value.body.error
    assert refused.value.status == 400
    assert error.param is not None
    assert error.param.startswith(f"field.{place}" if place else "field")
    assert error.message.startswith(error.param)
    assert said in error.message


EMAIL = r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        one_of(500),
        needed(1000),
        needed(20, {"$ref": "#/$defs/color"}) | {"$defs": {"color": one_of(100)}},
        {"type": "object", "properties": {"enum": {"enum": ["a"]}, "pattern": TEXT, "items": {"type": "array", "items": TEXT}}},
        {"$ref": "#/$defs/node", "$defs": {"node": {"type": "array", "items": {"$ref": "#/$defs/node"}}}},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.org/schema.json"},
        {"properties": [], "required": 3, "anyOf": {}, "enum": 4, "minItems": "x", "pattern": 5, "$ref": []},
        within(20),
        matching(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$"),
        matching(r"^(\d{1,3}\.){3}\d{1,3}$"),
        matching(r"^#(?:[0-9a-fA-F]{3}){1,2}$"),
        matching(r"^[A-Z]{2}\d{2}( ?[A-Z0-9]{4}){2,7}$"),
        matching(EMAIL),
        matching(r"^[a-z0-9]+(-[a-z0-9]+)*$"),
        matching(r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$"),
        matching(r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"),
    ],
)
def test_what_people_use_passes(schema: dict[str, Any]) -> None:
    check_schema(schema, "field")


@pytest.mark.parametrize("preset", preset_names())
def test_what_the_agent_asks_of_an_endpoint_passes(preset: str) -> None:
    """Another server of ours is one of its endpoints."""
    config = load_config(preset)
    rng = np.random.default_rng(0)
    for info in config.class_infos():
        for subject, kind in ((info.prompt_text, "target"), (info.prompt_text, "bare"), (PLACE, "context")):
            draws = [draw_slots(profile(info), kind, rng) for _ in range(4)]
            for slots in ([draws[0]], draws):
                request = write_request(config.prompts, subject, profile(info), slots, 1)
                assert request.json_schema is not None
                check_schema(request.json_schema, "response_format")
    marks = rate_request("horse", "A horse", 1).json_schema
    assert marks is not None
    check_schema(marks, "response_format")


@pytest.mark.parametrize(
    ("pattern", "choices"),
    [
        ("abc", 0),
        ("a?b*c+", 5),
        (r"\(\*\+[(*+?]", 0),
        ("[]a*]b", 0),
        ("a{3}", 1),
        ("a{2,}", 1),
        ("{a}", 0),
        ("a{,", 0),
        ("(a?)?", 2),
        ("(a+)+", 8),
        ("( [a-z-]{1,14}){0,16}", 2),
        ("( [a-z-]+){3,}", 2),
        ("(([a-z]{1,14}){0,16})", 32),
        ("( [a-z ]{1,14}){0,16}", 32),
        ("(a[a-z]{1,14}){0,16}", 32),
        ("(( [a-z]{1,14}){0,16}){0,16}", 48),
        ("((a+)+)+", 26),
        ("(ab?){3}", 6),
        ("a+?b*?", 4),
        ("(a|b)+", 2),
        ("(((", 0),
        (")*a*", 4),
    ],
)
def test_places_of_a_pattern_that_may_go_on_in_two_ways(pattern: str, choices: int) -> None:
    assert pattern_choices(pattern)[0] == choices


@pytest.fixture(scope="module")
def engine() -> LlamaEngine:
    try:
        embedded_model_path()
    except UsageProblem as missing:
        pytest.skip(str(missing))
    return LlamaEngine()


MOST = MAX_PATTERN_CHOICES


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize(
    "schema",
    [
        one_of(MAX_ALTERNATIVES),
        {"type": "array", "items": one_of(MAX_ALTERNATIVES), "minItems": 20},
        {"anyOf": [{"const": f"x{i}"} for i in range(MAX_ALTERNATIVES)]},
        optional(MAX_ALTERNATIVES - 1),
        needed(1000),
        within(31),
        needed(12, one_of(80)),
        {"type": "array", "items": {"type": "integer"}, "minItems": 2000, "maxItems": 100_000},
        {"type": "string", "minLength": 2000, "maxLength": 100_000},
        needed(100, {"type": "string", "maxLength": 100_000}),
        matching("^([a-z]+)+$"),
        matching("^(([a-z]?)+[a-z]?)+$"),
        matching("^" + "[a-z]*" * (MOST // 2) + "$"),
        matching("^" + "[a-z]?" * MOST + "$"),
        matching("^([a-z]{1,9}){1," + str(MOST // 2) + "}$"),
        matching("^" + "[%^~]?" * MOST + "!$"),
        matching("^([%^~]?){" + str(MOST // 2) + "}!$"),
        matching("^(a|aa|aaa){2000}$"),
        matching("^(" + "|".join("ab" * 120) + ")$"),
        {"anyOf": [matching(f"^[%^~]{{{i}}}" + "x*" * (MOST // 2 - 1)) for i in range(1, 16)]},
    ],
)
def test_an_engine_keeps_giving_signs_of_life_at_the_bounds(engine: LlamaEngine, schema: dict[str, Any]) -> None:
    """In CPU time of this process, where llama.cpp's thread works: other processes on the machine do not count."""
    check_schema(schema, "field")
    gaps: list[float] = []
    last = time.process_time()

    def sign_of_life() -> bool:
        nonlocal last
        gaps.append(time.process_time() - last)
        last += gaps[-1]
        return True

    engine.stream(
        TextRequest(({"role": "user", "content": "Hi"},), seed=1, max_tokens=12, json_schema=schema), lambda _: True, sign_of_life
    )
    assert len(gaps) > 1
    assert max(gaps) < 4, json.dumps(schema)[:200]
