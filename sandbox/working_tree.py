"""Change the files of the user's own work tree as a patch says: all of them, or none."""

from __future__ import annotations

from pathlib import Path

from ostro.sandbox.git_process import must, pristine_git_dir, run_git
from ostro.sandbox.host_git import ALLOC_LIMIT
from ostro.sandbox.scratch import scratch_folder


def apply_to_work_tree(root: Path, patch: bytes, *, reverse: bool = False) -> None:
    """Apply a patch to files; nothing is staged or committed, and no filter, hook or program of a repository runs.

    Args:
        root: top folder of the work tree. Uncommitted changes in it stay, and may be in the way.
        patch: as `git diff --binary` writes it.
        reverse: take it back.

    Raises:
        RepositoryError: it does not fit, in git's words; no file was changed then.
    """
    with scratch_folder("git") as scratch:
        # The configuration of the user's repository is not read: it could name a filter.
        git_dir = pristine_git_dir(scratch / "apply.git", head="ref: refs/heads/none")
        told = run_git(
            ["apply", "--binary", "--whitespace=nowarn", *(["--reverse"] if reverse else []), "-"],
            git_dir=git_dir,
            work_tree=root,
            cwd=root,
            settings=("core.bare=false",),
            stdin=patch,
            env={"GIT_ALLOC_LIMIT": ALLOC_LIMIT},
        )
        must(told, doing="the patch does not fit" if not reverse else "the patch cannot be taken back")
