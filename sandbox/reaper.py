"""Remove what a crashed ostro left behind: containers and volumes with our label, folders of sandboxes, scratch.

Runs at the next start of any ostro (agent/workshop.py). Whatever cannot be judged (sandbox/owner.py) is left alone, and
everything but scratch for a grace, in which a resumed run can take it over.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ostro.sandbox.owner import LABEL, Owner, current_owner, locked, owner_is_dead, read_owner
from ostro.sandbox.protocol import SandboxError
from ostro.sandbox.scratch import scratch_folders

if TYPE_CHECKING:
    from ostro.sandbox.docker_engine import Engine, Labelled

MARKS = ".orphans"
GONE = ".gone-"
"""Beginning of the name of a folder that is being removed."""

RUN_LABEL = f"{LABEL}.run"
FOLDER_LABEL = f"{LABEL}.folder"
DEFAULT_GRACE_S = 60.0
LONGEST_MARK_S = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Reaped:
    """What one pass removed, by name."""

    containers: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    scratch: tuple[Path, ...] = ()


def reap(sandboxes: Path, *, grace_s: float = DEFAULT_GRACE_S, spare: Collection[str] = ()) -> Reaped:
    """Remove every leftover that can be reached: folders, and containers where an engine answers.

    Args:
        sandboxes: OSTRO_HOME/sandboxes, the parent of the state folders.
        grace_s: how long an orphan is left alone, so that a resumed run can take it over.
        spare: run ids whose sandboxes (named `ID` or `ID-...`) are not touched at all: this process resumes them.
    """
    from ostro.sandbox.docker_engine import Engine

    found = replace(reap_folders(sandboxes, grace_s=grace_s, spare=spare), scratch=reap_scratch())
    try:
        engine = Engine.connect()
    except SandboxError:
        return found  # no engine, or not now: the containers wait for the next start
    with contextlib.closing(engine), contextlib.suppress(SandboxError):
        engines = reap_engine(engine, sandboxes, grace_s=grace_s, spare=spare)
        return replace(found, containers=engines.containers, volumes=engines.volumes)
    return found


def reap_folders(sandboxes: Path, *, grace_s: float = DEFAULT_GRACE_S, spare: Collection[str] = ()) -> Reaped:
    """Remove the folders under `sandboxes` whose owner file names a dead process, once past the grace.

    A folder without a readable owner file is not ours to judge and stays. Nothing follows symbolic links.
    """
    _forget_old_marks(sandboxes)
    removed: list[Path] = []
    for folder in sorted(sandboxes.iterdir()) if sandboxes.is_dir() else []:
        if folder.name.startswith(GONE):
            remove_tree(folder)
        elif _is_spared(folder.name, spare) or not _has_dead_owner(folder):
            _forget(sandboxes, folder.name)
        elif _past_grace(sandboxes, folder.name, grace_s) and (condemned := _put_aside(folder)):
            remove_tree(condemned)
            removed.append(folder)
    return Reaped(folders=tuple(removed))


def reap_scratch(place: Path | None = None) -> tuple[Path, ...]:
    """Remove the scratch folders of dead processes of this user; return them.

    Args:
        place: where to look; the system's temporary folder when None.
    """
    orphans = [folder for folder in scratch_folders(place) if _is_own(folder) and _has_dead_owner(folder)]
    for folder in orphans:
        remove_tree(folder)
    return tuple(orphans)


def reap_engine(
    engine: Engine, sandboxes: Path, *, grace_s: float = DEFAULT_GRACE_S, spare: Collection[str] = ()
) -> Reaped:
    """Remove containers and volumes with our label whose owner is dead, once past the grace.

    A container that no longer runs is past its grace by itself: its first process waits for it (sandbox/shell.py).
    A running one, and a volume, is removed when an earlier pass saw it without owner more than `grace_s` seconds ago.

    Raises:
        SandboxError: the engine does not answer.
    """

    def condemned(found: Labelled, *, at_once: bool = False) -> bool:
        if _is_spared(found.labels.get(RUN_LABEL, ""), spare) or not is_orphan(found):
            _forget(sandboxes, found.id)
            return False
        return at_once or _past_grace(sandboxes, found.id, grace_s)

    gone = [found for found in engine.containers({LABEL: ""}) if condemned(found, at_once=not found.running)]
    containers = tuple(found.name for found in gone if engine.remove_container(found.id))
    orphaned = [found for found in engine.volumes({LABEL: ""}) if condemned(found)]
    volumes = tuple(found.name for found in orphaned if engine.remove_volume(found.name))
    return Reaped(containers=containers, volumes=volumes)


def remove_orphans(engine: Engine, run_id: str, folder: Path) -> None:
    """Remove now what dead processes left on the engine of the sandbox whose folder is this process's.

    Raises:
        SandboxError: the engine does not answer.
    """

    def condemned(found: Labelled) -> bool:
        ours = found.labels.get(FOLDER_LABEL) == str(folder.absolute())
        return is_orphan(found) or (ours and _labelled_owner_is_dead(found))

    for container in filter(condemned, engine.containers({RUN_LABEL: run_id})):
        engine.remove_container(container.id)
    for volume in filter(condemned, engine.volumes({RUN_LABEL: run_id})):
        engine.remove_volume(volume.name)


def remove_run(run_id: str) -> None:
    """Remove now what dead processes left on the engine of all sandboxes of a run; what they use lives on.

    Raises:
        SandboxError: the engine does not answer.
    """
    from ostro.sandbox.docker_engine import Engine

    def condemned(found: Labelled) -> bool:
        return _is_spared(found.labels.get(RUN_LABEL, ""), (run_id,)) and is_orphan(found)

    with contextlib.closing(Engine.connect()) as engine:
        for container in filter(condemned, engine.containers({LABEL: ""})):
            engine.remove_container(container.id)
        for volume in filter(condemned, engine.volumes({LABEL: ""})):
            engine.remove_volume(volume.name)


def is_orphan(found: Labelled) -> bool:
    """Whether nobody owns a container or volume: the process that made it is dead, and none has taken it over.

    The labels cannot be changed; a process that takes over says so in the sandbox's folder on the host.
    """
    folder = found.labels.get(FOLDER_LABEL, "")
    return _labelled_owner_is_dead(found) and not (folder and _has_living_owner(Path(folder)))


def _labelled_owner_is_dead(found: Labelled) -> bool:
    owner = Owner.from_labels(found.labels)
    return owner is not None and owner_is_dead(owner, current_owner())


def remove_tree(folder: Path) -> None:
    """Remove a folder that a sandbox wrote, also where it took its own permissions away. Follows no link."""
    for parent, names, _ in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            if not path.is_symlink() and not os.access(path, os.R_OK | os.W_OK | os.X_OK):
                path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def forget_marks(sandboxes: Path, names: Collection[str]) -> None:
    """Begin the grace of these anew, for they have an owner again."""
    for name in names:
        _forget(sandboxes, name)


def _put_aside(folder: Path) -> Path | None:
    """Rename a folder out of reach of a process that would take it over; None when one has."""
    aside = folder.with_name(f"{GONE}{folder.name}")
    with locked(folder.parent):
        if not _has_dead_owner(folder):
            return None
        remove_tree(aside)
        return folder.rename(aside)


def _is_own(folder: Path) -> bool:
    """Whether nobody else could have made it: anybody can write there, and what a folder says of its owner too."""
    with contextlib.suppress(FileNotFoundError):
        return folder.lstat().st_uid == os.geteuid()
    return False


def _has_dead_owner(folder: Path) -> bool:
    owner = read_owner(folder)
    return owner is not None and owner_is_dead(owner, current_owner())


def _has_living_owner(folder: Path) -> bool:
    owner = read_owner(folder)
    return owner is not None and not owner_is_dead(owner, current_owner())


def _is_spared(name: str, spare: Collection[str]) -> bool:
    return any(name == run_id or name.startswith(f"{run_id}-") for run_id in spare)


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


def _forget(sandboxes: Path, name: str) -> None:
    (sandboxes / MARKS / name).unlink(missing_ok=True)


def _forget_old_marks(sandboxes: Path) -> None:
    """Remove the marks of what went away by itself."""
    for mark in (sandboxes / MARKS).glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another start is at it, too
            if time.time() - mark.stat().st_mtime > LONGEST_MARK_S:
                mark.unlink()
