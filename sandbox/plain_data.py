"""Narrow values that came out of JSON or TOML: what has another shape than expected reads as empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast


def as_table(value: object) -> Mapping[str, object]:
    """Return `value` if it is an object, else an empty one."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[object]:
    """Return `value` if it is an array, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def text_of(value: object) -> str:
    """Return `value` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""
