"""The lines of the event log, as pure functions: an event becomes a line, and bytes of a log become records again.

A line is the event's JSON with `seq`, `ts` (UTC), `mono` (seconds since the start) and `sum`: the first 16 hex
digits of sha256 over the previous line's `sum` and this line's JSON without `sum`. agent/record/trajectory.py does
the reading and writing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ostro.agent.errors import StorageError
from ostro.agent.record.events import EVENT, SCHEMA, Event

SUM_DIGITS = 16

_MARK = ',"sum":"'
_END_OF_RECORD = re.compile(rf'{_MARK}[0-9a-f]{{{SUM_DIGITS}}}"}}'.encode())


class TrajectoryError(StorageError):
    """A log that cannot be read; `kind` is `damaged`, `schema` (of another version) or `storage_error`."""


@dataclass(frozen=True)
class Record:
    """One event and where its line stands.

    Attributes:
        digest: its checksum, which the next line's covers.
        raw: the line without its newline.
        end: offset in the log of what follows.
    """

    event: Event
    digest: str
    raw: bytes
    end: int


def seal(event: Event, previous: str) -> tuple[bytes, str]:
    """Return the line of an event, newline included, and its checksum.

    Args:
        event: with its `seq` and times.
        previous: checksum of the line before; "" for the first.
    """
    body = event.model_dump_json().encode("utf-8", "replace")
    digest = _checksum(previous, body)
    return b'%s%s%s"}\n' % (body[:-1], _MARK.encode(), digest.encode()), digest


def records(data: bytes, path: Path) -> Iterator[Record]:
    """Yield the records of a log, each once, in order.

    What follows the last good record and is no record, as a crash of the machine leaves it, is left out: a line that
    was cut off, zeros, bytes without a newline. A record that lacks only its newline is good. A line that stands
    twice in a row was written twice, and counts once.

    Args:
        data: the whole log.
        path: of the log, for messages.

    Raises:
        TrajectoryError: a line is damaged, or of a version that this one does not read; it names line and `seq`.
    """
    before: Record | None = None
    start = number = seq = 0
    while start < len(data):
        number += 1
        newline = data.find(b"\n", start)
        if newline < 0:
            yield from _last_record(data, start, before, f"{path}, line {number} (seq {seq})")
            return
        raw = data[start:newline]
        start = newline + 1
        if before is not None and raw == before.raw:
            continue
        if start == len(data) and b"\0" in raw:
            return  # a block that never reached the disk; JSON has no such byte
        before = _record(raw, before, start, f"{path}, line {number} (seq {seq})", seq)
        seq += 1
        yield before


def _last_record(data: bytes, start: int, before: Record | None, where: str) -> Iterator[Record]:
    """Yield the record at the head of a last line without newline, if there is a whole one that is new."""
    for found in _END_OF_RECORD.finditer(data, start):
        raw = data[start : found.end()]
        if before is not None and raw == before.raw:
            return
        if _body(raw, before.digest if before else "") is not None:
            yield _record(raw, before, found.end(), where, before.event.seq + 1 if before else 0)
            return


def _record(raw: bytes, before: Record | None, end: int, where: str, seq: int) -> Record:
    body = _body(raw, before.digest if before else "")
    if body is None:
        raise TrajectoryError(
            f"{where}: the record is damaged, its checksum does not fit",
            kind="damaged",
            mend="The records before it are whole; the log cannot be continued.",
        )
    data: dict[str, Any] = json.loads(body)
    event = _event(data, where)
    if event.seq != seq:
        raise TrajectoryError(f"{where}: the record has seq {event.seq}", kind="damaged")
    return Record(event, raw[-SUM_DIGITS - 2 : -2].decode(), raw, end)


def _event(data: dict[str, Any], where: str) -> Event:
    version = data.get("schema_version", SCHEMA)
    if version != SCHEMA:
        by = data.get("ostro_version", "another version")
        raise TrajectoryError(
            f"{where}: written with schema {version} by ostro {by}, this version reads schema {SCHEMA}",
            kind="schema",
            mend=f"Use ostro {by} to read it.",
        )
    try:
        return EVENT.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise TrajectoryError(
            f"{where}: an event that this version does not know: {place}: {first['msg']}",
            kind="schema",
            mend="Use the version of ostro that wrote it.",
        ) from error


def _body(raw: bytes, previous: str) -> bytes | None:
    """Return the JSON that a line's checksum covers, None where the checksum does not fit."""
    body, mark, tail = raw.rpartition(_MARK.encode())
    body += b"}"
    return body if mark and tail == f'{_checksum(previous, body)}"}}'.encode() else None


def _checksum(previous: str, body: bytes) -> str:
    return hashlib.sha256(previous.encode() + body).hexdigest()[:SUM_DIGITS]
