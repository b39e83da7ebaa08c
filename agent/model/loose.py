"""Reading JSON whose shape nobody guarantees: each function returns what was asked for, or an empty one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeGuard


def parse(text: str | bytes) -> object:
    """Decode JSON.

    Raises:
        ValueError: it is none, or nested deeper than any honest answer.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a decoded value is a JSON object."""
    return isinstance(value, Mapping)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a decoded value is a JSON array."""
    return isinstance(value, list)


def mapping(value: object) -> Mapping[str, Any]:
    """Return a JSON object as a mapping, an empty one for anything else."""
    return value if is_object(value) else {}


def items(value: object) -> list[Any]:
    """Return a JSON array as a list, an empty one for anything else."""
    return value if is_array(value) else []


def string(value: object) -> str:
    """Return a JSON string, "" for anything else."""
    return value if isinstance(value, str) else ""


def count(value: object) -> int:
    """Return a whole number from 0 up, 0 for anything else."""
    return max(0, int(value)) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def dollars(value: object) -> float | None:
    """Return an amount given as number or text, None for anything else."""
    try:
        amount = float(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return None
    return amount if amount is not None and 0 <= amount < float("inf") else None
