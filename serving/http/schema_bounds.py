"""Bounds on a client's JSON schema, checked before it reaches an engine.

Constrained decoding turns a schema into a grammar and tries the grammar's open alternatives on every token of the vocabulary. So what
counts is how many alternatives may be open at one place. Measured on SmolLM2 with llama.cpp, in CPU seconds to the next token: 500 values
of an enum 0.5, 1,000 values 2.6, growing with the square; `[a-z]+` in 2 groups with `+` 0.2, in 3 of them 1.4; `[a-z]*` 16 times in a row
0.3, 32 times minutes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from serving.http.errors import ApiError, invalid

MAX_BYTES: Final = 64 << 10
MAX_DEPTH: Final = 64
"""Levels of objects and arrays in the schema's own JSON; also the longest chain of `$ref`s."""
MAX_PROPERTIES: Final = 1000
"""Properties in all of the schema."""
MAX_ALTERNATIVES: Final = 500
"""What may come at one place: values of an enum, branches of anyOf and what they lead to, properties that may be left out."""
MAX_AT_LEAST: Final = 2000
"""Of minItems, minLength and the counts of a pattern. llama.cpp takes no more."""
MAX_AT_MOST: Final = 100_000
"""Of maxItems and maxLength."""
MAX_PATTERN_CHARS: Final = 512
MAX_PATTERN_GROUPS: Final = 16
"""Groups inside each other."""
MAX_PATTERN_CHOICES: Final = 24
"""Places at which a pattern may go on in two ways, see `pattern_choices`."""

_BRANCHES: Final = ("anyOf", "oneOf", "allOf")
_NAMED: Final = ("properties", "patternProperties", "dependentSchemas")
_LISTED: Final = ("prefixItems", "items")
_SINGLE: Final = ("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else")
_COUNTS: Final[Mapping[str, int]] = {
    "minItems": MAX_AT_LEAST,
    "minLength": MAX_AT_LEAST,
    "maxItems": MAX_AT_MOST,
    "maxLength": MAX_AT_MOST,
}
_COUNT: Final = re.compile(r"\{(\d*)(,?)(\d*)\}")
_SEPARATED: Final = re.compile(r"\(([ ,;:/_])\[([a-zA-Z0-9 ,;:/_-]+)\](?:\{\d+,\d+\}|[+*])\)\{\d*,?\d*\}")
"""Rounds of a sign and a run of plain characters. Sixteen such words cost the agent's own captions nothing that can be measured."""
_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def check_schema(schema: Mapping[str, Any], field: str) -> None:
    """ApiError 400 that names the place below `field` and the bound, where an engine would take too long over `schema`."""
    _check_depth(schema, field)
    num_bytes = len(json.dumps(schema, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    if num_bytes > MAX_BYTES:
        raise _beyond(field, f"has {num_bytes} bytes", MAX_BYTES)
    _Walk(schema, field).check()


def pattern_choices(pattern: str) -> tuple[int, int]:
    """How many places of a pattern may go on in two ways, and its alternatives. ValueError names what is beyond a bound.

    `X?` is one such place besides those in X. `X*` and `X+` are two besides three times those in X, as each of their rounds may end at any
    of them. `X{m,n}` has those of n copies of `X?` where X has any, else one; but two where each round begins with a sign of its own, as
    words with a space before them do: where one round ends is then never in doubt.
    """
    pattern = _SEPARATED.sub(lambda found: found[0] if found[1] in found[2] else "(a?)?", pattern)
    num_branches = 1
    groups: list[list[int]] = [[0, 0]]  # of each open group: its choices, and those of the atom before
    position = 0
    while position < len(pattern):
        char = pattern[position]
        open_group = groups[-1]
        position += 1
        if char == "\\":
            position += 1
            open_group[1] = 0
        elif char == "[" and (found := _CLASS.match(pattern, position - 1)):
            position = found.end()
            open_group[1] = 0
        elif char == "(":
            groups.append([0, 0])
            if len(groups) - 1 > MAX_PATTERN_GROUPS:
                raise ValueError(f"has more than {MAX_PATTERN_GROUPS} groups inside each other")
        elif char == ")" and len(groups) > 1:
            inside = groups.pop()[0]
            groups[-1][0] += inside
            groups[-1][1] = inside
        elif char == "|":
            num_branches += 1
            open_group[1] = 0
        elif char in "*+?" or (char == "{" and (found := _COUNT.match(pattern, position - 1))):
            inside = open_group[1]
            if char == "{" and found:
                position = found.end()
                counts = [int(count) for count in (found[1], found[3]) if count]
                most = max(counts, default=1)
                if most > MAX_AT_LEAST:
                    raise ValueError(f"counts to {most}, more than {MAX_AT_LEAST}")
                new = most * (1 + inside) if inside else 1
            else:
                new = 1 + inside if char == "?" else 2 + 3 * inside
            open_group[0] += new - inside
            open_group[1] = new
            if pattern[position : position + 1] in ("?", "+"):  # lazy or possessive, which says nothing of length
                position += 1
        else:
            open_group[1] = 0
    return sum(group[0] for group in groups), num_branches


class _Walk:
    """One schema, followed through its `$ref`s."""

    def __init__(self, root: Mapping[str, Any], field: str) -> None:
        self._root = root
        self._field = field
        self._num_properties = 0
        self._known: dict[int, int] = {}
        """Alternatives of each subschema that has been looked at, by identity; those being looked at count as one."""

    def check(self) -> None:
        """ApiError 400 at the first bound that is passed."""
        self._alternatives(self._root, self._field, 0)

    def _alternatives(self, node: Any, path: str, num_refs: int) -> int:
        """The most alternatives that may be open at one place of `node`. Branches are open together; what follows on each other is not."""
        if not isinstance(node, Mapping):
            return 1
        if id(node) in self._known:
            return self._known[id(node)]
        self._known[id(node)] = 1
        for keyword, most in _COUNTS.items():
            count = node.get(keyword)
            if isinstance(count, int | float) and count > most:
                raise _beyond(f"{path}.{keyword}", f"is {count}", most)
        together = self._values(node, path) + self._pattern(node, path) + self._target(node, path, num_refs)
        for keyword in _BRANCHES:
            branches = node.get(keyword)
            if isinstance(branches, list):
                together += sum(self._alternatives(branch, f"{path}.{keyword}.{i}", num_refs) for i, branch in enumerate(branches))
                self._bound(together, f"{path}.{keyword}")
        found = max([1, together, self._optional(node, path), *self._parts(node, path, num_refs)])
        self._known[id(node)] = found
        return found

    def _values(self, node: Mapping[str, Any], path: str) -> int:
        values = node.get("enum")
        if not isinstance(values, list):
            return 0
        self._bound(len(values), f"{path}.enum")
        return len(values)

    def _pattern(self, node: Mapping[str, Any], path: str) -> int:
        pattern = node.get("pattern")
        if not isinstance(pattern, str):
            return 0
        return self._pattern_alternatives(pattern, f"{path}.pattern")

    def _pattern_alternatives(self, pattern: str, path: str) -> int:
        if len(pattern) > MAX_PATTERN_CHARS:
            raise _beyond(path, f"has {len(pattern)} characters", MAX_PATTERN_CHARS)
        try:
            num_choices, num_branches = pattern_choices(pattern)
        except ValueError as beyond:
            raise invalid(path, f"{path}: {beyond}") from None
        if num_choices > MAX_PATTERN_CHOICES:
            raise _beyond(path, f"may go on in two ways at {num_choices} places", MAX_PATTERN_CHOICES)
        return num_choices + num_branches

    def _target(self, node: Mapping[str, Any], path: str, num_refs: int) -> int:
        """Where `$ref` leads. One that leads nowhere in the schema is for the engine to refuse, which it does at once."""
        reference = node.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return 0
        if num_refs >= MAX_DEPTH:
            raise _beyond(f"{path}.$ref", f"is the end of a chain of {num_refs + 1} references", MAX_DEPTH)
        target: Any = self._root
        names = [name.replace("~1", "/").replace("~0", "~") for name in reference.removeprefix("#").split("/")[1:]]
        for name in names:
            target = target.get(name) if isinstance(target, Mapping) else None
        return self._alternatives(target, ".".join((self._field, *names)), num_refs + 1)

    def _optional(self, node: Mapping[str, Any], path: str) -> int:
        properties, required = node.get("properties"), node.get("required")
        if not isinstance(properties, Mapping):
            return 0
        self._num_properties += len(properties)
        if self._num_properties > MAX_PROPERTIES:
            raise _beyond(f"{path}.properties", f"brings the schema to {self._num_properties} properties", MAX_PROPERTIES)
        needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
        num_optional = 1 + len(properties.keys() - needed)
        self._bound(num_optional, f"{path}.properties")
        return num_optional

    def _parts(self, node: Mapping[str, Any], path: str, num_refs: int) -> Iterator[int]:
        for keyword in _NAMED:
            if isinstance(named := node.get(keyword), Mapping):
                for name, part in named.items():
                    if keyword == "patternProperties":
                        yield self._pattern_alternatives(name, f"{path}.{keyword}.{name}")
                    yield self._alternatives(part, f"{path}.{keyword}.{name}", num_refs)
        for keyword in _LISTED:
            if isinstance(listed := node.get(keyword), list):
                for i, part in enumerate(listed):
                    yield self._alternatives(part, f"{path}.{keyword}.{i}", num_refs)
        for keyword in _SINGLE:
            yield self._alternatives(node.get(keyword), f"{path}.{keyword}", num_refs)

    def _bound(self, num_alternatives: int, path: str) -> None:
        if num_alternatives > MAX_ALTERNATIVES:
            raise _beyond(path, f"leaves {num_alternatives} alternatives open at one place", MAX_ALTERNATIVES)


def _check_depth(schema: Mapping[str, Any], field: str) -> None:
    level: list[Any] = [schema]
    for _ in range(MAX_DEPTH + 1):
        level = [part for node in level for part in (node.values() if isinstance(node, Mapping) else node) if isinstance(part, dict | list)]
        if not level:
            return
    raise invalid(field, f"{field}: is nested more than {MAX_DEPTH} levels deep")


def _beyond(path: str, what: str, bound: int) -> ApiError:
    return invalid(path, f"{path}: {what}; at most {bound} here")
