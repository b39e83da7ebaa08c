"""Whose a sandbox is: a process, named by its pid and start time, on labels in an engine and in a file of its folder.

A process is judged only from where pid and start time mean something: the same boot and the same pid namespace. What
cannot be judged is taken for alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ostro.sandbox.protocol import SandboxError

LABEL = "ostro"
OWNER_FILE = "owner.json"
_LOCK = ".lock"


@dataclass(frozen=True)
class Owner:
    """The process that a sandbox belongs to.

    Attributes:
        pid: process id in its pid namespace.
        started: its start time as the system gives it, so that a reused pid is told apart.
        boot: id of this boot of the machine.
        pid_namespace: where `pid` is valid; two ostros in two containers share the boot id but not the pids.
        host: short digest naming the machine; with another `boot` it proves that the owner is dead.
    """

    pid: int
    started: str
    boot: str
    pid_namespace: str
    host: str

    def labels(self) -> dict[str, str]:
        """Return the labels that name this owner on a container or volume."""
        return {
            f"{LABEL}.owner": f"{self.pid}:{self.started}",
            f"{LABEL}.boot": self.boot,
            f"{LABEL}.pidns": self.pid_namespace,
            f"{LABEL}.host": self.host,
        }

    @staticmethod
    def from_labels(labels: Mapping[str, str]) -> Owner | None:
        """Read an owner back; None when a label is missing or damaged."""
        pid, _, started = labels.get(f"{LABEL}.owner", "").partition(":")
        rest = [labels.get(f"{LABEL}.{name}", "") for name in ("boot", "pidns", "host")]
        if not pid.isdigit() or not started or not all(rest):
            return None
        return Owner(int(pid), started, *rest)


def current_owner() -> Owner:
    """Return this process as an owner."""
    pid = os.getpid()
    return Owner(pid, start_time(pid) or "unknown", _boot_id(), _pid_namespace(), _host_id())


def owner_is_dead(owner: Owner, here: Owner) -> bool:
    """Whether `owner` has certainly ended, seen from the process `here`; False also where it cannot be known."""
    if owner.boot != here.boot:
        return owner.host == here.host
    if owner.pid_namespace != here.pid_namespace:
        return False
    return start_time(owner.pid) != owner.started


def claim(folder: Path) -> None:
    """Make `folder` (a state folder under OSTRO_HOME/sandboxes) this process's own.

    Raises:
        SandboxError: `unavailable`, another process that lives has it.
    """
    here = current_owner()
    with locked(folder.parent):
        folder.mkdir(parents=True, exist_ok=True)
        other = read_owner(folder)
        if other is not None and other != here and not owner_is_dead(other, here):
            raise SandboxError(
                f"The sandbox {folder.name} is in use by process {other.pid}.",
                kind="unavailable",
                mend="Wait for it, or end it.",
            )
        note_owner(folder)


def note_owner(folder: Path) -> None:
    """Write into a folder that it is this process's."""
    (folder / OWNER_FILE).write_text(json.dumps(asdict(current_owner())) + "\n", encoding="utf-8")


def read_owner(folder: Path) -> Owner | None:
    """Return whose a folder is; None when it does not say, or is a link."""
    try:
        fields = json.loads((folder / OWNER_FILE).read_text(encoding="utf-8"))
        return Owner(**fields) if not folder.is_symlink() else None
    except (OSError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def locked(sandboxes: Path) -> Generator[None]:
    """Hold the lock under which folders change owners or go away."""
    sandboxes.mkdir(parents=True, exist_ok=True)
    with (sandboxes / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def start_time(pid: int) -> str | None:
    """Return when process `pid` started, None when there is none; a zombie has ended."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]  # proc(5): state is field 3, starttime field 22
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip().replace(" ", "_") or None


def _boot_id() -> str:
    if sys.platform == "linux":
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    done = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "host"  # no namespaces on this system


def _host_id() -> str:
    machine = ""
    with contextlib.suppress(OSError):
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    return hashlib.sha256(f"{machine}:{platform.node()}".encode()).hexdigest()[:16]
