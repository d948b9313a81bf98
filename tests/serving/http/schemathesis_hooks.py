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
    if case.path == "/v1/images/generations":
        _make_paintable(case.body)


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
