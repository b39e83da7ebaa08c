"""Checkpoints: the workspace out of a sandbox as one archive, and back in.

What is in a checkpoint: files that git tracks or would add, ignored files below 1 MiB up to 20 MiB together, and
`.git`. What is not in it stays untouched by a restore: a virtual environment or `node_modules` in the workspace.
Without git in the image a checkpoint holds everything.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ostro.sandbox import patch, workspace
from ostro.sandbox.protocol import Checkpoint, Completed, SandboxError
from ostro.sandbox.shell import Request
from ostro.sandbox.workspace import NO_GIT, Place

SNAPSHOT_S = 300.0
MAX_ARCHIVE_BYTES = 8 * 1024**3
SMALL_BYTES = 1024 * 1024
SMALL_TOTAL_BYTES = 20 * 1024 * 1024
MAX_LIST_BYTES = 64 * 1024 * 1024

_WIPE = "find . -mindepth 1 -maxdepth 1 -exec rm -rf -- {} +"

# busybox's tar takes no list: several archives one after the other, made one by `_join`.
_TAR_LISTED = """if tar -c -f /dev/null --null -T /dev/null 2>/dev/null; then
exec tar -c -f - --null -T - 2>/dev/null
fi
xargs -0 tar -c -f - -- 2>/dev/null
exit {pieces}"""

_PIECES = 46

Run = Callable[[Request], Completed]
Put = Callable[[BinaryIO, str], None]


def save(run: Run, place: Place, into: Path) -> Checkpoint:
    """Write the workspace to an archive in `into`, see `Sandbox.checkpoint`."""
    into.mkdir(parents=True, exist_ok=True)
    partial = into / "checkpoint.tar.partial"
    listed = _list(run, place)
    if listed is None:
        save_all(run, place.workdir, partial)
        with partial.open("rb") as archive:
            digest = hashlib.file_digest(archive, "sha256").hexdigest()
    else:
        digest, names = listed
        listing = b"".join(b"./" + name + b"\0" for name in [*names, b".git"])
        if _save(run, _TAR_LISTED.format(pieces=_PIECES), place.workdir, partial, stdin=listing) == _PIECES:
            _join(partial)
    path = into / f"{digest[:20]}.tar"
    partial.replace(path)
    return Checkpoint(path=path, digest=digest, size_bytes=path.stat().st_size)


def load(run: Run, put: Put, place: Place, checkpoint: Checkpoint) -> None:
    """Make the workspace what it was, see `Sandbox.restore`."""
    try:
        listed = _list(run, place)
    except SandboxError as lost:
        if lost.kind != "workspace_lost":
            raise
        listed = None
    if listed is None:
        _do(run, Request(_WIPE, SNAPSHOT_S, cwd=place.workdir, keep_state=False, load_state=False))
    else:
        names = b"".join(b"./" + name + b"\0" for name in [*listed[1], b".git"])
        text = "xargs -0 rm -rf --"
        _do(run, Request(text, SNAPSHOT_S, cwd=place.workdir, stdin=names, keep_state=False, load_state=False))
    with checkpoint.path.open("rb") as archive:
        workspace.unpack(run, put, place.workdir, archive)


def save_all(run: Run, workdir: str, path: Path) -> None:
    """Write everything in the workspace to the file `path` on the host."""
    _save(run, "tar -c -f - . 2>/dev/null", workdir, path)


def load_all(run: Run, put: Put, workdir: str, path: Path) -> None:
    """Make the workspace what an archive of everything holds."""
    _do(run, Request(_WIPE, SNAPSHOT_S, cwd=workdir, keep_state=False, load_state=False))
    with path.open("rb") as archive:
        workspace.unpack(run, put, workdir, archive)


def copy(run: Callable[..., Completed], source: str, workdir: str) -> None:
    """Copy a folder that is seen inside into the empty workspace, sharing blocks where the file system can."""
    done = run(f"cp -a --reflink=auto {source}/. . 2>/dev/null || cp -a {source}/. .", cwd=workdir)
    if done.exit_code:
        said = done.output.text().strip()[-2000:]
        raise SandboxError(f"The workspace could not be copied: {said}", kind="setup")


def _save(run: Run, text: str, workdir: str, path: Path, *, stdin: bytes | None = None) -> int:
    """Write the output of a command to the file `path` on the host, return its exit code."""
    path.unlink(missing_ok=True)
    request = Request(
        text,
        SNAPSHOT_S,
        cwd=workdir,
        stdin=stdin,
        keep_state=False,
        load_state=False,
        sink=path,
        sink_bytes=MAX_ARCHIVE_BYTES,
    )
    done = run(request)
    # tar ends with 1 when a file changed while it was read: the archive is whole all the same.
    if done.exit_code not in {0, 1, _PIECES} or done.output.total_bytes == 0:
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
    try:
        with tarfile.open(path, "r:", ignore_zeros=True) as pieces, tarfile.open(whole, "w") as joined:
            for member in pieces:
                joined.addfile(member, pieces.extractfile(member) if member.isreg() else None)
    except tarfile.TarError as broken:
        raise SandboxError(f"The workspace could not be saved: {broken}", kind="gone") from broken
    whole.replace(path)


def _list(run: Run, place: Place) -> tuple[str, list[bytes]] | None:
    """Return a digest of the content and the names that a checkpoint holds; None where there is no git."""
    names_text = "git {quiet} write-tree 2>{state}/said || exit {failed}; git {quiet} ls-files -z"
    listed = _ask(run, patch.PRIVATE_GIT + patch.ADD_ALL + names_text, place)
    if listed is None:
        return None
    tree, _, tracked = listed.partition(b"\n")
    ignored_text = "git {quiet} ls-files -z -o -i --exclude-standard | tee {state}/ignored"
    ignored = _split(_ask(run, patch.PRIVATE_GIT + ignored_text, place) or b"")
    sizes_text = "cd {workdir}; [ ! -s {state}/ignored ] || xargs -0 stat -c %s -- <{state}/ignored 2>/dev/null || true"
    sizes = (_ask(run, sizes_text, place) or b"").split()
    small: list[bytes] = []
    room = SMALL_TOTAL_BYTES
    # A file that went away between the two looks makes the lists differ; then no ignored file is taken.
    for name, size in zip(ignored, sizes, strict=False) if len(ignored) == len(sizes) else ():
        if int(size) < SMALL_BYTES and int(size) <= room:
            room -= int(size)
            small.append(name)
    digest = hashlib.sha256(tree + b"\0" + b"\0".join(small)).hexdigest()
    return digest, [*_split(tracked), *small]


def _split(names: bytes) -> list[bytes]:
    return [name for name in names.split(b"\0") if name]


def _ask(run: Run, text: str, place: Place) -> bytes | None:
    request = Request(
        patch.script(text, place),
        SNAPSHOT_S,
        cwd="/",
        head_bytes=MAX_LIST_BYTES,
        tail_bytes=0,
        keep_state=False,
        load_state=False,
    )
    done = run(request)
    if done.exit_code == NO_GIT:
        return None
    patch.check(run, done, place)
    return done.output.head


def _do(run: Run, request: Request) -> None:
    done = run(request)
    if done.exit_code:
        said = done.output.text().strip()[-2000:]
        raise SandboxError(f"The workspace could not be emptied: {said}", kind="gone")
