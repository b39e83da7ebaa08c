"""One process a run folder: held from the first write of a session to its last.

The kernel's lock on `run.lock` decides (flock: it goes with the process, however that ends), so a file that a crash
left behind, or that somebody made up, holds nobody off. What the file says is for people and messages only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from ostro.agent.errors import UsageError
from ostro.agent.record.trajectory import storage_error
from ostro.sandbox.owner import Owner, current_owner, owner_is_dead

LOCK_FILE = "run.lock"

DOUBT_S = 1.0
"""How long to ask again where the file names nobody alive: its holder is about to write its name, or only looks."""


@dataclass(frozen=True)
class Holder:
    """Who works on a run folder.

    Attributes:
        owner: the process, in terms that tell a reused pid from it.
        machine: name of its machine.
        since: when it began, UTC.
    """

    owner: Owner
    machine: str
    since: str

    def __str__(self) -> str:
        return f"process {self.owner.pid} on {self.machine}, since {self.since}"

    @staticmethod
    def here() -> Holder:
        """Return this process as a holder."""
        return Holder(current_owner(), platform.node(), datetime.now(UTC).isoformat(timespec="seconds"))

    @staticmethod
    def parse(text: str) -> Holder | None:
        """Read what a lock file says; None where it says nothing that we wrote."""
        try:
            fields = json.loads(text)
            return Holder(Owner(**fields["owner"]), str(fields["machine"]), str(fields["since"]))
        except (ValueError, TypeError, KeyError):
            return None


class RunLock:
    """The right to work on a run folder, for the length of a `with` block.

    Usage:
        with RunLock(folder):
            ...

    Raises:
        UsageError: kind `locked`: another process works on it; the message names it.
        StorageError: the lock file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_FILE
        self._fd = -1

    def __enter__(self) -> Self:
        deadline = time.monotonic() + DOUBT_S
        try:
            while (taken := _take(self._path)) is None:
                holder = _living_holder(self._path)
                if holder is not None or time.monotonic() > deadline:
                    raise _locked(self._path, holder)
                time.sleep(0.02)
            self._fd = taken
            os.ftruncate(self._fd, 0)
            os.write(self._fd, (json.dumps(asdict(Holder.here())) + "\n").encode())
        except OSError as error:
            self._release()
            raise storage_error(error, self._path) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the folder may be gone, or the disk
            self._path.unlink()
        self._release()

    def _release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def refuse_held(folder: Path) -> None:
    """Do nothing if no process works on the folder.

    Raises:
        UsageError: as `RunLock`.
    """
    if is_held(folder):
        path = folder / LOCK_FILE
        raise _locked(path, _living_holder(path))


def is_held(folder: Path) -> bool:
    """Whether some process works on the run folder."""
    try:
        with (folder / LOCK_FILE).open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _take(path: Path) -> int | None:
    """Return the locked file, None where another has it or its name is gone, for a holder that ends removes it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.lstat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _living_holder(path: Path) -> Holder | None:
    """Return who the file says holds it; None where that process is dead, or nothing of ours is in the file."""
    try:
        holder = Holder.parse(path.read_text("utf-8", "replace"))
    except OSError:
        return None
    return None if holder is None or owner_is_dead(holder.owner, current_owner()) else holder


def _locked(path: Path, holder: Holder | None) -> UsageError:
    return UsageError(
        f"{path.parent} is in use by {holder or 'another process'}",
        kind="locked",
        mend="Wait for it to end, or choose another folder.",
    )
