"""From the bytes of a file to a row, and what is said where they are none: what every form of a task set shares.

benchmarks/instance_files.py and benchmarks/task_repository.py read the forms.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue, ValidationError

from ostro.benchmarks.instance import Instance, InstanceError


def text_of(path: Path) -> str:
    """Return a file's text.

    Raises:
        InstanceError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InstanceError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise InstanceError(f"{path}: {error.strerror}") from error


def json_of(text: str, where: str) -> JsonValue:
    """Return what a JSON text says.

    Raises:
        InstanceError: it is none; the message names `where`.
    """
    try:
        value: JsonValue = json.loads(text)
    except json.JSONDecodeError as error:
        raise InstanceError(f"{where}: not JSON ({error.msg}, line {error.lineno} column {error.colno})") from error
    return value


def validated(row: JsonValue | Mapping[str, JsonValue], where: str) -> Instance:
    """Return the instance that a row describes.

    Raises:
        InstanceError: it describes none; the message names `where` and the key.
    """
    try:
        return Instance.model_validate(row)
    except ValidationError as error:
        said = problem_of(error, "row")
        raise InstanceError(f"{where}: {said}", mend="Compare with SWE-bench's row format.") from error


def problem_of(error: ValidationError, whole: str) -> str:
    """Say the first thing that is wrong with data, with its key; `whole` names the data where it has none."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or whole}: {first['msg']}"


def needs_extra(what: str) -> InstanceError:
    """Return the error about a package of `ostro[datasets]` that is not installed."""
    return InstanceError(f"{what} needs packages that are not installed", mend="pip install 'ostro[datasets]'")
