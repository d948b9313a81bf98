"""Loaded by schemathesis: turns what it holds valid by the schema into what is valid by the rules that no schema can tell.

So that every refusal of a valid case is a finding: a prompt names something the painter knows, classes exist, and options stand
together that go together. Cases that are meant to be invalid stay as they are.
"""

from __future__ import annotations

from typing import Any

import schemathesis

SIZES = ("auto", "64x64", "32x64")


@schemathesis.hook
def before_call(ctx: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive or not isinstance(case.body, dict):
        return
    make_acceptable = RULES.get(case.path)
    if make_acceptable is not None:
        make_acceptable(case.body)


def _make_paintable(body: dict[str, Any]) -> None:
    body["prompt"] = f"a dog on a beach, {body.get('prompt', '')[:100]}"
    if body.get("size"):
        body["size"] = SIZES[len(body["size"]) % len(SIZES)]
    if body.get("class_names"):
        body["class_names"] = ["dog"]
    if body.get("model"):
        body["model"] = "painter"
    if body.get("negative_prompt"):
        body["negative_prompt"] = body["negative_prompt"][:100]
    if body.get("output_format") in (None, "png"):
        body.pop("output_compression", None)
    if not body.get("stream"):
        body.pop("partial_images", None)


def _make_answerable(body: dict[str, Any]) -> None:
    if body.get("model"):
        body["model"] = "template"
    if not body.get("stream"):
        body.pop("stream_options", None)
    if isinstance(body.get("stop"), list):
        body["stop"] = body["stop"][:4]
    if body.get("max_tokens"):
        body.pop("max_completion_tokens", None)
    if (body.get("response_format") or {}).get("type") == "json_schema":
        body["response_format"]["json_schema"]["schema"] = {"type": "object", "properties": {"n": {"type": "integer"}}}


def _make_findable(body: dict[str, Any]) -> None:
    body["class_name"] = "dog"


def _make_runnable(body: dict[str, Any]) -> None:
    if body.get("preset"):
        body["preset"] = "embedded"
    if body.get("classes"):
        body["classes"] = ["dog", "cat"]
    if body.get("settings"):
        body["settings"] = ["prompts.max_rounds=2"]


RULES = {
    "/v1/images/generations": _make_paintable,
    "/v1/chat/completions": _make_answerable,
    "/v1/completions": _make_answerable,
    "/v1/prompts": _make_findable,
    "/v1/jobs": _make_runnable,
}
