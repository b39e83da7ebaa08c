"""The base that enters a sandbox, and patches applied to it on the host without any work tree.

repository.inspect_repository -> prepare_base -> (sandbox) -> policy.check_patch -> branch.write_branch. A patch is
applied to a private index over a pristine git directory; git_process.py says why.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ostro.sandbox.git_process import must, pristine_git_dir, run_git
from ostro.sandbox.repository import Repository, borrowed_view
from ostro.sandbox.scratch import scratch_folder

BASE_DEPTH = 200
BASE_REF = "refs/heads/base"
OSTRO_NAME, OSTRO_EMAIL = "Ostro", "ostro@localhost"

ALLOC_LIMIT = "512m"
ALL_OF_IT = 2**31 - 1
COMMITS_PER_DEPTH = 20
"""How many commits are looked at for each step of depth; with more branches side by side, history ends earlier."""


@dataclass(frozen=True)
class Base:
    """The commit that a run starts from, in a git directory of its own.

    Attributes:
        git_dir: bare, self-contained: packs, one reference, no remote, no hook.
        commit: full hex id in `git_dir`.
        tree: full hex id of its tree.
        source_commit: the commit of the user's repository; differs from `commit` only when re-rooted.
        shallow: older history was left out.
    """

    git_dir: Path
    commit: str
    tree: str
    source_commit: str
    shallow: bool = False
    object_format: str = "sha1"


@dataclass(frozen=True)
class Change:
    """One path that a patch changes, as `git diff-index --raw` has it.

    Attributes:
        status: A, D, M or T.
        old_mode: git's mode in the base, "000000" for a new file.
        new_mode: git's mode in the patched tree, "000000" for a deleted file.
    """

    path: bytes
    status: str
    old_mode: str
    new_mode: str
    old_blob: str
    new_blob: str

    @property
    def blobs(self) -> tuple[str, ...]:
        """The ids of the contents before and after; a submodule has none."""
        sides = ((self.old_mode, self.old_blob), (self.new_mode, self.new_blob))
        return tuple(blob for mode, blob in sides if mode not in ("000000", "160000"))

    @property
    def name(self) -> str:
        """The path as text, bytes that are not UTF-8 escaped."""
        return self.path.decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Blob:
    """A file's content in git; `data` is empty where it was too large to be read."""

    size: int
    data: bytes = b""


NO_BLOB = Blob(0)


def prepare_base(repository: Repository, into: Path, *, depth: int | None = BASE_DEPTH) -> Base:
    """Copy HEAD and its history into a new bare git directory that needs nothing else.

    Args:
        repository: the user's repository.
        into: folder to make; it must not exist yet.
        depth: how many commits of history; None for all of it. With 1 the commit has no parent, message or date of
            the original: nothing tells what came before or after.

    Raises:
        RepositoryError: objects of HEAD are missing or broken.
        SandboxError: no room on the disk.
    """
    with borrowed_view(repository, beside=into) as view:
        commit = _rerooted(view, repository.head_commit) if depth == 1 else repository.head_commit
        (view / BASE_REF).write_text(f"{commit}\n", encoding="ascii")
        pristine_git_dir(into, head=f"ref: {BASE_REF}", object_format=repository.object_format)
        if depth == 1:
            (view / "shallow").unlink(missing_ok=True)
        elif depth is not None or repository.shallow:
            _cut_history(view, commit, depth or ALL_OF_IT)
        _pack(view, into, source=repository.root)
        (into / BASE_REF).write_text(f"{commit}\n", encoding="ascii")
    tree = must(run_git(["rev-parse", f"{commit}^{{tree}}"], git_dir=into), doing=f"{repository.root}: no tree").line
    return Base(
        git_dir=into,
        commit=commit,
        tree=tree,
        source_commit=repository.head_commit,
        shallow=(into / "shallow").exists(),
        object_format=repository.object_format,
    )


def open_base(git_dir: Path, *, source_commit: str = "") -> Base:
    """Return the base that an earlier `prepare_base` left in `git_dir`.

    Raises:
        RepositoryError: it is not there or broken.
    """
    told = must(
        run_git(["rev-parse", BASE_REF, f"{BASE_REF}^{{tree}}", "--show-object-format"], git_dir=git_dir),
        doing=f"{git_dir} is not a prepared base",
    )
    commit, tree, object_format = told.line.split("\n")
    return Base(
        git_dir=git_dir,
        commit=commit,
        tree=tree,
        source_commit=source_commit or commit,
        shallow=(git_dir / "shallow").exists(),
        object_format=object_format,
    )


class PatchedTree:
    """The base's tree with a patch applied, in a private index and object folder. Made by `patched`."""

    def __init__(self, base: Base, git_dir: Path) -> None:
        self.base = base
        self.git_dir = git_dir

    def changes(self) -> list[Change]:
        """Return what differs from the base, renames as a deletion and an addition."""
        raw = must(
            run_git(
                ["diff-index", "--cached", "--raw", "-z", "--no-renames", "--full-index", self.base.tree],
                git_dir=self.git_dir,
            ),
            doing="the patch cannot be listed",
        ).stdout
        fields = raw.split(b"\0")[:-1]
        return [_change(about, path) for about, path in zip(fields[::2], fields[1::2], strict=True)]

    def links(self) -> dict[bytes, str]:
        """Return path -> blob id of every symbolic link of the patched tree."""
        told = run_git(["ls-files", "--stage", "-z"], git_dir=self.git_dir)
        entries = must(told, doing="the patched tree cannot be listed").stdout.split(b"\0")
        found = (entry.partition(b"\t") for entry in entries if entry.startswith(b"120000 "))
        return {path: about.split(b" ")[1].decode("ascii") for about, _, path in found}

    def restore(self, changes: Iterable[Change]) -> None:
        """Give these paths back what they have in the base."""
        zero = "0" * len(self.base.tree)
        lines = b"".join(
            f"{change.old_mode} {zero if change.status == 'A' else change.old_blob}\t".encode() + change.path + b"\0"
            for change in changes
        )
        told = run_git(["update-index", "-z", "--index-info"], git_dir=self.git_dir, stdin=lines)
        must(told, doing="the patch cannot be stripped")

    def patch(self) -> bytes:
        """Return the difference from the base as a git binary patch."""
        told = run_git(
            [
                "diff-index",
                "--cached",
                "-p",
                "--binary",
                "--full-index",
                "--no-ext-diff",
                "--no-textconv",
                "--no-renames",
                "--no-color",
                "--src-prefix=a/",
                "--dst-prefix=b/",
                self.base.tree,
            ],
            git_dir=self.git_dir,
        )
        return must(told, doing="the patch cannot be written").stdout

    def tree(self) -> str:
        """Write the tree into the private object folder and return its id."""
        return must(run_git(["write-tree"], git_dir=self.git_dir), doing="the patched tree cannot be written").line

    def blobs(self, oids: Iterable[str], *, max_bytes: int) -> dict[str, Blob]:
        """Return size and content of blobs; null ids are left out, the content of one above `max_bytes` is b""."""
        wanted = sorted({oid for oid in oids if oid.strip("0")})
        told = self._cat(["--batch-check=%(objectname) %(objecttype) %(objectsize)"], wanted).decode("ascii")
        fields = [line.split(" ") for line in told.splitlines()]
        sizes = {about[0]: int(about[2]) for about in fields if about[1] == "blob"}
        small = [oid for oid, size in sizes.items() if size <= max_bytes]
        content, at = self._cat(["--batch"], small), 0
        found = {oid: Blob(size) for oid, size in sizes.items()}
        for oid in small:
            at = content.index(b"\n", at) + 1
            found[oid] = Blob(sizes[oid], content[at : at + sizes[oid]])
            at += sizes[oid] + 1
        return found

    def _cat(self, how: list[str], oids: list[str]) -> bytes:
        lines = "".join(f"{oid}\n" for oid in oids).encode("ascii")
        return must(
            run_git(["cat-file", *how, "--buffer"], git_dir=self.git_dir, stdin=lines), doing="a file cannot be read"
        ).stdout


@contextmanager
def patched(base: Base, patch: bytes) -> Generator[PatchedTree]:
    """Apply a patch to the base without any work tree.

    Raises:
        RepositoryError: it does not apply, or git refuses one of its paths (`..`, `.git`, a symlink's inside).
    """
    with scratch_folder("git") as scratch:
        git_dir = pristine_git_dir(
            scratch / "apply.git",
            borrow=base.git_dir.resolve() / "objects",
            head=base.commit,
            object_format=base.object_format,
        )
        must(run_git(["read-tree", base.tree], git_dir=git_dir), doing="the base cannot be read")
        if patch.strip():
            told = run_git(
                ["apply", "--cached", "--binary", "--whitespace=nowarn", "-"],
                git_dir=git_dir,
                stdin=patch,
                # A few bytes of a binary patch can say that they unpack to terabytes.
                env={"GIT_ALLOC_LIMIT": ALLOC_LIMIT},
            )
            must(told, doing="the patch does not apply")
        yield PatchedTree(base, git_dir)


def changed_files(base: Base, patch: bytes) -> tuple[str, ...]:
    """Return the paths that the patch changes, sorted; both names of a renamed file.

    Raises:
        RepositoryError: the patch does not apply to the base.
    """
    with patched(base, patch) as tree:
        return tuple(sorted(change.name for change in tree.changes()))


def _rerooted(view: Path, head: str) -> str:
    """Make a commit of HEAD's tree without parents; the same tree gives the same commit."""
    author = identity(OSTRO_NAME, OSTRO_EMAIL) | {
        "GIT_AUTHOR_DATE": "1000000000 +0000",
        "GIT_COMMITTER_DATE": "1000000000 +0000",
    }
    told = run_git(["commit-tree", f"{head}^{{tree}}", "-m", "Base"], git_dir=view, env=author)
    return must(told, doing="the base commit cannot be made", mend="Run: git fsck").line


def _cut_history(view: Path, commit: str, depth: int) -> None:
    """Let `view` end its history `depth` commits from `commit`, as `git clone --depth` does, by its shallow file."""
    at_most = min(depth * COMMITS_PER_DEPTH, ALL_OF_IT)
    told = must(
        run_git(["rev-list", "--parents", f"--max-count={at_most}", commit], git_dir=view),
        doing="the history of HEAD cannot be read",
        mend="Run: git fsck",
    )
    parents = {line.split(" ")[0]: line.split(" ")[1:] for line in told.line.split("\n")}
    level, seen = [commit], {commit}
    while level and (depth := depth - 1) > 0:
        above = (parent for child in level for parent in parents[child])
        level = [parent for parent in dict.fromkeys(above) if parent in parents and parent not in seen]
        seen.update(level)
    known = set((view / "shallow").read_text("ascii").split()) if (view / "shallow").exists() else set[str]()
    cut_off = {child for child in seen if not seen.issuperset(parents[child])} | (known & seen)
    (view / "shallow").unlink(missing_ok=True)
    if cut_off:
        (view / "shallow").write_text("".join(f"{child}\n" for child in sorted(cut_off)), encoding="ascii")


def _pack(view: Path, into: Path, *, source: Path) -> None:
    """Write one pack of all that `base` reaches in `view`; deltas are taken as they are, none is searched for."""
    quick = ["--delta-base-offset", "--window=0", "--compression=1"]
    told = run_git(
        ["pack-objects", "--quiet", "--revs", *quick, into / "objects" / "pack" / "pack"],
        git_dir=view,
        stdin=f"{BASE_REF}\n".encode(),
    )
    must(
        told,
        doing=f"{source}: the history of HEAD cannot be copied",
        mend="Run: git fsck; a partial clone must be completed first: git fetch --refetch --no-filter",
    )
    if (view / "shallow").exists():
        shutil.copyfile(view / "shallow", into / "shallow")


def _change(about: bytes, path: bytes) -> Change:
    old_mode, new_mode, old_blob, new_blob, status = about.decode("ascii").lstrip(":").split(" ")
    return Change(path, status[0], old_mode, new_mode, old_blob, new_blob)


def identity(name: str, email: str) -> dict[str, str]:
    """Return the variables that make somebody author and committer."""
    return {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": email,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": email,
    }
