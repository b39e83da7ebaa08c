"""Remove what a crashed ostro left behind: containers and volumes with our label, folders of local sandboxes.

Runs at the next start of any ostro. An owner is a process: named by its pid and start time, and judged only from
where these mean something: the same boot and the same pid namespace. Whatever cannot be judged is left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ostro.sandbox.protocol import SandboxError

if TYPE_CHECKING:
    from ostro.sandbox.docker_engine import Engine, Labelled

LABEL = "ostro"
OWNER_FILE = "owner.json"
MARKS = ".orphans"
DEFAULT_GRACE_S = 60.0


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


@dataclass(frozen=True)
class Reaped:
    """What one pass removed, by name."""

    containers: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()


def current_owner() -> Owner:
    """Return this process as an owner."""
    pid = os.getpid()
    return Owner(pid, _start_time(pid) or "unknown", _boot_id(), _pid_namespace(), _host_id())


def owner_is_dead(owner: Owner, here: Owner) -> bool:
    """Whether `owner` has certainly ended, seen from the process `here`; False also where it cannot be known."""
    if owner.boot != here.boot:
        return owner.host == here.host
    if owner.pid_namespace != here.pid_namespace:
        return False
    return _start_time(owner.pid) != owner.started


def write_owner(folder: Path) -> None:
    """Mark `folder` (a local sandbox under OSTRO_HOME/sandboxes) as this process's."""
    (folder / OWNER_FILE).write_text(json.dumps(asdict(current_owner())) + "\n", encoding="utf-8")


def reap(sandboxes: Path, *, grace_s: float = DEFAULT_GRACE_S, spare: Collection[str] = ()) -> Reaped:
    """Remove every leftover that can be reached: folders, and containers where an engine answers.

    Args:
        sandboxes: OSTRO_HOME/sandboxes, the parent of the state folders.
        grace_s: how long an orphan is left alone, so that a resumed run can take it over.
        spare: run ids whose sandboxes (named `ID` or `ID-...`) are not touched at all: this process resumes them.
    """
    from ostro.sandbox.docker_engine import Engine

    folders = reap_folders(sandboxes, grace_s=grace_s, spare=spare).folders
    try:
        engine = Engine.connect()
    except SandboxError:
        return Reaped(folders=folders)  # no engine, or not now: the containers wait for the next start
    with contextlib.closing(engine), contextlib.suppress(SandboxError):
        return replace(reap_engine(engine, sandboxes, grace_s=grace_s, spare=spare), folders=folders)
    return Reaped(folders=folders)


def reap_folders(sandboxes: Path, *, grace_s: float = DEFAULT_GRACE_S, spare: Collection[str] = ()) -> Reaped:
    """Remove the folders under `sandboxes` whose owner file names a dead process, once past the grace.

    A folder without a readable owner file is not ours to judge and stays. Nothing follows symbolic links.
    """
    here = current_owner()
    removed: list[Path] = []
    for folder in sorted(sandboxes.iterdir()) if sandboxes.is_dir() else []:
        owner = _read_owner(folder)
        if owner is None or not owner_is_dead(owner, here) or _is_spared(folder.name, spare):
            continue
        if _past_grace(sandboxes, folder.name, grace_s):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return Reaped(folders=tuple(removed))


def reap_engine(
    engine: Engine, sandboxes: Path, *, grace_s: float = DEFAULT_GRACE_S, spare: Collection[str] = ()
) -> Reaped:
    """Remove containers and volumes with our label whose owner is dead, once past the grace.

    A container that no longer runs is past its grace by itself: its first process waits for it (sandbox/shell.py).
    A running one is removed when an earlier pass saw it without owner more than `grace_s` seconds ago.

    Raises:
        SandboxError: the engine does not answer.
    """
    here = current_owner()
    gone = [
        found
        for found in engine.containers({LABEL: ""})
        if _is_orphan(found, here, spare) and (not found.running or _past_grace(sandboxes, found.id, grace_s))
    ]
    containers = tuple(found.name for found in gone if engine.remove_container(found.id))
    orphaned = [found for found in engine.volumes({LABEL: ""}) if _is_orphan(found, here, spare)]
    volumes = tuple(found.name for found in orphaned if engine.remove_volume(found.name))
    return Reaped(containers=containers, volumes=volumes)


def _is_orphan(found: Labelled, here: Owner, spare: Collection[str]) -> bool:
    owner = Owner.from_labels(found.labels)
    spared = _is_spared(found.labels.get(f"{LABEL}.run", ""), spare)
    return owner is not None and owner_is_dead(owner, here) and not spared


def _is_spared(name: str, spare: Collection[str]) -> bool:
    return any(name == run_id or name.startswith(f"{run_id}-") for run_id in spare)


def _read_owner(folder: Path) -> Owner | None:
    try:
        fields = json.loads((folder / OWNER_FILE).read_text(encoding="utf-8"))
        return Owner(**fields) if not folder.is_symlink() else None
    except (OSError, ValueError, TypeError):
        return None


def _past_grace(sandboxes: Path, name: str, grace_s: float) -> bool:
    """Whether an earlier pass saw this orphan long enough ago; the first sight is kept as a file's time."""
    mark = sandboxes / MARKS / name
    try:
        first_seen = mark.stat().st_mtime
    except FileNotFoundError:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        first_seen = time.time()
    if time.time() - first_seen < grace_s:
        return False
    mark.unlink(missing_ok=True)
    return True


def _start_time(pid: int) -> str | None:
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
