"""The event log of a run: append-only, one typed event a line, each flushed before its effect is relied on.

`trajectory.jsonl` is the only truth: viewer, report, replay, resume and statistics read it (docs/trajectory.md).
A line is the event's JSON with `seq`, `ts` (UTC), `mono` (seconds since the start) and `sum`: the first 16 hex
digits of sha256 over the previous line's `sum` and this line's JSON without `sum`.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from ostro.agent.errors import StorageError
from ostro.agent.interruption import kept_back
from ostro.agent.record.events import EVENT, SCHEMA, Event

FULL = (errno.ENOSPC, errno.EDQUOT)
SUM_DIGITS = 16
LARGE_TEXT = 16_384
"""Characters from which a text is stored beside the log, compressed, instead of in it."""


def _checksum(previous: str, body: str) -> str:
    return hashlib.sha256((previous + body).encode("utf-8", "surrogatepass")).hexdigest()[:SUM_DIGITS]


class TrajectoryWriter:
    """Appends events to one log; holds its lock for as long as it is open.

    Usage:
        with TrajectoryWriter(folder / "trajectory.jsonl", listener) as log:
            log.write(Noted(kind="warning", text="..."))

    Raises:
        StorageError: the log cannot be created, locked or written. A failed fsync is final: what the disk holds
            is unknown from then on, so it is not retried.
    """

    def __init__(self, path: Path, listener: Callable[[Event], None] | None = None) -> None:
        self.path = path
        self._listener = listener
        self._previous = ""
        self._seq = 0
        self._start = time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise storage_error(error, path) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise StorageError(
                f"another process writes {path}", kind="locked", mend="Wait for it to end, or choose another folder."
            ) from error

    @classmethod
    def reopen(cls, path: Path, listener: Callable[[Event], None] | None = None) -> Self:
        """Open an existing log to append to it, its chain continued.

        Raises:
            TrajectoryError: the log is damaged.
        """
        writer = cls(path, listener)
        try:
            for event, digest in _chain(path):
                writer._seq, writer._previous = event.seq + 1, digest
                writer._start = time.monotonic() - event.mono
        except TrajectoryError:
            writer.close()
            raise
        return writer

    def write(self, event: Event) -> Event:
        """Append one event, make it durable, tell the listener, and return it as written."""
        event = event.model_copy(
            update={
                "seq": self._seq,
                "ts": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "mono": round(time.monotonic() - self._start, 4),
            }
        )
        body = event.model_dump_json()
        digest = _checksum(self._previous, body)
        line = f'{body[:-1]},"sum":"{digest}"}}\n'.encode("utf-8", "replace")
        with kept_back():
            self._append(line)
            self._previous = digest
            self._seq += 1
        if self._listener is not None:
            self._listener(event)
        return event

    def _append(self, line: bytes) -> None:
        try:
            _write_all(self._fd, line)
            os.fdatasync(self._fd)
        except OSError as error:
            raise storage_error(error, self.path) from error

    def store(self, name: str, text: str) -> str:
        """Keep a large text beside the log, compressed; return its name relative to the log's folder."""
        relative = f"outputs/{name}.txt.gz"
        target = self.path.parent / relative
        try:
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(gzip.compress(text.encode("utf-8", "replace"), compresslevel=5, mtime=0))
        except OSError as error:
            raise storage_error(error, target) from error
        return relative

    def close(self) -> None:
        """Release the lock; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def is_disk_trouble(error: BaseException) -> bool:
    """Whether an exception says that a disk of this machine is full, read-only or failing."""
    return isinstance(error, OSError) and error.errno in (*FULL, errno.EROFS, errno.EIO)


def storage_error(error: OSError, path: Path) -> StorageError:
    """Turn an OSError about `path` into the tree's error; a full disk has its own kind."""
    full = error.errno in FULL
    mend = "Free some room (`ostro clean` shows what can go)." if full else "Check the folder's permissions and disk."
    reason = error.strerror or str(error)
    return StorageError(f"cannot write {path}: {reason}", kind="disk_full" if full else "storage_error", mend=mend)


class TrajectoryError(StorageError):
    """A log that cannot be read: a broken line before the last, a wrong checksum, an unknown version."""


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a log, checking the chain; a torn last line is left out.

    Raises:
        TrajectoryError: the record at a line is damaged, or written by a newer schema.
    """
    return (event for event, _ in _chain(path))


def _chain(path: Path) -> Iterator[tuple[Event, str]]:
    previous = ""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise TrajectoryError(f"cannot read {path}: {error.strerror}", kind="storage_error") from error
    for number, raw in enumerate(lines, start=1):
        if not raw:
            continue
        torn = number == len(lines)
        try:
            event, previous = _read_line(raw, previous)
        except (ValueError, ValidationError) as error:
            if torn:
                return
            raise TrajectoryError(f"{path}, line {number}: {error}", kind="damaged") from error
        yield event, previous


def _read_line(raw: bytes, previous: str) -> tuple[Event, str]:
    text = raw.decode("utf-8")
    body, separator, tail = text.rpartition(',"sum":"')
    digest = tail.removesuffix('"}')
    if not separator or not tail.endswith('"}') or digest != _checksum(previous, body + "}"):
        raise ValueError("the checksum does not fit")
    data: dict[str, Any] = json.loads(body + "}")
    version = data.get("schema_version", SCHEMA)
    if version != SCHEMA:
        raise ValueError(f"written with schema {version}, this version reads {SCHEMA}")
    return EVENT.validate_python(data), digest
