"""Watch what a sandbox uses, where nothing stronger does it: memory of its processes, size of its workspace.

A look costs milliseconds and happens twice a second while a command runs long (sandbox/exchange.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

MEMORY = "ended: the memory limit of the sandbox was passed"
DISK = "ended: the disk limit of the workspace was passed"
DISK_FULL = "the disk limit of the workspace is passed: make room, commands that write more are ended"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MOST_FILES = 20_000
"""Files counted in one turn; the size of a larger workspace is judged by the free space alone."""
SELDOM_S = 10.0
OFTEN_S = 0.25
COUNTING_SHARE = 0.05
"""Of the time that goes into counting: what others on the disk remove meanwhile hides what is written here."""


class DiskWatch:
    """Bounds a workspace: looks at the free space, and counts when that may have passed the limit, or now and then.

    What others write to the same disk only makes it count too often, but where counting is not possible: there the
    free space alone is judged.

    Args:
        limit_bytes: what the workspace may take.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._counted: int | None = None
        self._free_then = 0
        self._count_again = 0.0

    def passed(self, free_bytes: int | None, count: Callable[[], int | None]) -> bool:
        """Whether the workspace is over its limit and did not shrink since the last look: clearing up may go on.

        Args:
            free_bytes: left on its disk; None where that is unknown just now.
            count: returns the bytes that it takes; None where they cannot be counted.
        """
        if free_bytes is None:
            return False
        before = self._counted
        estimate = (before or 0) + (self._free_then - free_bytes if before is not None else 0)
        started = time.monotonic()
        if before is not None and estimate <= self._limit_bytes and started < self._count_again:
            return False
        counted = count()
        ended = time.monotonic()
        self._counted = estimate if counted is None else counted
        self._free_then = free_bytes
        self._count_again = ended + min(SELDOM_S, max(OFTEN_S, (ended - started) / COUNTING_SHARE))
        return self._counted > self._limit_bytes and (before is None or self._counted >= before)


def memory_bytes(first: int | None) -> int:
    """Return what a process and all its descendants occupy alone; 0 when it is gone.

    Args:
        first: process id, on the host, of a sandbox's first process.
    """
    return sum(map(resident_bytes, processes_below(first))) if first is not None else 0


def free_bytes(folder: Path) -> int | None:
    """Return how much room a folder's disk has for a plain user, None when the folder is gone."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def processes_below(first: int) -> list[int]:
    """Return the process ids of a process and all its descendants."""
    found = [first]
    for pid in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def resident_bytes(pid: int) -> int:
    """Return the memory that a process occupies alone: resident pages without the shared ones; 0 when gone."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(resident) - int(shared)) * PAGE_BYTES


def tree_bytes(folder: Path) -> int | None:
    """Return the disk space of the files below a folder, following no link; None when not all can be seen."""
    total = looked = 0
    pending = [str(folder)]
    while pending and looked < MOST_FILES:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            try:
                entries = os.scandir(pending.pop())
            except PermissionError:
                return None
            with entries:
                for entry in entries:
                    looked += 1
                    with contextlib.suppress(OSError):
                        total += 512 * entry.stat(follow_symlinks=False).st_blocks
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
    return None if pending else total


def interrupt(first: int | None) -> None:
    """Ask a sandbox's first process to kill everything else inside (SIGUSR1)."""
    if first is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(first, signal.SIGUSR1)


def kill_below(first: int) -> None:
    """Kill a process and all its descendants, where no namespace does it.

    Stopped first, from the top, so that none can start another while the list is made.
    """
    stopped: list[int] = []
    while fresh := [pid for pid in processes_below(first) if pid not in stopped]:
        for pid in fresh:
            _send(pid, signal.SIGSTOP)
        stopped += fresh
    for pid in reversed(stopped):
        _send(pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
