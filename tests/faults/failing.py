"""A command of Ostro in whose process the n-th system call of a kind fails: what rows L06 and L07 are driven by.

    python tests/faults/failing.py write 3 ENOSPC MARK run --repo . ...

The failure is made where Python meets the system: functions of `os`, and audit events where those see more. Files
that Python opens itself go through `_pyio`, which calls `os.write` for every one of them. `MARK` is a file that is
there after the failure was made; a command that ends without it met none.
"""

from __future__ import annotations

import _pyio
import builtins
import errno
import io
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

KINDS = ("write", "fsync", "rename", "open", "spawn")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Failing:
    """Counts the calls of one kind, and fails the n-th."""

    def __init__(self, number: int, code: int, mark: Path) -> None:
        self._left = number
        self._code = code
        self._mark = mark
        self._lock = threading.Lock()

    def count(self) -> None:
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

    def wrapped(self, call: Callable[..., Any], wanted: Callable[..., bool]) -> Callable[..., Any]:
        """Return `call`, which fails in its turn; calls that are not `wanted` do not count."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if wanted(*args):
                self.count()
            return call(*args, **kwargs)

        return wrapper

    def install(self, kind: str) -> None:
        """Make the calls of `kind` count from now on."""
        if kind == "open":
            sys.addaudithook(self._on_open)
        elif kind == "spawn":
            sys.addaudithook(self._on_spawn)
        elif kind == "write":
            builtins.open = io.open = _pyio.open  # type: ignore[assignment]
            os.write = self.wrapped(os.write, is_file)
        else:
            for name in ("fsync", "fdatasync") if kind == "fsync" else ("rename", "replace"):
                setattr(os, name, self.wrapped(getattr(os, name), lambda *_: True))

    def _on_open(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and args[2] & WRITING and not str(args[0]).startswith(("/dev/", "/proc/", str(self._mark))):
            self.count()

    def _on_spawn(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            self.count()


def is_file(descriptor: int, *_: object) -> bool:
    """Whether a file is written, not a pipe to a process or a socket."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def main() -> None:
    """Install the failure and run the command."""
    kind, number, code, mark, *arguments = sys.argv[1:]
    from ostro.cli.main import main as ostro

    sys.argv = ["ostro", *arguments]
    Failing(int(number), getattr(errno, code), Path(mark)).install(kind)
    ostro(arguments)


if __name__ == "__main__":
    main()
