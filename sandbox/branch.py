"""The result of a run: one commit on a new branch of the user's repository.

Last station: policy.check_patch -> write_branch. The user's work tree, index, current branch and configuration are
never touched; only new objects and one new reference reach the repository.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ostro.sandbox.git_process import must, run_git
from ostro.sandbox.host_git import OSTRO_EMAIL, OSTRO_NAME, Base, identity, patched
from ostro.sandbox.protocol import RepositoryError, SandboxError
from ostro.sandbox.repository import Repository

SLUG_CHARS = 40
MAX_SUFFIX = 1000

_IDENT = re.compile(r"(?P<name>.+) <(?P<email>[^<>]+)> [0-9]+ [+-][0-9]{4}")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Branch:
    """The branch that holds the result.

    Attributes:
        name: short name.
        renamed: the name that was asked for was taken, so `name` has a suffix.
    """

    name: str
    commit: str
    files_changed: tuple[str, ...]
    renamed: bool = False


def write_branch(
    repository: Repository, base: Base, patch: bytes, *, branch: str, message: str, ours: str = ""
) -> Branch:
    """Commit the patch onto the base, on a new branch of the user's repository.

    The work tree, the index, the current branch, the stash and the configuration stay as they are; no hook runs.
    An existing branch is never moved: the name gets a suffix (-2, -3, ...) then. Only where its one commit is our
    own, untouched and nowhere checked out, it is used again: as it is for the same patch, else for the new commit.

    Args:
        repository: the user's.
        base: what the patch applies to.
        patch: as the policy accepted it.
        branch: the name to take.
        message: of the commit.
        ours: line of the message by which a commit of this very run is known; "" for none.

    Raises:
        RepositoryError: the patch is empty or does not apply, or the repository cannot be written.
        SandboxError: no room on the disk.
    """
    must(run_git(["check-ref-format", f"refs/heads/{branch}"]), doing=f"{branch!r} is not a branch name")
    author = _author(repository)
    with patched(base, patch) as tree:
        files = tuple(sorted(change.name for change in tree.changes()))
        if not files:
            raise RepositoryError("the patch changes nothing, so there is nothing to commit")
        oid, text = tree.tree(), message.rstrip() + "\n"
        earlier = _own_branch(repository, base, branch, ours) if ours else None
        if earlier is not None and (earlier.tree, earlier.message) == (oid, text.rstrip()):
            return Branch(earlier.name, earlier.commit, files, renamed=earlier.name != branch)
        told = run_git(
            ["commit-tree", oid, "-p", base.source_commit, "-F", "-"],
            git_dir=tree.git_dir,
            env=identity(*author) | _also_readable(repository),
            stdin=text.encode("utf-8", "replace"),
        )
        commit = must(told, doing="the commit cannot be made").line
        _bring_objects(tree.git_dir / "objects", repository.common_dir / "objects")
    if earlier is not None and _move_branch(repository, earlier, commit, author):
        return Branch(earlier.name, commit, files, renamed=earlier.name != branch)
    name = _create_branch(repository, branch, commit, author)
    return Branch(name=name, commit=commit, files_changed=files, renamed=name != branch)


@dataclass(frozen=True)
class _OwnBranch:
    """A branch that this run wrote before."""

    name: str
    commit: str
    tree: str
    message: str


def _own_branch(repository: Repository, base: Base, wanted: str, ours: str) -> _OwnBranch | None:
    """Find the branch that an earlier process of this run wrote and nobody touched since.

    A commit that was amended has two dates; one with another on top of it has another parent.
    """
    fields = ["refname:lstrip=2", "objectname", "tree", "parent", "authordate:raw", "committerdate:raw", "worktreepath"]
    pattern = "%00".join(f"%({field})" for field in [*fields, "contents"]) + "%00%00"
    names = [f"refs/heads/{wanted}*", f"refs/heads/{wanted.replace('/', '-')}*"]
    told = run_git(["for-each-ref", f"--format={pattern}", *names], git_dir=repository.git_dir)
    listed = must(told, doing="the branches cannot be listed").stdout.decode("utf-8", "replace")
    plain = re.compile(rf"{re.escape(wanted)}(?:-\d+)?|{re.escape(wanted.replace('/', '-'))}(?:-\d+)?")
    for record in listed.split("\0\0\n"):
        name, commit, tree, parent, written, committed, checked_out, message = (record.split("\0", 7) + [""] * 8)[:8]
        own = parent == base.source_commit and written == committed and ours in message.splitlines()
        if own and plain.fullmatch(name) and not checked_out:
            return _OwnBranch(name, commit, tree, message.rstrip())
    return None


def _move_branch(repository: Repository, branch: _OwnBranch, commit: str, author: tuple[str, str]) -> bool:
    """Let our own branch name the new commit; False when somebody was quicker and it has another by now."""
    arguments = ["update-ref", "-m", "ostro: result of a resumed run", f"refs/heads/{branch.name}", commit]
    told = run_git([*arguments, branch.commit], git_dir=repository.git_dir, env=identity(*author))
    return told.code == 0


def slug(text: str, *, limit: int = SLUG_CHARS) -> str:
    """Return a short name of lower-case letters, digits and hyphens; "task" when nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    words = re.findall(r"[a-z0-9]+", plain)
    name = ""
    for word in words:
        longer = f"{name}-{word}" if name else word
        if len(longer) > limit:
            break
        name = longer
    return name or (words[0][:limit] if words else "task")


def branch_name(*, run_id: str, issue: int | None = None, title: str = "") -> str:
    """Return `ostro/issue-<n>` for a numbered issue, else `ostro/<slug>-<run id>`."""
    return f"ostro/issue-{issue}" if issue is not None else f"ostro/{slug(title)}-{run_id}"


def _author(repository: Repository) -> tuple[str, str]:
    """Return the user's name and address as git finds them (environment, configuration), else the fixed one."""
    told = run_git(
        ["var", "GIT_AUTHOR_IDENT"],
        git_dir=repository.git_dir,
        settings=["user.useConfigOnly=true"],  # else git makes an address up from the host's name
        users_own=True,
    )
    ident = _IDENT.fullmatch(told.line) if told.code == 0 else None
    return (ident["name"], ident["email"]) if ident else (OSTRO_NAME, OSTRO_EMAIL)


def _also_readable(repository: Repository) -> dict[str, str]:
    """Let commit-tree see the user's objects: the parent of a re-rooted base is only there."""
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(repository.common_dir / "objects")}


def _bring_objects(private: Path, objects: Path) -> None:
    """Copy the new loose objects; each appears under its name only when it is whole and on the disk."""
    try:
        for source in private.glob("??/*"):
            target = objects / source.parent.name / source.name
            if target.exists():
                continue
            target.parent.mkdir(exist_ok=True)
            _copy_durably(source, target)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise SandboxError(f"{objects}: {error.strerror}", kind="disk_full", mend="Free some space.") from error
        raise RepositoryError(
            f"the repository cannot be written: {error.filename or objects}: {error.strerror}",
            mend="Make it writable, or apply the patch file by hand.",
        ) from error


def _copy_durably(source: Path, target: Path) -> None:
    handle, name = tempfile.mkstemp(prefix="tmp_obj_", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out, source.open("rb") as content:
            shutil.copyfileobj(content, out)
            out.flush()
            os.fchmod(out.fileno(), 0o444)
            os.fsync(out.fileno())
        Path(name).rename(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _create_branch(repository: Repository, wanted: str, commit: str, author: tuple[str, str]) -> str:
    zero = "0" * len(commit)
    for name in _free_names(repository, wanted):
        told = run_git(
            ["update-ref", "-m", "ostro: result of a run", f"refs/heads/{name}", commit, zero],
            git_dir=repository.git_dir,
            env=identity(*author),
        )
        if told.code == 0:
            return name
        if "reference already exists" not in told.stderr and "' exists; cannot" not in told.stderr:
            must(told, doing=f"the branch {name} cannot be made")
    raise RepositoryError(f"no free name for the branch {wanted}", mend="Delete old branches: git branch -D ...")


def _free_names(repository: Repository, wanted: str) -> Iterator[str]:
    """Offer names that no branch has and that do not lie above or below one (`ostro` hinders `ostro/x`)."""
    told = run_git(["for-each-ref", "--format=%(refname)", "refs/heads/"], git_dir=repository.git_dir)
    listed = must(told, doing="the branches cannot be listed").stdout.decode("utf-8", "surrogateescape")
    taken = {line.removeprefix("refs/heads/").casefold() for line in listed.splitlines()}
    parent = wanted.rpartition("/")[0]
    plain = wanted if parent.casefold() not in taken else wanted.replace("/", "-")
    for number in range(1, MAX_SUFFIX):
        name = plain if number == 1 else f"{plain}-{number}"
        folded = name.casefold()
        if folded not in taken and not any(branch.startswith(f"{folded}/") for branch in taken):
            yield name
