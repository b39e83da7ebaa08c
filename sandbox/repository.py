"""Look at the user's repository without changing a byte of it and without starting a program that it names.

First station of a run: cli/run -> inspect_repository -> host_git.prepare_base -> the sandbox.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from ostro.sandbox.git_process import GitResult, must, pristine_git_dir, run_git
from ostro.sandbox.protocol import RepositoryError
from ostro.sandbox.scratch import scratch_folder

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LFS_POINTER_MAX_BYTES = 1024  # git-lfs's own limit, docs/spec.md

_TREE_SETTINGS = (
    "autocrlf|eol|filemode|symlinks|ignorecase|precomposeunicode|excludesfile|sparsecheckout|sparsecheckoutcone"
    "|checkstat|trustctime"
)
"""Settings of `core` that say how a work tree compares with the index; none of them names a program."""


@dataclass(frozen=True)
class Repository:
    """What a run needs to know about the repository that the user named.

    Attributes:
        root: top folder of the work tree; of a bare repository the git directory.
        git_dir: git directory of this work tree (of a linked one: below `.git/worktrees`).
        common_dir: git directory that all work trees share; where objects and branches are.
        head_commit: full hex id: the base of the run.
        branch: short name; None when HEAD is detached.
        dirty_files: changed, staged and untracked files, which the run does not see.
        shallow: the history was cut off when it was cloned.
        submodules: paths, which stay empty in the sandbox.
        lfs_pointers: how many files of HEAD are pointers of Git LFS.
        origin_url: URL of the remote `origin`, without a password.
        warnings: one line each, for the user, on what works but may surprise.
    """

    root: Path
    git_dir: Path
    common_dir: Path
    head_commit: str
    branch: str | None
    dirty_files: int = 0
    shallow: bool = False
    submodules: tuple[str, ...] = ()
    lfs_pointers: int = 0
    origin_url: str | None = None
    bare: bool = False
    object_format: str = "sha1"
    warnings: tuple[str, ...] = ()


def inspect_repository(path: Path) -> Repository:
    """Find out what the repository around `path` is like.

    Raises:
        RepositoryError: nothing there, not a repository, no commits, or broken; with the mend.
        SandboxError: git is not installed.
    """
    if "\n" in str(path):
        raise RepositoryError(f"{str(path)!r}: a path with a line break cannot be used")
    if not path.exists():
        raise RepositoryError(f"{path} does not exist", mend="Give the path of a repository, or its URL.")
    if not path.is_dir():
        raise RepositoryError(f"{path} is not a folder", mend="Give the folder of the repository.")
    place = _locate(path.resolve())
    head, branch = _head(place)
    found = Repository(
        root=place.root,
        git_dir=place.git_dir,
        common_dir=place.common_dir,
        head_commit=head,
        branch=branch,
        shallow=place.shallow,
        origin_url=_origin(place),
        bare=place.bare,
        object_format=place.object_format,
    )
    with borrowed_view(found) as view:
        submodules, pointers = _special_entries(view, head, place.root)
        dirty = 0 if place.bare else _count_dirty(found, view)
    return _with_warnings(found, dirty, submodules, pointers)


@contextmanager
def borrowed_view(repository: Repository, *, beside: Path | None = None) -> Generator[Path]:
    """Give a private git directory with the repository's objects, HEAD and cut-off points, and nothing else of it.

    Args:
        repository: whose objects.
        beside: a folder or file to be on the same file system as: git makes a pack in the view and renames it.
    """
    if beside is not None:
        beside.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder("git", place=beside.parent if beside else None) as scratch:
        view = pristine_git_dir(
            scratch / "view.git",
            borrow=repository.common_dir / "objects",
            head=repository.head_commit,
            object_format=repository.object_format,
        )
        cut_off = repository.common_dir / "shallow"
        if cut_off.is_file():
            shutil.copyfile(cut_off, view / "shallow")
        yield view


def holds_commit(repository: Repository, commit: str) -> bool:
    """Whether the repository has the commit of this full hex id."""
    with borrowed_view(repository) as view:
        return run_git(["cat-file", "-e", f"{commit}^{{commit}}"], git_dir=view).code == 0


def without_password(url: str) -> str:
    """Return `url` without the password or token that it may hold."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    user, at, host = parts.netloc.rpartition("@")
    # Over HTTP the name alone may be the token; over SSH it is a user, mostly "git".
    keep = user.partition(":")[0] + at if parts.scheme == "ssh" else ""
    return urlunsplit(parts._replace(netloc=keep + host)) if at else url


@dataclass(frozen=True)
class _Place:
    root: Path
    git_dir: Path
    common_dir: Path
    bare: bool
    shallow: bool
    object_format: str


def _locate(path: Path) -> _Place:
    looks_bare = not (path / ".git").exists() and (path / "HEAD").is_file() and (path / "objects").is_dir()
    told = run_git(
        [
            "rev-parse",
            "--path-format=absolute",
            "--git-dir",
            "--git-common-dir",
            "--is-bare-repository",
            "--is-shallow-repository",
            "--show-object-format",
        ],
        cwd=path,
        git_dir=path if looks_bare else None,
    )
    if told.code != 0:
        raise _not_usable(path, told)
    lines = told.line.split("\n")
    if len(lines) != 5:
        raise RepositoryError(f"{path}: git does not say where the repository is", mend="Update git to 2.31 or newer.")
    git_dir, common_dir = Path(lines[0]), Path(lines[1])
    bare, shallow = lines[2] == "true", lines[3] == "true"
    root = git_dir if bare else _work_tree(path)
    return _Place(root, git_dir, common_dir, bare, shallow, lines[4])


def _not_usable(path: Path, told: GitResult) -> RepositoryError:
    if "safe.bareRepository" in told.stderr:
        return RepositoryError(f"{path} is inside a .git folder", mend="Give the folder that holds the files.")
    if "not a git repository" not in told.stderr:
        return RepositoryError(f"{path}: git cannot read this repository: {told.complaint}", mend="Run: git fsck")
    if (path / ".git").exists():
        return RepositoryError(f"{path}: its .git is broken: {told.complaint}", mend="Clone the repository again.")
    return RepositoryError(
        f"{path} is not a git repository", mend="Go to one, or run: git init && git add -A && git commit -m Start"
    )


def _work_tree(path: Path) -> Path:
    told = run_git(["rev-parse", "--show-toplevel"], cwd=path)
    if told.code != 0:
        raise RepositoryError(f"{path} is inside a .git folder", mend="Give the folder that holds the files.")
    root = Path(told.line)
    if root != path and root not in path.parents:
        raise RepositoryError(
            f"{path}: its configuration puts the work tree elsewhere (core.worktree = {root})",
            mend="Give that folder, or run: git config --unset core.worktree",
        )
    if (path / ".git").exists() and root != path:
        raise RepositoryError(f"{path}: its .git is broken", mend="Clone the repository again.")
    return root


def _head(place: _Place) -> tuple[str, str | None]:
    symbolic = run_git(["symbolic-ref", "--quiet", "HEAD"], git_dir=place.git_dir)
    ref = symbolic.line if symbolic.code == 0 else ""
    branch = ref.removeprefix("refs/heads/") or None
    resolved = run_git(["rev-parse", "--verify", "--quiet", "HEAD"], git_dir=place.git_dir)
    if resolved.code != 0:
        if ref and not (place.common_dir / ref).exists():
            raise RepositoryError(
                f"{place.root} has no commits yet", mend='Commit something first: git add -A && git commit -m "Start"'
            )
        raise RepositoryError(f"{place.root}: HEAD is broken", mend="Run: git fsck")
    kind = run_git(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], git_dir=place.git_dir)
    if kind.code != 0:
        raise RepositoryError(
            f"{place.root}: the commit {resolved.line[:12]} of HEAD is missing or broken", mend="Run: git fsck"
        )
    return kind.line, branch


def _origin(place: _Place) -> str | None:
    told = run_git(["config", "--local", "--get", "remote.origin.url"], git_dir=place.git_dir)
    return without_password(told.line) if told.code == 0 and told.line else None


def _special_entries(view: Path, head: str, root: Path) -> tuple[tuple[str, ...], int]:
    """Return the submodules' paths and the number of LFS pointers in the tree of `head`."""
    told = must(
        run_git(["ls-tree", "-r", "-z", "--full-tree", head], git_dir=view),
        doing=f"{root}: the files of HEAD cannot be listed",
        mend="Run: git fsck",
    )
    submodules: list[str] = []
    attributes: list[bytes] = []
    blobs: list[bytes] = []
    for entry in told.stdout.split(b"\0")[:-1]:
        about, _, name = entry.partition(b"\t")
        mode, _, oid = about.split(b" ")
        if mode == b"160000":
            submodules.append(name.decode("utf-8", "backslashreplace"))
        else:
            blobs.append(oid)
            if name == b".gitattributes" or name.endswith(b"/.gitattributes"):
                attributes.append(oid)
    uses_lfs = b"filter=lfs" in run_git(["cat-file", "--batch"], git_dir=view, stdin=_lines(attributes)).stdout
    return tuple(submodules), _count_pointers(view, blobs) if uses_lfs else 0


def _count_pointers(view: Path, blobs: list[bytes]) -> int:
    sizes = run_git(
        ["cat-file", "--batch-check=%(objectname) %(objectsize)", "--buffer"], git_dir=view, stdin=_lines(blobs)
    )
    small = [
        line.split(b" ")[0]
        for line in sizes.stdout.splitlines()
        if not line.endswith(b" missing") and int(line.split(b" ")[1]) <= LFS_POINTER_MAX_BYTES
    ]
    content = run_git(["cat-file", "--batch", "--buffer"], git_dir=view, stdin=_lines(small)).stdout
    return content.count(b"\n" + LFS_POINTER)


def _lines(oids: list[bytes]) -> bytes:
    return b"".join(oid + b"\n" for oid in oids)


def _count_dirty(repository: Repository, view: Path) -> int:
    """Count what `git status` would list, over a copy of the index and without the repository's configuration."""
    for name in ("index", *(file.name for file in repository.git_dir.glob("sharedindex.*"))):
        if (repository.git_dir / name).is_file():
            # With its time stamp: git decides by it which entries it must compare again.
            shutil.copy2(repository.git_dir / name, view / name)
    (view / "info").mkdir()
    for name in ("exclude", "attributes", "sparse-checkout"):
        source = repository.git_dir if name == "sparse-checkout" else repository.common_dir
        if (source / "info" / name).is_file():
            shutil.copyfile(source / "info" / name, view / "info" / name)
    told = run_git(
        ["status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=all", "--untracked-files=normal"],
        git_dir=view,
        work_tree=repository.root,
        cwd=repository.root,
        settings=_tree_settings(repository),
    )
    must(told, doing=f"{repository.root}: the state of the files cannot be read", mend="Run: git status")
    return told.stdout.count(b"\0")


def _tree_settings(repository: Repository) -> list[str]:
    told = run_git(
        ["config", "-z", "--get-regexp", rf"^core\.({_TREE_SETTINGS})$"], git_dir=repository.git_dir, users_own=True
    )
    settings = [f"core.excludesFile={Path('~/.config/git/ignore').expanduser()}"]
    for entry in told.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        key, newline, value = entry.partition("\n")
        if key == "core.excludesfile":
            value = str(Path(value).expanduser())
        settings.append(f"{key}={value}" if newline else key)
    return settings


def _with_warnings(found: Repository, dirty: int, submodules: tuple[str, ...], pointers: int) -> Repository:
    told: list[str] = []
    if found.bare:
        told.append("This is a bare repository; the run starts from its HEAD.")
    if dirty:
        told.append(f"{_count(dirty, 'uncommitted file')} left out: the run starts from the last commit.")
    if found.branch is None:
        told.append(f"HEAD is detached at {found.head_commit[:12]}; the run starts from that commit.")
    if found.shallow:
        told.append("The repository is a shallow clone; the sandbox sees only that part of the history.")
    if submodules:
        told.append(f"{_count(len(submodules), 'submodule')} left empty in the sandbox: {', '.join(submodules[:3])}.")
    if pointers:
        told.append(f"{_count(pointers, 'file')} of Git LFS: the sandbox sees the pointers, not the content.")
    return replace(found, dirty_files=dirty, submodules=submodules, lfs_pointers=pointers, warnings=tuple(told))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
