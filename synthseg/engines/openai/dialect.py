"""What one endpoint takes of OpenAI's request fields: its refusals name a field, which is then renamed or left out.

A refusal changes one thing. What was changed counts from the first request that is answered so, for the whole process.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from synthseg.config.text import SCHEMA_KEYWORDS, EndpointConfig

WRAPPED: Final = "reply"
"""Key of a reply whose schema had to be put into an object."""
_WRAPPER_TOKENS: Final = 16
_MOST_MIN_TOKENS: Final = 256
"""A larger bound is no lower bound of an answer's length."""
_TOKENS: Final = ("max_tokens", "max_completion_tokens")
_PLAIN: Final = ("top_p", "temperature", "seed", "stream_options")
"""Fields that an answer can do without. Where a server takes only one of two, temperature stays."""

_REFUSES: Final = re.compile(
    r"support|unrecogni[sz]ed|unknown|unexpected|\bextra|permitted|allowed|cannot find field|available|only the default|cannot both|"
    r"invalid (?:schema|parameter|value|argument)|failed to|must be|not implemented|deprecated|missing field|has to be",
    re.IGNORECASE,
)
_LEAST: Final = re.compile(
    r"max_(?:completion_|output_)?tokens.*?(?:>=|at least|minimum of|greater than or equal to)\s*(\d{1,4})", re.IGNORECASE | re.DOTALL
)
_ABOUT_SCHEMA: Final = re.compile(
    r"response[_ ]format|json[_ ]schema|schema|structured output|grammar|output_config|output_format", re.IGNORECASE
)
_ABOUT_FORMAT: Final = re.compile(r"response[_ ]format|json_schema", re.IGNORECASE)
_ECHOES: Final = ("input", "url", "ctx")
"""What a validation error says of the request itself."""
_DEPTH: Final = 8
_MOST_CHARS: Final = 10_000
"""Of an error body, which may be a whole page."""
_LOG = logging.getLogger("synthseg.endpoint")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the requests to an endpoint differ from OpenAI's reference."""

    tokens_field: str = "max_tokens"
    omitted: frozenset[str] = frozenset()
    """Fields, keywords of JSON schemas, and `strict`."""
    wraps: bool = False
    """A schema that is no object is sent as the one property of an object."""
    min_tokens: int = 1

    def spoken(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """`body` as the endpoint takes it."""
        said = {name: value for name, value in body.items() if name not in self.omitted}
        tokens = max(int(said.pop("max_tokens")), self.min_tokens)
        if "response_format" in said:
            asked = said["response_format"]["json_schema"]
            schema = _without(asked["schema"], self.omitted)
            if self.wraps and has_bare_schema(asked["schema"]):
                schema = {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED], "additionalProperties": False}
                tokens += _WRAPPER_TOKENS
            kept = {name: value for name, value in asked.items() if name not in self.omitted}
            said["response_format"] = {"type": "json_schema", "json_schema": {**kept, "schema": schema}}
        return {**said, self.tokens_field: tokens}

    def merged(self, other: Dialect) -> Dialect:
        """What both have found out."""
        renamed = next((d.tokens_field for d in (self, other) if d.tokens_field != _TOKENS[0]), _TOKENS[0])
        return Dialect(renamed, self.omitted | other.omitted, self.wraps or other.wraps, max(self.min_tokens, other.min_tokens))

    def since(self, first: Dialect) -> Dialect:
        """What is in this dialect and was not in `first`."""
        return Dialect(
            _TOKENS[0] if self.tokens_field == first.tokens_field else self.tokens_field,
            self.omitted - first.omitted,
            self.wraps and not first.wraps,
            1 if self.min_tokens == first.min_tokens else self.min_tokens,
        )

    def held_to(self, settings: EndpointConfig) -> Dialect:
        """This dialect where the user's settings say nothing of a field."""
        fields = settings.fields
        return Dialect(
            fields.get("max_tokens", self.tokens_field),
            (self.omitted - set(fields)) | {name for name, value in fields.items() if not value},
            self.wraps,
            max(self.min_tokens, settings.min_tokens),
        )

    def differences(self) -> Iterator[str]:
        """A clause for each."""
        if self.tokens_field != _TOKENS[0]:
            yield f"gets {self.tokens_field} in place of max_tokens"
        yield from (f"gets no {name}" for name in sorted(self.omitted))
        if self.wraps:
            yield "gets schemas that are no object inside one"
        if self.min_tokens > 1:
            yield f"is asked for {self.min_tokens} tokens at least"


class Dialects:
    """What this process has found out about its endpoints. Any number of threads may use it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Dialect] = {}
        self._lock = threading.Lock()

    def of(self, url: str, model: str) -> Dialect:
        """The dialect of the model at `url`, as far as it is known."""
        with self._lock:
            return self._known.get((url, model), Dialect())

    def learn(self, url: str, model: str, dialect: Dialect) -> None:
        """An answer came to a request in `dialect`; what is new in it is logged once."""
        with self._lock:
            known = self._known.get((url, model), Dialect())
            merged = known.merged(dialect)
            if merged == known:
                return
            self._known[url, model] = merged
        news = [clause for clause in merged.differences() if clause not in set(known.differences())]
        _LOG.warning("prompts.base_url: %s refused a request's fields; it now %s (execution.endpoint.fields)", url, ", ".join(news))


DIALECTS: Final = Dialects()


def heard(
    answer: Any, sent: Mapping[str, Any], dialect: Dialect, fixed: Collection[str], schema: Mapping[str, Any] | None
) -> Dialect | None:
    """The dialect that mends the refusal `answer` of the body `sent`, or None where it names nothing that may be changed.

    `fixed` are the fields that the user's settings decide; `schema` is the one that was asked for, None where it must not be wrapped.
    """
    said = " ".join(_texts(answer)).replace("\\", "")[:_MOST_CHARS]
    return next(_changes(said, sent, dialect, fixed, schema), None)


def has_bare_schema(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is no object, which many servers take only inside one."""
    return schema.get("type") != "object"


def _changes(
    said: str, sent: Mapping[str, Any], dialect: Dialect, fixed: Collection[str], schema: Mapping[str, Any] | None
) -> Iterator[Dialect]:
    asked = sent.get(dialect.tokens_field, 0)
    if (least := _LEAST.search(said)) and asked < int(least[1]) <= _MOST_MIN_TOKENS:
        yield replace(dialect, min_tokens=int(least[1]))
    refuses = _REFUSES.search(said) is not None
    if refuses and _TOKENS[0] in sent and _TOKENS[0] not in fixed and _names(said, _TOKENS[0]):
        yield replace(dialect, tokens_field=_TOKENS[1])
    about_schema = "response_format" in sent and _ABOUT_SCHEMA.search(said) is not None
    can_wrap = "response_format" in sent and schema is not None and has_bare_schema(schema) and not dialect.wraps
    if can_wrap and re.search(r"\bobject\b", said):
        yield replace(dialect, wraps=True)
    if about_schema:
        yield from _schema_changes(said, sent["response_format"]["json_schema"], dialect, fixed)
        if can_wrap:
            yield replace(dialect, wraps=True)
        if refuses and "response_format" not in fixed:
            yield _leaving_out(dialect, "response_format")
    for name in _PLAIN:
        if refuses and name in sent and name not in fixed and _names(said, name):
            yield _leaving_out(dialect, name)
    # Some servers say no more than that the request is bad.
    if can_wrap:
        yield replace(dialect, wraps=True)


def _schema_changes(said: str, asked: Mapping[str, Any], dialect: Dialect, fixed: Collection[str]) -> Iterator[Dialect]:
    """Keywords that the refusal names, the first one first. A grammar that cannot be made is most often a pattern's."""
    sent = json.dumps(asked["schema"])
    named = [(found.start(), name) for name in SCHEMA_KEYWORDS if f'"{name}"' in sent and (found := re.search(rf"\b{name}\b", said))]
    if not named and '"pattern"' in sent and re.search(r"grammar|regex", said, re.IGNORECASE):
        named = [(0, "pattern")]
    if not named and re.search(r"schema|grammar", said, re.IGNORECASE) and not _ABOUT_FORMAT.search(said):
        bounds = [name for name in SCHEMA_KEYWORDS if f'"{name}"' in sent and name not in ("additionalProperties", *fixed)]
        if bounds:  # it tells nothing; the schema's structure is worth more than its bounds
            yield replace(dialect, omitted=dialect.omitted | set(bounds))
    if "strict" in asked and re.search(r"json_schema\.strict|[\"'`]strict[\"'`]", said):
        named.append((len(said), "strict"))
    yield from (_leaving_out(dialect, name) for _, name in sorted(named) if name not in fixed)


def _leaving_out(dialect: Dialect, name: str) -> Dialect:
    return replace(dialect, omitted=dialect.omitted | {name})


def _names(said: str, field: str) -> bool:
    return re.search(rf"\b{field}\b", said) is not None


def _without(schema: Any, keywords: Collection[str]) -> Any:
    """`schema` without `keywords`; the names of properties are none."""
    if isinstance(schema, Mapping):
        return {
            name: {key: _without(inner, keywords) for key, inner in value.items()} if name == "properties" else _without(value, keywords)
            for name, value in schema.items()
            if name not in keywords
        }
    return [_without(item, keywords) for item in schema] if isinstance(schema, list | tuple) else schema


def _texts(answer: Any, depth: int = _DEPTH) -> Iterator[str]:
    """All strings of an error body, without what it echoes of the request."""
    if isinstance(answer, str):
        yield answer
    elif depth and isinstance(answer, Mapping):
        for key, value in answer.items():
            if key not in _ECHOES:
                yield from _texts(value, depth - 1)
    elif depth and isinstance(answer, list):
        for item in answer:
            yield from _texts(item, depth - 1)
