"""The file of a checkpoint, on the host: an archive of archives, written whole or not at all.

Members: `checkpoint.json` (`Contents`), `session` (the variables), `workspace.tar` and, if there is any, `outside.tar`.
The inner archives come from a sandbox and are only read here, never extracted.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from ostro.sandbox.protocol import Checkpoint, SandboxError, disk_kind

FORMAT = 2
"""Of the file. The first was a bare archive of the whole workspace."""


@dataclass(frozen=True)
class Contents:
    """What a checkpoint says of itself.

    Attributes:
        digest: see `Checkpoint.digest`.
        whole: `workspace.tar` is the whole workspace, not what differs from the base.
        base: the commit that it differs from.
        deleted: files of the base that it has not. Bytes that are no UTF-8 stand as surrogates, as in `os.fsdecode`.
        cwd: the session's directory; relative to the workspace where it lies in it.
    """

    digest: str
    whole: bool
    base: str
    deleted: tuple[str, ...]
    cwd: str


class CheckpointFile:
    """A checkpoint opened for reading, see `opened`."""

    def __init__(self, path: Path, archive: tarfile.TarFile) -> None:
        self._path = path
        self._archive = archive
        fields: dict[str, Any] = json.loads(self.member("checkpoint.json").read())
        written = fields.pop("format")
        if written != FORMAT:
            raise SandboxError(
                f"{path} is a checkpoint of format {written}, this program reads {FORMAT}.", kind="usage"
            )
        deleted: list[str] = fields.pop("deleted")
        self.contents = Contents(deleted=tuple(deleted), **fields)

    def member(self, name: str) -> BinaryIO:
        """Return a member for reading; an absent one is empty."""
        try:
            found = self._archive.extractfile(name)
        except KeyError:
            return io.BytesIO()
        return cast("BinaryIO", found)

    def names(self) -> list[bytes]:
        """Return the names in `workspace.tar` that are not folders, after checking its content.

        Raises:
            SandboxError: the file is damaged.
        """
        with self.member("workspace.tar") as source:
            digest, names = digest_of(source, self.contents.deleted)
        if digest != self.contents.digest:
            raise _damaged(self._path, "its content is not what its digest says")
        return names


@contextmanager
def opened(path: Path) -> Generator[CheckpointFile]:
    """Open a checkpoint.

    Raises:
        SandboxError: it is missing, damaged, or of another format.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            yield CheckpointFile(path, archive)
    except (OSError, tarfile.TarError, KeyError, ValueError, TypeError) as broken:
        raise _damaged(path, str(broken)) from broken


def write(into: Path, contents: Contents, session: bytes, archives: dict[str, Path]) -> Checkpoint:
    """Write a checkpoint into a folder; it is on the disk when this returns.

    Raises:
        SandboxError: `disk_full` or `storage`, it could not be written.
    """
    about = json.dumps({"format": FORMAT, **asdict(contents)}).encode("ascii")
    try:
        into.mkdir(parents=True, exist_ok=True)
        partial = into / "checkpoint.partial"
        with partial.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                for name, data in (("checkpoint.json", about), ("session", session)):
                    _add(archive, name, io.BytesIO(data), len(data))
                for name, path in archives.items():
                    with path.open("rb") as source:
                        _add(archive, name, source, path.stat().st_size)
            file.flush()
            os.fsync(file.fileno())
        path = into / f"{_name(partial)}.tar"
        partial.replace(path)
        _sync_folder(into)
    except OSError as failed:
        raise SandboxError(
            f"The checkpoint could not be written: {failed}", kind=disk_kind(failed), mend="Make room on the host."
        ) from failed
    return Checkpoint(path=path, digest=contents.digest, size_bytes=path.stat().st_size)


def digest_of(source: BinaryIO, deleted: tuple[str, ...]) -> tuple[str, list[bytes]]:
    """Return the digest of a workspace from its archive, and the names in it that are not folders.

    Times do not count, and no `.git` does: git writes into it when it only looks.
    """
    entries: dict[str, list[str]] = {}
    names: list[bytes] = []
    with tarfile.open(fileobj=source, mode="r:", errors="surrogateescape") as archive:
        for member in archive:
            name = str(PurePosixPath(member.name))
            if not member.isdir():
                names.append(os.fsencode(name))
            if name == "." or ".git" in PurePosixPath(name).parts:
                continue
            content = cast("io.BufferedReader | None", archive.extractfile(member) if _has_content(member) else None)
            held = hashlib.file_digest(content, "sha256").hexdigest() if content else member.linkname
            kind = "file" if content else member.type.decode("ascii", "replace")
            entries[name] = [kind, oct(member.mode & 0o777) if content else "", held]
    text = json.dumps([sorted(deleted), sorted(entries.items())])
    return hashlib.sha256(text.encode("ascii")).hexdigest(), names


def _has_content(member: tarfile.TarInfo) -> bool:
    return member.isfile() or member.islnk()


def _name(partial: Path) -> str:
    with partial.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:20]


def _add(archive: tarfile.TarFile, name: str, source: BinaryIO, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    archive.addfile(member, source)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damaged(path: Path, why: str) -> SandboxError:
    return SandboxError(
        f"The checkpoint {path} cannot be read: {why}", kind="workspace_lost", mend="Go back to an earlier one."
    )
