"""Fetch what an instance's environment is made of: its pinned wheels and its base tree, each kept by content.

The registry is reached only through pip, on the host; what comes back is checked by hash (source) or pinned by
version (wheels), and unpacked without running any of it. Used by benchmarks/environment.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import BaseModel

from ostro.agent.errors import PreflightError
from ostro.benchmarks.instance import FilesSource, GitSource, SdistSource, Source
from ostro.sandbox.git_process import must, run_git
from ostro.sandbox.host_git import identity, prepare_base
from ostro.sandbox.repository import inspect_repository
from ostro.sandbox.scratch import scratch_folder

KEY_DIGITS = 16
PIP_TIMEOUT_S = 1800
ERROR_TAIL_CHARS = 1500
COMMIT_DATE = "2000-01-01T00:00:00+0000"
"""Author and committer date of every base commit, so that the same tree gives the same commit everywhere."""

_GIT_DIR = ".git"
_EXECUTABLE = 0o100


class SetupError(PreflightError):
    """An instance's environment cannot be made; says which step failed and shows the end of its output."""


def content_key(*parts: object) -> str:
    """Return a short hex name for what `parts` say: equal parts, equal name, on every machine."""
    plain = [part.model_dump() if isinstance(part, BaseModel) else part for part in parts]
    text = json.dumps(plain, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


@contextmanager
def built_once(folder: Path) -> Generator[Path | None]:
    """Yield a scratch folder that becomes `folder` when the block succeeds, or None when `folder` is there already.

    A crash or an error leaves `folder` absent, never half made; of two that build it at once, one wins.
    """
    if folder.is_dir():
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield scratch
        scratch.chmod(0o755)  # mkdtemp's 0700 would hide it from the sandbox's user
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def fetch_wheels(pins: Sequence[str], python: str, cache: Path) -> Path:
    """Download the wheels of `pins` and of what they need, for this machine and Python `python`; return the folder.

    Raises:
        SetupError: pip cannot find one as a wheel, or cannot reach the registry.
    """
    folder = cache / "wheels" / content_key(sorted(pins), python)
    with built_once(folder) as scratch:
        if scratch is not None and pins:
            _pip("--only-binary", ":all:", "--python-version", python, "--dest", str(scratch), *pins)
    return folder


def unpack_source(source: Source, into: Path, cache: Path) -> None:
    """Write the base tree of a row into the existing, empty folder `into`.

    Raises:
        SetupError: the archive cannot be had, has another hash, or holds a path that leads out of the tree.
    """
    if isinstance(source, FilesSource):
        for name, text in source.files.items():
            _write(into, name, text.encode(), executable=text.startswith("#!"))
        return
    if isinstance(source, GitSource):
        _unpack_commit(source, into)
        return
    with _fetch_sdist(source, cache).open("rb") as archive:
        unpack_archive(archive, into)


def _unpack_commit(source: GitSource, into: Path) -> None:
    """Write the tree of one commit, and nothing of what the repository holds besides."""
    found = replace(inspect_repository(Path(source.repository)), head_commit=source.commit)
    with scratch_folder("base") as scratch:
        base = prepare_base(found, scratch / "base.git", depth=1)
        for arguments in (["read-tree", base.commit], ["checkout-index", "--all", "--force"]):
            must(
                run_git(arguments, git_dir=base.git_dir, work_tree=into, cwd=into, settings=["core.bare=false"]),
                doing=f"{source.repository}: {source.commit} cannot be read",
            )


def commit_tree(tree: Path) -> None:
    """Make `tree` a git repository whose one commit holds everything in it, ignored files too.

    Repositories inside the tree are taken out first: a nested `.git` could carry programs that git would run.
    """
    for folder, names, files in os.walk(tree):
        if _GIT_DIR in names:
            names.remove(_GIT_DIR)
            shutil.rmtree(Path(folder, _GIT_DIR))
        if _GIT_DIR in files:
            Path(folder, _GIT_DIR).unlink()
    who = identity("base", "base@localhost") | {
        "GIT_AUTHOR_DATE": COMMIT_DATE,
        "GIT_COMMITTER_DATE": COMMIT_DATE,
    }
    for arguments in (
        ["init", "--quiet", "--initial-branch=main", "--template="],
        ["add", "--all", "--force", "."],
        ["commit", "--quiet", "--no-verify", "--allow-empty", "--message=base"],
        ["repack", "-a", "-d", "--quiet"],
    ):
        must(run_git(arguments, cwd=tree, settings=["core.autocrlf=false"], env=who), doing=f"{tree}: no commit")


def head_commit(repository: Path) -> str:
    """Return the id of the one commit that `commit_tree` made."""
    return must(run_git(["rev-parse", "HEAD"], cwd=repository), doing=f"{repository} has no commit").line


def _fetch_sdist(source: SdistSource, cache: Path) -> Path:
    folder = cache / "sdist" / content_key(source)
    with built_once(folder) as scratch:
        if scratch is not None:
            name = source.requirement.split("==")[0]
            _pip("--no-deps", "--no-binary", name, "--dest", str(scratch), source.requirement)
            _check_hash(scratch / source.filename, source)
    return folder / source.filename


def _check_hash(archive: Path, source: SdistSource) -> None:
    if not archive.is_file():
        raise SetupError(f"{source.requirement}: the registry has no file {source.filename}")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != source.sha256:
        raise SetupError(
            f"{source.filename}: sha256 is {found}, the row says {source.sha256}",
            mend="The archive is not the one that the row was made with: do not use it.",
        )


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"pip download took more than {PIP_TIMEOUT_S} s: {' '.join(arguments)}") from error
    if done.returncode:
        raise SetupError(
            f"pip download {' '.join(arguments)} failed:\n{(done.stdout + done.stderr)[-ERROR_TAIL_CHARS:].strip()}",
            mend="Check that the package registry is reachable.",
        )


def unpack_archive(archive: IO[bytes], into: Path, *, skip: str = "") -> None:
    """Write the files and inner links of a tar into `into`, without its top folder and without entries named `skip`.

    Devices, outer links and owners are left out. Debian 12's Python 3.11.2 has no extraction filters, hence by hand.

    Raises:
        SetupError: a path leads out of the tree.
    """
    with tarfile.open(fileobj=archive, mode="r:*") as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts[1:]
            if not parts or skip in parts:
                continue
            name = "/".join(parts)
            if member.isfile():
                content = tar.extractfile(member)
                assert content is not None  # it is a file
                _write(into, name, content.read(), executable=bool(member.mode & _EXECUTABLE))
            elif member.issym():
                _link(into, name, member.linkname)


def _target(tree: Path, name: str) -> Path:
    """Return where `name` lies in `tree`, its folder made; refuse what would lie elsewhere, also through a link."""
    root = tree.resolve()
    path = PurePosixPath(name)
    target = root / path
    if path.is_absolute() or ".." in path.parts or not target.parent.resolve().is_relative_to(root):
        raise SetupError(f"the source holds a path that leads out of the tree: {name!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _write(tree: Path, name: str, content: bytes, *, executable: bool) -> None:
    target = _target(tree, name)
    target.unlink(missing_ok=True)
    target.write_bytes(content)
    target.chmod(0o755 if executable else 0o644)


def _link(tree: Path, name: str, to: str) -> None:
    target = _target(tree, name)
    if not (target.parent / to).resolve().is_relative_to(tree.resolve()):
        raise SetupError(f"the source holds a link that leads out of the tree: {name!r} -> {to!r}")
    target.unlink(missing_ok=True)
    target.symlink_to(to)
