"""One process of Ostro in which the n-th system call of a kind fails: what rows L06 and L07 are driven by.

The failure is made where Python meets the system: functions of `os`, and audit events where those see more. Files
that Python opens itself go through `_pyio`, which calls `os.write` for every one of them.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import io
import os
import stat
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Failure:
    """Which call is to fail.

    Attributes:
        kind: `write`, `fsync` (and fdatasync), `rename` (and replace), `open` (for writing) or `spawn` (of a process).
        number: the how manieth of its kind, from 1.
        error: name of the error, as in `errno`.
        mark: a file that is made when it fails; a process that ends without it met no failure.
    """

    kind: str
    number: int
    error: str
    mark: str


class Failing:
    """Counts the calls of one kind in this process, and fails one."""

    def __init__(self, failure: Failure) -> None:
        self._left = failure.number
        self._code = getattr(errno, failure.error)
        self._mark = Path(failure.mark)
        self._lock = threading.Lock()
        self._install(failure.kind)

    def _count(self) -> None:
        """Count one call.

        Raises:
            OSError: it is the n-th.
        """
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return
        os.close(os.open(self._mark, os.O_RDONLY | os.O_CREAT, 0o600))
        raise OSError(self._code, os.strerror(self._code))

    def _wrapped(self, call: Callable[..., Any], wanted: Callable[..., bool]) -> Callable[..., Any]:
        """Return `call`, which fails in its turn; calls that are not `wanted` do not count."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if wanted(*args):
                self._count()
            return call(*args, **kwargs)

        return wrapper

    def _install(self, kind: str) -> None:
        if kind == "open":
            sys.addaudithook(self._on_open)
        elif kind == "spawn":
            sys.addaudithook(self._on_spawn)
        elif kind == "write":
            builtins.open = io.open = importlib.import_module("_pyio").open
            os.write = self._wrapped(os.write, is_file)
        else:
            for name in ("fsync", "fdatasync") if kind == "fsync" else ("rename", "replace"):
                setattr(os, name, self._wrapped(getattr(os, name), lambda *_: True))

    def _on_open(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and args[2] & WRITING and not str(args[0]).startswith(("/dev/", "/proc/", str(self._mark))):
            self._count()

    def _on_spawn(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            self._count()


def is_file(descriptor: int, *_: object) -> bool:
    """Whether a file is written, not a pipe to a process or a socket."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)
