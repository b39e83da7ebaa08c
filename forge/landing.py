"""Bring a patch onto a branch of the forge as one commit, without overwriting anything that a person made.

publish.py -> Landing. Works in a git directory of its own that holds nothing but fetched objects; nothing is checked
out and no code of the repository runs. The commit depends on nothing but the evidence, so that making and pushing it
again changes nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from ostro.agent.errors import ForgeError
from ostro.forge.evidence import Evidence
from ostro.sandbox.git_process import must, pristine_git_dir, run_git
from ostro.sandbox.host_git import OSTRO_EMAIL, OSTRO_NAME, Base, identity, patched
from ostro.sandbox.reaper import reap_scratch
from ostro.sandbox.remote import Remote, fetch_commits, push_commit, remote_heads
from ostro.sandbox.scratch import scratch_folder

HISTORY_COMMITS = 500
RUN_TRAILER = "Ostro-Run"
MAX_SUFFIX = 20
PUSHES = 3
_WHO = f"%cn <%ce>%x00%(trailers:key={RUN_TRAILER},valueonly,separator=%x2C)%x01"


@dataclass(frozen=True)
class Landed:
    """Where the commit is.

    Attributes:
        moved: a person's commits are on the branch that was wanted, so another one was taken.
        started: the empty commit that starts CI is on top of it already.
    """

    branch: str
    commit: str
    moved: bool = False
    started: bool = False


@dataclass(frozen=True)
class _Made:
    """The commits of a result, in a git directory that lives as long as they are needed."""

    git_dir: Path
    commit: str
    starter: str


class Landing:
    """The base of a patch, fetched, and the branches that it may go to. A context manager.

    Raises:
        RepositoryError: the remote refuses or cannot be reached.
        ForgeError: the base is no commit of the branch that it is said to be of.
    """

    def __init__(self, remote: Remote, evidence: Evidence) -> None:
        self._remote = remote
        self._evidence = evidence
        reap_scratch()
        self._scratch = ExitStack()
        try:
            folder = self._scratch.enter_context(scratch_folder("publish")) / "fetched.git"
            self._git_dir = pristine_git_dir(folder, head=f"ref: refs/heads/{evidence.base_branch}")
            self.base = self._fetch()
        except BaseException:
            self._scratch.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scratch.close()

    def _fetch(self) -> Base:
        evidence = self._evidence
        self._heads = remote_heads(self._remote, self._git_dir, f"ostro/issue-{evidence.issue}*")
        own = [name for name in self._heads if self._is_candidate(name)]
        fetch_commits(
            self._remote, self._git_dir, [evidence.base_branch, evidence.base_commit, *own], depth=HISTORY_COMMITS
        )
        tip = evidence.branch if evidence.follow_up else evidence.base_branch
        told = run_git(
            ["merge-base", "--is-ancestor", evidence.base_commit, f"refs/heads/{tip}"], git_dir=self._git_dir
        )
        if told.code != 0:
            # A forge serves commits of forks too, so the id alone proves nothing.
            raise ForgeError(
                f"the base {evidence.base_commit[:12]} of the patch is no commit of {tip}",
                kind="conflict",
                mend="The branch was rewritten, or is far ahead: start a new run with `/ostro retry`.",
            )
        tree = must(run_git(["rev-parse", f"{evidence.base_commit}^{{tree}}"], git_dir=self._git_dir), doing="no base")
        return Base(self._git_dir, evidence.base_commit, tree.line, evidence.base_commit)

    def _is_candidate(self, name: str) -> bool:
        return name in {*self._names(salvage=False), *self._names(salvage=True), self._evidence.branch}

    def _names(self, *, salvage: bool) -> Iterator[str]:
        """Offer the names that a result may have, the one that is wanted first."""
        plain = f"ostro/issue-{self._evidence.issue}" + ("-salvage" if salvage else "")
        wanted = plain if salvage else self._evidence.branch
        yield wanted
        for number in range(1, MAX_SUFFIX):
            name = plain if number == 1 else f"{plain}-{number}"
            if name != wanted:
                yield name

    def land(self, patch: bytes, message: str, *, salvage: bool = False) -> Landed:
        """Commit the patch and push it.

        Args:
            patch: as the policy accepted it.
            message: of the commit.
            salvage: it is no result, only what a run left: it goes to a branch of its own.

        Raises:
            RepositoryError: the patch does not apply, or the push is refused.
            ForgeError: every name is taken by a person's work.
        """
        with self._made(patch, message) as made:
            for index, name in enumerate(self._names(salvage=salvage)):
                if self._push(made, name, keep=self._evidence.follow_up and not salvage):
                    return Landed(name, made.commit, moved=index > 0, started=self._heads.get(name) == made.starter)
        raise ForgeError("every branch that the result could have is taken", kind="conflict", mend="Delete old ones.")

    def start_checks(self, landed: Landed, patch: bytes, message: str, token: str) -> None:
        """Push an empty commit on top with a token whose pushes start CI; once for each result.

        Args:
            landed: what `land` returned.
            patch: what `land` was given.
            message: what `land` was given.
            token: another than that of the job.

        Raises:
            RepositoryError: the push is refused.
        """
        if landed.started:
            return
        with self._made(patch, message) as made:
            remote = replace(self._remote, token=token)
            push_commit(remote, made.git_dir, made.starter, landed.branch, expected=landed.commit)

    @contextmanager
    def _made(self, patch: bytes, message: str) -> Generator[_Made]:
        """Make the commit, and the empty one that may go on top; the same each time."""
        with patched(self.base, patch) as tree:
            if (self._git_dir / "shallow").exists():
                shutil.copyfile(self._git_dir / "shallow", tree.git_dir / "shallow")
            written = tree.tree()
            commit = self._commit(tree.git_dir, written, self.base.commit, message)
            empty = f"ci: start the checks\n\n{RUN_TRAILER}: {self._evidence.run_id or 'none'}\n"
            yield _Made(tree.git_dir, commit, self._commit(tree.git_dir, written, commit, empty))

    def _commit(self, git_dir: Path, tree: str, parent: str, message: str) -> str:
        dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), f"{self._evidence.finished_at} +0000")
        told = run_git(
            ["commit-tree", tree, "-p", parent, "-F", "-"],
            git_dir=git_dir,
            env=identity(OSTRO_NAME, OSTRO_EMAIL) | dates,
            stdin=message.encode("utf-8", "replace"),
        )
        return must(told, doing="the commit cannot be made").line

    def _push(self, made: _Made, name: str, *, keep: bool) -> bool:
        """Push to one name; False where a person's work is there.

        Args:
            made: the commits.
            name: of the branch.
            keep: only what the patch was made on is gone on with.
        """
        for _ in range(PUSHES):
            head = self._heads.get(name)
            if head in (made.commit, made.starter):
                return True
            if head is not None and head != self.base.commit and (keep or not self._is_ours(head)):
                return False
            if push_commit(self._remote, made.git_dir, made.commit, name, expected=head):
                self._heads[name] = made.commit
                return True
            self._look_again(name)  # somebody was quicker: a person, or another job of ours
        return False

    def _look_again(self, name: str) -> None:
        found = remote_heads(self._remote, self._git_dir, name)
        self._heads.pop(name, None)
        if found:
            self._heads |= found
            fetch_commits(self._remote, self._git_dir, [name], depth=HISTORY_COMMITS)

    def _is_ours(self, head: str) -> bool:
        """Whether every commit that a branch adds to the base branch was made by a run and left alone since.

        Whoever amends, rebases or adds a commit becomes its committer.
        """
        told = run_git(
            ["log", f"--format={_WHO}", head, "--not", f"refs/heads/{self._evidence.base_branch}"],
            git_dir=self._git_dir,
        )
        listed = must(told, doing=f"the commits of {head[:12]} cannot be read").stdout.decode("utf-8", "replace")
        commits = [entry.strip("\n").partition("\0") for entry in listed.split("\x01") if entry.strip("\n")]
        return all(committer == f"{OSTRO_NAME} <{OSTRO_EMAIL}>" and run for committer, _, run in commits)
