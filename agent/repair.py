"""Tolerant reading of a call's arguments: a fixed list of named rules, each tried on its own, none of them a guess.

A rule only mends what a server or a template is known to break (docs/trajectory.md lists the names); what still
does not parse is refused with the position, for the model to send it again.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Collection
from functools import partial

from pydantic import JsonValue

MAX_DECODES = 3
"""A string that holds JSON that holds a string: servers encode twice, never more often in what was seen."""

_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_PYTHON = re.compile(r"\A\s*\{\s*'|[:\[,]\s*(?:True|False|None)\b")
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")


Rule = tuple[str, Callable[[str], JsonValue]]
"""A name, and what reads a broken text or raises ValueError or SyntaxError."""


class RepairError(ValueError):
    """The arguments are not a JSON object and no rule makes them one."""


def parse_arguments(
    raw: str | dict[str, JsonValue], *, mend: bool = True, keys: Collection[str] = ()
) -> tuple[dict[str, JsonValue], list[str]]:
    """Return the arguments as an object, and the names of the rules that were needed.

    Args:
        raw: text by the standard, an object from some servers.
        mend: False for a reply that was cut off: then only whole JSON will do.
        keys: the tool's argument names; with them a text whose inner quotes were not escaped can be read.

    Raises:
        RepairError: with the position in the text and what was found there.
    """
    if isinstance(raw, dict):
        return raw, ["object_arguments"]
    if not raw.strip():
        return {}, ["empty_arguments"]
    rules: list[str] = []
    value: JsonValue = raw
    for depth in range(MAX_DECODES):
        if not isinstance(value, str):
            break
        value, rule = _decode(value, mend, keys)
        rules += [rule] if rule else []
        rules += ["double_encoding"] if depth else []
    if not isinstance(value, dict):
        raise RepairError(f"the arguments must be a JSON object, not {_kind(value)}")
    return value, rules


def _kind(value: JsonValue) -> str:
    match value:
        case list():
            return "a list"
        case str():
            return "a string"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case _:
            return "null"


def _decode(text: str, mend: bool, keys: Collection[str]) -> tuple[JsonValue, str]:
    try:
        decoded: JsonValue = json.loads(text)
    except json.JSONDecodeError as error:
        if not mend:
            raise RepairError(_where(text, error)) from error
        return _mended(text, error, keys)
    return decoded, ""


def _where(text: str, error: json.JSONDecodeError) -> str:
    near = text[max(0, error.pos - 20) : error.pos + 20]
    return f"not JSON: {error.msg} at character {error.pos}, near {near!r}"


def _mended(text: str, error: json.JSONDecodeError, keys: Collection[str]) -> tuple[JsonValue, str]:
    rules: list[Rule] = [*_RULES, ("inner_quotes", partial(_inner_quotes, keys=keys)), *_LAST_RULES]
    for name, rule in rules:
        try:
            return rule(text), name
        except (ValueError, SyntaxError):
            continue
    raise RepairError(_where(text, error)) from error


def _fenced(text: str) -> JsonValue:
    match = _FENCE.match(text)
    if match is None:
        raise ValueError
    return _loads(match.group(1))


def _loads(text: str) -> JsonValue:
    value: JsonValue = json.loads(text, strict=False)
    return value


def _raw_newlines(text: str) -> JsonValue:
    return _loads(text)


def _trailing_text(text: str) -> JsonValue:
    start = text.index("{")
    value: JsonValue
    value, end = json.JSONDecoder(strict=False).raw_decode(text, start)
    rest = text[end:]
    if text[:start].strip("` \n\tjson") or "{" in rest or ('"' in rest and "}" in rest):
        raise ValueError
    return value


def _trailing_comma(text: str) -> JsonValue:
    return _loads(_TRAILING_COMMA.sub(r"\1", text))


def _missing_brace(text: str) -> JsonValue:
    """Close brackets only: closing a string would invent an end for a file or command that was cut."""
    body = text.rstrip().rstrip(",")
    for ending in ("}", "]}", "}}"):
        try:
            return _loads(body + ending)
        except ValueError:
            continue
    raise ValueError


def _python_literal(text: str) -> JsonValue:
    if not _PYTHON.search(text):
        raise ValueError  # `"a""b"` is one string to Python, and a quote too few to us
    value = ast.literal_eval(text.strip())
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004  # every rule fails with ValueError
    return _loads(json.dumps(value))


_ESCAPED = re.compile(r'(\\.)|"', re.DOTALL)


def _inner_quotes(text: str, keys: Collection[str]) -> JsonValue:
    """Read an object of known keys whose text values hold quotes that were not escaped, such as a docstring's.

    The text is cut where a known key begins, each of which may come once: nothing is chosen between two readings.
    """
    if not keys:
        raise ValueError
    body = text.strip()
    known = "|".join(map(re.escape, sorted(keys)))
    starts = list(re.finditer(rf'(?:\A\{{|,)\s*"(?P<key>{known})"\s*:\s*', body))
    named = [start["key"] for start in starts]
    if not starts or starts[0].start() != 0 or len(set(named)) < len(named) or not body.endswith("}"):
        raise ValueError
    ends = [start.start() for start in starts[1:]] + [len(body) - 1]
    return {start["key"]: _text_or_value(body[start.end() : end]) for start, end in zip(starts, ends, strict=True)}


def _text_or_value(written: str) -> JsonValue:
    written = written.strip()
    if len(written) > 1 and written[0] == written[-1] == '"':
        return _loads('"' + _ESCAPED.sub(lambda found: found[1] or '\\"', written[1:-1]) + '"')
    return _loads(written)


_RULES: tuple[Rule, ...] = (
    ("raw_newlines", _raw_newlines),
    ("code_fence", _fenced),
    ("trailing_comma", _trailing_comma),
    ("trailing_text", _trailing_text),
    ("missing_brace", _missing_brace),
)
_LAST_RULES: tuple[Rule, ...] = (("python_literal", _python_literal),)
