"""Environments that were prepared, on the disk: where they lie, what is known of them, how to list and delete them.

    OSTRO_HOME/environments/KEY/record.json    what it is; written last, so its presence means that all is there
    OSTRO_HOME/environments/KEY/env/           local backend: shown at /opt/env
    OSTRO_HOME/environments/KEY.lock           held exclusively by who prepares it

A container environment is an image named `ostro/environment:KEY` and has only the record here.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ostro.sandbox.protocol import SandboxError, disk_kind

RECORD = "record.json"
IMAGE_REPOSITORY = "ostro/environment"


class EnvironmentRecord(BaseModel):
    """What is known of a prepared environment.

    Attributes:
        image: container image; None for a tree of the local backend.
        setup: the commands that ran, in order.
        excluded: what set-up left untracked in the workspace; kept out of patches.
        notes: what a person should know, one sentence each.
        size_bytes: on the disk, or of the layer.
        created_s: seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    kind: Literal["docker", "local"]
    image: str | None = None
    path: str = ""
    setup: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    size_bytes: int = 0
    created_s: float = 0.0


class EnvironmentStore:
    """The folder of all prepared environments.

    Args:
        home: OSTRO_HOME.
    """

    def __init__(self, home: Path) -> None:
        self.root = home / "environments"

    def folder(self, key: str) -> Path:
        """Where the environment `key` lies."""
        return self.root / key

    def find(self, key: str) -> EnvironmentRecord | None:
        """Return the record of a complete environment and mark it as used now, None when there is none."""
        path = self.folder(key) / RECORD
        try:
            record = EnvironmentRecord.model_validate_json(path.read_bytes())
            os.utime(path)
        except (FileNotFoundError, ValidationError):
            return None
        return record

    @contextmanager
    def locked(self, key: str, *, waiting: Callable[[], None] = lambda: None) -> Generator[None]:
        """Hold the environment's lock.

        Args:
            key: of the environment.
            waiting: called when somebody else has it: a set-up may take half an hour.

        Raises:
            SandboxError: the store cannot be written (`disk_full`, `storage`).
        """
        path = self.root / f"{key}.lock"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = path.open("w")
        except OSError as error:
            raise SandboxError(
                f"{path} cannot be written: {error.strerror}", kind=disk_kind(error), mend="Set OSTRO_HOME elsewhere."
            ) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def staging(self, key: str) -> Path:
        """Make an empty folder to prepare `key` in; what an earlier crash left there is removed. Needs the lock."""
        folder = self.root / f".making-{key}"
        _remove(folder)
        folder.mkdir()
        return folder

    def keep(self, staging: Path, record: EnvironmentRecord) -> EnvironmentRecord:
        """Put a prepared folder in its place, record last. Needs the lock."""
        target = self.folder(record.key)
        final = record.model_copy(update={"created_s": time.time(), "path": str(target)})
        (staging / RECORD).write_text(final.model_dump_json(indent=1), "utf-8")
        _remove(target)
        staging.rename(target)
        return final


def list_environments(home: Path) -> tuple[EnvironmentRecord, ...]:
    """Return every prepared environment, the longest unused first."""
    store = EnvironmentStore(home)
    records = sorted(store.root.glob(f"[!.]*/{RECORD}"), key=lambda path: path.stat().st_mtime)
    found = (_read(path) for path in records)
    return tuple(record for record in found if record is not None)


def _read(path: Path) -> EnvironmentRecord | None:
    try:
        return EnvironmentRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def delete_environment(home: Path, key: str) -> int:
    """Delete one environment, its image too where the engine still has it; return the bytes that it took.

    A sandbox that uses the tree at this moment loses its tools: delete between runs.

    Raises:
        SandboxError: `usage`, there is none of that name; or the engine's own error.
    """
    store = EnvironmentStore(home)
    record = _read(store.folder(key) / RECORD)
    if record is None or "/" in key:
        raise SandboxError(f"there is no environment {key!r}", kind="usage", mend="See `ostro clean --list`.")
    with store.locked(key):
        if record.kind == "docker" and record.image:
            from ostro.sandbox.docker_engine import Engine

            engine = Engine.connect()
            try:
                engine.remove_image(record.image)
            finally:
                engine.close()
        _remove(store.folder(key))
    return record.size_bytes


def delete_unfinished(home: Path) -> int:
    """Remove what crashes left half-made; return the bytes. One that is being made now is left alone."""
    freed = 0
    for folder in EnvironmentStore(home).root.glob(".making-*"):
        lock = folder.with_name(folder.name.removeprefix(".making-") + ".lock")
        with lock.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            freed += tree_bytes(folder)
            _remove(folder)
    return freed


def tree_bytes(folder: Path) -> int:
    """Return the disk use of a tree; links are not followed."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(parent, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def _remove(folder: Path) -> None:
    """Delete a tree, folders without write permission included (Go's module cache has such)."""
    if not folder.exists():
        return
    for parent, names, _ in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder)
