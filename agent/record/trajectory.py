"""The event log of a run: append-only, one typed event a line, each flushed before its effect is relied on.

`trajectory.jsonl` is the only truth: viewer, report, replay, resume and statistics read it (docs/trajectory.md).
agent/record/chain.py says what a line is.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from ostro.agent.errors import StorageError
from ostro.agent.interruption import kept_back
from ostro.agent.record.chain import TrajectoryError, records, seal
from ostro.agent.record.events import Event, Noted

__all__ = ["TrajectoryError", "TrajectoryWriter", "is_disk_trouble", "read_events", "storage_error"]

FULL = (errno.ENOSPC, errno.EDQUOT)


class TrajectoryWriter:
    """Appends events to one log; holds its lock for as long as it is open.

    Usage:
        with TrajectoryWriter(folder / "trajectory.jsonl", listener) as log:
            log.write(Noted(kind="warning", text="..."))

    Args:
        path: of the log.
        listener: told every event once it is on disk.
        existing: go on with a log, see `reopen`; otherwise there must be none.

    Raises:
        StorageError: the log cannot be created, locked or written. A failed write or fsync is final: what the disk
            holds is unknown from then on, so nothing is retried and every later write fails too.
    """

    def __init__(self, path: Path, listener: Callable[[Event], None] | None = None, *, existing: bool = False) -> None:
        self.path = path
        self._listener = listener
        self._previous = ""
        self._seq = 0
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._failed: OSError | None = None
        with _reported(path):
            if not existing:
                path.parent.mkdir(parents=True, exist_ok=True)
            created = 0 if existing else os.O_CREAT
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | created, 0o600)
        try:
            with _reported(path):
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if existing:
                    self._go_on()
                else:
                    self._begin()
        except BaseException:
            self.close()
            raise

    @classmethod
    def reopen(cls, path: Path, listener: Callable[[Event], None] | None = None) -> Self:
        """Open an existing log to append to it, its chain and its clock continued.

        What a crash left after the last good record is moved into `trajectory.jsonl.torn-<n>` beside the log, and a
        `noted` event (`torn_tail`, or `duplicate_record` for a record that was written twice) says so.

        Raises:
            TrajectoryError: the log is damaged, or of another schema; it is left as it is.
            StorageError: it is not there, another process writes it, or the disk fails.
        """
        return cls(path, listener, existing=True)

    def _begin(self) -> None:
        """Make sure that the log is new, and that its name survives a crash of the machine."""
        if os.fstat(self._fd).st_size:
            raise FileExistsError(errno.EEXIST, "it holds another log")
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _go_on(self) -> None:
        """Take up the chain behind the last good record; set aside what follows it, and say so."""
        data = _read(self.path)
        last = next(iter(deque(records(data, self.path), maxlen=1)), None)
        end = last.end if last else 0
        if last is not None:
            self._seq, self._previous = last.event.seq + 1, last.digest
            self._start = time.monotonic() - last.event.mono
        tail = data[end:]
        name = _set_aside(self.path, tail) if tail else ""
        if tail:
            os.ftruncate(self._fd, end)
        if end and data[end - 1 : end] != b"\n":
            _write_all(self._fd, b"\n")
        os.fsync(self._fd)
        if tail:
            twice = last is not None and tail.startswith(last.raw)
            kind, what = ("duplicate_record", "a copy of it") if twice else ("torn_tail", "no whole record")
            text = f"{len(tail)} bytes behind record {self._seq - 1} of the log, {what}, were set aside in {name}"
            self.write(Noted(kind=kind, text=text))

    def write(self, event: Event) -> Event:
        """Append one event, make it durable, tell the listener, and return it as written; from any thread."""
        with kept_back(), self._lock:
            event = event.model_copy(
                update={
                    "seq": self._seq,
                    "ts": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "mono": round(time.monotonic() - self._start, 4),
                }
            )
            line, digest = seal(event, self._previous)
            self._append(line)
            self._previous = digest
            self._seq += 1
        if self._listener is not None:
            self._listener(event)
        return event

    def _append(self, line: bytes) -> None:
        with _reported(self.path):
            if self._failed is not None:
                raise self._failed
            try:
                _write_all(self._fd, line)
                os.fdatasync(self._fd)
            except OSError as error:
                self._failed = error
                raise

    def store(self, name: str, text: str) -> str:
        """Keep a large text beside the log, compressed; return its name relative to the log's folder."""
        relative = f"outputs/{name}.txt.gz"
        target = self.path.parent / relative
        with _reported(target):
            target.parent.mkdir(exist_ok=True)
            _write_durably(target, gzip.compress(text.encode("utf-8", "replace"), compresslevel=5, mtime=0), "wb")
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


@contextmanager
def _reported(path: Path) -> Generator[None]:
    """Turn what the system says about a file into our error."""
    try:
        yield
    except BlockingIOError as error:
        raise StorageError(
            f"another process writes {path}", kind="locked", mend="Wait for it to end, or choose another folder."
        ) from error
    except OSError as error:
        raise storage_error(error, path) from error


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _write_durably(path: Path, data: bytes, mode: Literal["wb", "xb"]) -> None:
    with path.open(mode) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _set_aside(log: Path, tail: bytes) -> str:
    """Keep the bytes in a new file beside the log; return its name."""
    names = (log.with_name(f"{log.name}.torn-{number}") for number in count(1))
    target = next(name for name in names if not name.exists())
    _write_durably(target, tail, "xb")
    return target.name


def is_disk_trouble(error: BaseException) -> bool:
    """Whether an exception says that a disk of this machine is full, read-only or failing."""
    return isinstance(error, OSError) and error.errno in (*FULL, errno.EROFS, errno.EIO)


def storage_error(error: OSError, path: Path) -> StorageError:
    """Turn an OSError about `path` into the tree's error; a full disk has its own kind."""
    full = error.errno in FULL
    mend = "Free some room (`ostro clean` shows what can go)." if full else "Check the folder's permissions and disk."
    reason = error.strerror or str(error)
    return StorageError(f"cannot write {path}: {reason}", kind="disk_full" if full else "storage_error", mend=mend)


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a log, checking the chain; what a crash left after the last good record is left out.

    Raises:
        TrajectoryError: the record at a line is damaged, or written by another schema.
    """
    return (record.event for record in records(_read(path), path))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrajectoryError(f"cannot read {path}: {error.strerror}", kind="storage_error") from error
