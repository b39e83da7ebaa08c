"""Watch what an embedded sandbox uses, where no control group does it: memory of its processes, size of its workspace.

A look costs milliseconds and happens twice a second while a command runs long (sandbox/exchange.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from ostro.sandbox.protocol import Limits

MEMORY = "ended: the memory limit of the sandbox was passed"
DISK = "ended: the disk limit of the workspace was passed"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MOST_FILES = 20_000
"""Files looked at in one turn: the sum of a larger workspace is a lower bound."""


def overuse(first: int | None, workspace: Path, limits: Limits) -> str | None:
    """Return `MEMORY` or `DISK` when a limit is passed, else None.

    Args:
        first: process id, on the host, of the sandbox's first process.
        workspace: its workspace on the host.
        limits: of the sandbox.
    """
    if first is not None and sum(map(resident_bytes, processes_below(first))) > limits.memory_bytes:
        return MEMORY
    if tree_bytes(workspace) > limits.workspace_bytes:
        return DISK
    return None


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


def tree_bytes(folder: Path) -> int:
    """Return the disk space of the files below a folder, following no link."""
    total = looked = 0
    pending = [str(folder)]
    while pending and looked < MOST_FILES:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                looked += 1
                with contextlib.suppress(OSError):
                    total += 512 * entry.stat(follow_symlinks=False).st_blocks
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
    return total


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
