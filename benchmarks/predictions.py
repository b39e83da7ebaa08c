"""Predictions: patches that some agent made, in the shapes that swebench reads and writes.

JSON lines of objects, a JSON list of them, or a JSON object by instance id (mini-swe-agent, SWE-agent). Each has
`instance_id`, `model_name_or_path` and `model_patch`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, field_validator

from ostro.agent.errors import UsageError
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.row_text import problem_of

GOLD = "gold"
"""In place of a file: the patches of the rows themselves. `null` likewise: an empty patch for each row."""

NULL = "null"


class PredictionError(UsageError):
    """A file of predictions cannot be used; the message says where and why."""


class Prediction(BaseModel):
    """One patch for one instance; `model_patch` is None or empty where the agent made none."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    instance_id: str
    model_name_or_path: str = ""
    model_patch: str | None

    @field_validator("model_patch")
    @classmethod
    def _is_bytes(cls, patch: str | None) -> str | None:
        try:
            (patch or "").encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise ValueError(f"character {error.start + 1} is half of a pair, which no file can hold") from error
        return patch

    @property
    def patch(self) -> bytes:
        """The patch as bytes; b"" for none. Bytes that were not UTF-8 survive as lone surrogates."""
        return (self.model_patch or "").encode("utf-8", "surrogateescape")


class Predictions(BaseModel):
    """What a file holds for a task set.

    Attributes:
        by_id: the predictions of instances that are in the task set.
        unknown: ids that are not in it, in their order; they are left aside, and said.
        null: how many have no patch.
    """

    model_config = ConfigDict(frozen=True)

    by_id: dict[str, Prediction]
    unknown: tuple[str, ...] = ()
    null: int = 0


def read_predictions(source: Path | str, instances: Collection[Instance]) -> Predictions:
    """Read a file of predictions, or take the rows' own patches (`gold`) or none (`null`).

    Raises:
        PredictionError: the file cannot be read, an entry is not a prediction, an id comes twice, or none of the
            ids is in the task set.
    """
    if str(source) in (GOLD, NULL) and not Path(source).exists():
        found = [
            Prediction(
                instance_id=one.instance_id,
                model_name_or_path=str(source),
                model_patch=one.patch if str(source) == GOLD else "",
            )
            for one in instances
        ]
    else:
        found = list(_read(Path(source)))
    if not found:
        raise PredictionError(f"{source}: holds no prediction", mend="Name a .jsonl or .json file, gold or null.")
    known = {one.instance_id for one in instances}
    by_id: dict[str, Prediction] = {}
    for one in found:
        if one.instance_id in by_id:
            raise PredictionError(f"{source}: {one.instance_id} is predicted twice", mend="Keep one of the two.")
        by_id[one.instance_id] = one
    unknown = tuple(one for one in by_id if one not in known)
    if len(unknown) == len(by_id):
        raise PredictionError(f"{source}: none of its {len(by_id)} ids is in the task set", mend="Check --tasks.")
    kept = {key: value for key, value in by_id.items() if key in known}
    return Predictions(by_id=kept, unknown=unknown, null=sum(not one.patch.strip() for one in kept.values()))


def write_predictions(predictions: Iterable[Prediction], path: Path, shape: Literal["jsonl", "json"] = "jsonl") -> None:
    """Write predictions as JSON lines, or as one JSON object by instance id."""
    rows = [one.model_dump() for one in predictions]
    if shape == "json":
        text = json.dumps({row["instance_id"]: row for row in rows}, indent=2)
    else:
        text = "\n".join(json.dumps(row) for row in rows)
    path.write_text(text + "\n", encoding="utf-8")


def _read(path: Path) -> Iterator[Prediction]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PredictionError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise PredictionError(f"{path}: {error.strerror}", mend="Name a .jsonl or .json file, gold or null.") from error
    if path.suffix == ".json":
        yield from _document(_json(text, str(path)), str(path))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _prediction(_json(line, f"{path}:{number}"), f"{path}:{number}")


def _document(document: JsonValue, where: str) -> Iterator[Prediction]:
    if isinstance(document, list):
        for number, entry in enumerate(document, start=1):
            yield _prediction(entry, f"{where} (entry {number})")
    elif isinstance(document, dict):
        for key, entry in document.items():
            told = {"instance_id": key, **entry} if isinstance(entry, dict) else entry
            one = _prediction(told, f"{where} ({key})")
            if one.instance_id != key:
                raise PredictionError(f"{where} ({key}): holds the prediction of {one.instance_id}")
            yield one
    else:
        raise PredictionError(f"{where}: neither a list nor an object of predictions")


def _json(text: str, where: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except json.JSONDecodeError as error:
        raise PredictionError(f"{where}: not JSON ({error.msg}, line {error.lineno} column {error.colno})") from error
    return value


def _prediction(entry: JsonValue, where: str) -> Prediction:
    try:
        return Prediction.model_validate(entry)
    except ValidationError as error:
        raise PredictionError(
            f"{where}: {problem_of(error, 'entry')}", mend="Each needs instance_id, model_name_or_path and model_patch."
        ) from error
