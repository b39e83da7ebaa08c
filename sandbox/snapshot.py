"""Checkpoints: workspace and session out of a sandbox as one file on the host, and back in.

What is in a checkpoint: what differs from the base commit (sandbox/survey.py), ignored files below 1 MiB up to 20 MiB
together without caches, empty folders, `.git` (small: it borrows the objects of the base), the small files of /tmp and
of the home, the session's directory and variables. What is not in it stays untouched by a restore: a virtual
environment or `node_modules` in the workspace. Without git in the image it holds the whole workspace.
"""

from __future__ import annotations

import os
import posixpath
import shlex
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from ostro.sandbox import checkpoint_file, patch, survey, workspace
from ostro.sandbox.checkpoint_file import CheckpointFile, Contents
from ostro.sandbox.protocol import Checkpoint, Completed, SandboxError
from ostro.sandbox.shell import Request
from ostro.sandbox.survey import Survey
from ostro.sandbox.workspace import Place, internal

SNAPSHOT_S = 300.0
MAX_ARCHIVE_BYTES = 8 * 1024**3

_WIPE = "find . -mindepth 1 -maxdepth 1 -exec rm -rf -- {} +"

# busybox's tar takes no list: several archives one after the other, made one by `_join`.
_TAR_LISTED = """if tar -c -f /dev/null --null -T /dev/null 2>/dev/null; then
exec tar -c -f - --null -T - 2>/dev/null
fi
xargs -0 tar -c -f - -- 2>/dev/null
exit {pieces}"""

_PIECES = 46
_TAR_CODES = {0, 1, 2, _PIECES}
"""1: a file changed while it was read; 2: one went away or cannot be read. The archive is whole all the same."""

# In the place of the base's files that the checkpoint has too there may be folders now.
_CLEAR_WAY = """xargs -0 sh -c 'for p do
if [ -d "$p" ] && [ ! -L "$p" ]; then rm -rf -- "$p"; fi
done' sh"""
_REMOVE_FOLDERS = "xargs -0 -r rmdir -- 2>/dev/null; rm -rf .git"

# `-m` keeps what the private index knows of files that are as in the base.
_CHECK_OUT = """git {quiet} read-tree -m "$b" 2>{state}/said || exit {failed}
xargs -0 -r rm -f -- <{state}/away 2>/dev/null
git {quiet} checkout-index -f -u -z --stdin 2>{state}/said || exit {failed}
"""

Run = Callable[[Request], Completed]
Put = Callable[[BinaryIO, str], None]


@dataclass(frozen=True)
class Session:
    """Where a session stands.

    Attributes:
        cwd: its directory.
        variables: path inside of the file with its exported variables.
    """

    cwd: str
    variables: str


@dataclass(frozen=True)
class _Taken:
    """A world's content, in files of the host: what a checkpoint is made of."""

    contents: Contents
    session: bytes
    archives: dict[str, Path]


def save(run: Run, place: Place, session: Session, into: Path) -> Checkpoint:
    """Write a checkpoint into the folder `into`, see `Sandbox.checkpoint`."""
    with tempfile.TemporaryDirectory(prefix="checkpoint-", dir=place.scratch) as folder:
        taken = _take(run, place, session, Path(folder))
        return checkpoint_file.write(into, taken.contents, taken.session, taken.archives)


def digest(run: Run, place: Place, session: Session) -> str:
    """Return the digest that a checkpoint would have, see `Sandbox.digest`."""
    with tempfile.TemporaryDirectory(prefix="digest-", dir=place.scratch) as folder:
        return _take(run, place, session, Path(folder)).contents.digest


def _take(run: Run, place: Place, session: Session, folder: Path) -> _Taken:
    found = survey.take(run, place, session.variables)
    archives = {"workspace.tar": folder / "workspace.tar"}
    if found is None:
        save_all(run, place.workdir, archives["workspace.tar"])
        deleted: tuple[str, ...] = ()
        variables = _do(run, f"cat {shlex.quote(session.variables)}")
    else:
        _save_listed(run, place.workdir, found.held, archives["workspace.tar"])
        if found.outside:
            archives["outside.tar"] = folder / "outside.tar"
            _save_listed(run, "/", found.outside, archives["outside.tar"])
        deleted = tuple(sorted(map(os.fsdecode, found.deleted)))
        variables = found.variables
    with workspace.archive_errors(), archives["workspace.tar"].open("rb") as source:
        digest, _ = checkpoint_file.digest_of(source, deleted)
    inside = (session.cwd + "/").startswith(place.workdir + "/")
    cwd = posixpath.relpath(session.cwd, place.workdir) if inside else session.cwd
    return _Taken(Contents(digest, found is None, place.base_commit, deleted, cwd), variables, archives)


def load(run: Run, put: Put, place: Place, session: Session, checkpoint: Path) -> str:
    """Make workspace and session what they were, see `Sandbox.restore`; return the session's directory."""
    with checkpoint_file.opened(checkpoint) as source:
        contents = source.contents
        if contents.base != place.base_commit:
            raise SandboxError(f"{checkpoint} belongs to base commit {contents.base[:12]}.", kind="usage")
        names = source.names()
        if contents.whole:
            _do(run, _WIPE, cwd=place.workdir)
        else:
            _bring_to_base(run, place, session, source, names)
        workspace.unpack(run, put, place.workdir, source.member("workspace.tar"))
        if outside := source.member("outside.tar").read():
            _do(run, "tar -x -p -f -", cwd="/", stdin=outside)
        _do(run, f"cat >|{shlex.quote(session.variables)}", stdin=source.member("session").read())
    return posixpath.normpath(posixpath.join(place.workdir, contents.cwd))


def _bring_to_base(run: Run, place: Place, session: Session, source: CheckpointFile, names: list[bytes]) -> None:
    """Undo what differs from the base now, but for what the checkpoint brings itself."""
    now = _survey(run, place, session)
    away = [os.fsencode(name) for name in source.contents.deleted]
    gone = [*now.changed, *now.ignored]
    _do(run, "xargs -0 -r rm -rf --", cwd=place.workdir, stdin=_listing(gone))
    _do(run, "xargs -0 -r rm -f --; true", cwd="/", stdin=_listing(now.outside))
    _do(run, _CLEAR_WAY, cwd=place.workdir, stdin=_listing(names))
    _do(run, f"cat >|{shlex.quote(place.state_dir)}/away", stdin=_listing(away))
    back = {*now.altered, *now.deleted}.difference(away, names)
    request = internal(
        patch.script(patch.PRIVATE_GIT + _CHECK_OUT, place),
        SNAPSHOT_S,
        stdin=b"".join(name + b"\0" for name in sorted(back)),
    )
    patch.check(run, run(request), place)
    _do(run, _REMOVE_FOLDERS, cwd=place.workdir, stdin=_listing(_folders([*gone, *away], now.folders)))


def _survey(run: Run, place: Place, session: Session) -> Survey:
    """Survey a world that may have been emptied."""
    try:
        found = survey.take(run, place, session.variables)
    except SandboxError as lost:
        if lost.kind != "workspace_lost":
            raise
        _do(run, f"mkdir -p {shlex.quote(place.workdir)}/.git")
        found = survey.take(run, place, session.variables)
    if found is None:
        raise SandboxError("The checkpoint needs git in the sandbox, and there is none.", kind="image")
    return found


def _folders(names: Iterable[bytes], empty: Iterable[bytes]) -> list[bytes]:
    """Return these empty folders and the ones above all names, the deepest first."""
    found = {*empty, *map(posixpath.dirname, names)}
    for folder in sorted(found):
        while folder := posixpath.dirname(folder):
            found.add(folder)
    return sorted(found - {b""}, key=lambda folder: (-folder.count(b"/"), folder))


def _listing(names: Iterable[bytes]) -> bytes:
    return b"".join(b"./" + name + b"\0" for name in names)


def save_all(run: Run, workdir: str, path: Path) -> None:
    """Write everything in the workspace to the file `path` on the host."""
    _save(run, "tar -c -f - . 2>/dev/null", workdir, path)


def load_all(run: Run, put: Put, workdir: str, path: Path) -> None:
    """Make the workspace what an archive of everything holds."""
    _do(run, _WIPE, cwd=workdir)
    with path.open("rb") as archive:
        workspace.unpack(run, put, workdir, archive)


def copy(run: Callable[..., Completed], source: str, workdir: str) -> None:
    """Copy a folder that is seen inside into the empty workspace, sharing blocks where the file system can."""
    done = run(f"cp -a --reflink=auto {source}/. . 2>/dev/null || cp -a {source}/. .", cwd=workdir)
    if done.exit_code:
        said = done.output.text().strip()[-2000:]
        raise SandboxError(f"The workspace could not be copied: {said}", kind="setup")


def _save_listed(run: Run, folder: str, names: Iterable[bytes], path: Path) -> None:
    """Write these files below a folder inside to the file `path` on the host."""
    if _save(run, _TAR_LISTED.format(pieces=_PIECES), folder, path, stdin=_listing(names)) == _PIECES:
        _join(path)


def _save(run: Run, text: str, workdir: str, path: Path, *, stdin: bytes | None = None) -> int:
    """Write the output of a command to the file `path` on the host, return its exit code."""
    done = run(replace(internal(text, SNAPSHOT_S, cwd=workdir, stdin=stdin), sink=path, sink_bytes=MAX_ARCHIVE_BYTES))
    if done.exit_code not in _TAR_CODES or done.output.total_bytes == 0:
        raise SandboxError(f"The workspace could not be saved: tar ended with {done.exit_code}.", kind="gone")
    saved = path.stat().st_size if path.exists() else 0
    if saved != done.output.total_bytes:
        raise SandboxError(f"{path} could not be written.", kind="disk_full", mend="Make room on the host.")
    return done.exit_code


def _join(path: Path) -> None:
    """Make one archive of several that follow each other in a file.

    Raises:
        SandboxError: `gone`, the sandbox sent something else.
    """
    whole = path.with_suffix(".joined")
    with (
        workspace.archive_errors(),
        tarfile.open(path, "r:", ignore_zeros=True) as pieces,
        tarfile.open(whole, "w") as joined,
    ):
        for member in pieces:
            joined.addfile(member, pieces.extractfile(member) if member.isreg() else None)
    whole.replace(path)


def _do(run: Run, text: str, *, cwd: str = "/", stdin: bytes | None = None) -> bytes:
    done = run(internal(text, SNAPSHOT_S, cwd=cwd, stdin=stdin, head_bytes=survey.MAX_LIST_BYTES))
    if done.exit_code:
        said = done.output.text().strip()[-2000:]
        raise SandboxError(f"Workspace and session could not be saved or restored: {said}", kind="gone")
    return done.output.head
