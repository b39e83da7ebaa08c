"""What a CI job shows and hands on: step summary, annotations, outputs. The formats are those of GitHub Actions."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ostro.agent.errors import StorageError

SUMMARY_BYTES = 1024 * 1024
"""GitHub drops a larger step summary as a whole."""
MOST_ANNOTATIONS = 10
"""GitHub shows ten of a kind for each step."""
MESSAGE_CHARS = 4000
_COMMAND = re.compile(r"^(\s*):(?=:)", re.MULTILINE)
_CUT = "\n\n_[... cut: a step summary ends at 1 MiB ...]_\n"

Level = Literal["error", "warning", "notice"]


def annotation(level: Level, message: str, *, title: str = "") -> str:
    """Return the workflow command of an annotation; nothing in its texts can end it or begin another."""
    text = message[:MESSAGE_CHARS].replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    head = title[:200].replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    head = head.replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={head}::{text}" if head else f"::{level}::{text}"


def annotation_lines(level: Level, messages: Sequence[str], *, title: str = "") -> tuple[str, ...]:
    """Return the annotations that GitHub shows; the last of them says how many more there were."""
    shown = list(messages[:MOST_ANNOTATIONS])
    if len(messages) > MOST_ANNOTATIONS:
        left_out = len(messages) - MOST_ANNOTATIONS + 1
        shown[-1] = f"{left_out} more are in the step's summary and in the files of the run."
    return tuple(annotation(level, message, title=title) for message in shown)


def inert_log_line(text: str) -> str:
    """Return text of somebody else's for a job's log: no line of it can be a workflow command.

    The runner takes `::` for one at the start of a line, `##[` anywhere (actions/runner, ActionCommand.cs).
    """
    return _COMMAND.sub("\\1:\u200b", text.replace("\r", " ")).replace("##[", "#\u200b#[")


def write_summary(path: Path | None, text: str) -> None:
    """Write the step summary, cut to what GitHub takes.

    Raises:
        StorageError: the file cannot be written.
    """
    if path is None:
        return
    data = text.encode("utf-8", "replace")
    if len(data) > SUMMARY_BYTES:
        data = data[: SUMMARY_BYTES - len(_CUT.encode())].decode("utf-8", "ignore").encode() + _CUT.encode()
    _write(path, data, mode="wb")


def write_outputs(path: Path | None, outputs: Mapping[str, str]) -> None:
    """Add the step's outputs; a value with line breaks gets a delimiter that nobody can guess.

    Raises:
        StorageError: the file cannot be written.
    """
    if path is None:
        return
    lines: list[str] = []
    for name, value in outputs.items():
        delimiter = f"end-{secrets.token_hex(16)}"
        lines.append(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
    _write(path, "".join(lines).encode("utf-8", "replace"), mode="ab")


def _write(path: Path, data: bytes, *, mode: Literal["wb", "ab"]) -> None:
    try:
        with path.open(mode) as file:
            file.write(data)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
