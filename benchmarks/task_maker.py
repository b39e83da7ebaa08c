"""Make a task of two commits of a local repository: the base, and the fix with its tests.

The difference is split into tests and the rest, and which tests the fix mends is found by running them before and
after in a sandbox, twice. Behind `ostro init-task`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from ostro.agent.errors import UsageError
from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.grading import grade
from ostro.benchmarks.instance import FilesSource, GitSource, Instance, Source
from ostro.benchmarks.parsers import PARSERS
from ostro.benchmarks.recipe import Environment, Flavour
from ostro.benchmarks.row_text import validated
from ostro.benchmarks.statuses import PASSING
from ostro.benchmarks.store import TEST_LOG
from ostro.benchmarks.tampering import is_test, paths_of
from ostro.benchmarks.verdict import normal_newlines
from ostro.sandbox.git_process import must, run_git
from ostro.sandbox.repository import Repository, borrowed_view, inspect_repository
from ostro.sandbox.scratch import scratch_folder

INLINE_BYTES = 256 * 1024
"""A base tree of plain text up to this size goes into the row itself, which then needs no repository."""

_REGULAR = "100644"


class TaskError(UsageError):
    """The commits make no task; the message says why."""


@dataclass(frozen=True)
class Commits:
    """The two commits, by full id, of a repository on this machine."""

    repository: Repository
    base: str
    fix: str


def find_commits(repository: Path, base: str, fix: str) -> Commits:
    """Return the commits that two names mean.

    Raises:
        RepositoryError: there is no such repository or commit.
    """
    found = inspect_repository(repository)
    ids = [
        must(
            run_git(["rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}"], git_dir=found.git_dir),
            doing=f"{repository}: there is no commit {name}",
        ).line
        for name in (base, fix)
    ]
    return Commits(found, ids[0], ids[1])


def split_change(commits: Commits) -> tuple[str, str]:
    """Return the fix and the tests of it as two patches.

    Raises:
        TaskError: one of the two is empty.
    """
    names = _diff(commits, ["--name-only", "-z", "--no-renames"])
    paths = [name.decode("utf-8", "surrogateescape") for name in names.split(b"\0") if name]
    tests = [path for path in paths if is_test(path)]
    code = [path for path in paths if not is_test(path)]
    if not tests or not code:
        what = "no test" if not tests else "nothing but tests"
        raise TaskError(
            f"{commits.base[:12]}..{commits.fix[:12]} changes {what}",
            mend="The second commit must hold the fix and the tests that show it.",
        )
    return _patch(commits, code), _patch(commits, tests)


def base_source(commits: Commits) -> Source:
    """Return the base tree: in the row itself where it is small plain text, else by its commit."""
    with borrowed_view(commits.repository) as view:
        files = _small_tree(view, commits.base)
    if files is None:
        return GitSource(type="git", repository=str(commits.repository.root), commit=commits.base)
    return FilesSource(type="files", files=files)


def _small_tree(git_dir: Path, commit: str) -> dict[str, str] | None:
    """Return the files of a commit, None where they are many, large, programs, or no text."""
    listed = must(run_git(["ls-tree", "-r", "-z", "--long", commit], git_dir=git_dir), doing="no tree").stdout
    files: dict[str, str] = {}
    size = 0
    for entry in filter(None, listed.split(b"\0")):
        about, _, path = entry.partition(b"\t")
        mode, _, oid, length = about.decode().split()
        size += int(length) if length.isdigit() else INLINE_BYTES + 1
        if mode != _REGULAR or size > INLINE_BYTES:
            return None
        blob = must(run_git(["cat-file", "blob", oid], git_dir=git_dir), doing="no blob").stdout
        try:
            files[path.decode()] = blob.decode()
        except UnicodeDecodeError:
            return None
    return files


def make_task(
    instance_id: str,
    statement: str,
    commits: Commits,
    *,
    test_cmd: str,
    log_parser: str,
    pip: Sequence[str] = (),
    install: Sequence[str] = (),
    needs: Sequence[str] = (),
    flavour: Flavour,
    home: Path,
    base_image: str = "",
) -> Instance:
    """Return the row of a task, its test lists found by running.

    Raises:
        TaskError: the tests do not show the fix: none fails before and passes after.
        InstanceError: a value cannot stand in a row, such as a name with a slash.
        SetupError: the environment cannot be made.
        SandboxError: the sandbox failed.
    """
    patch, test_patch = split_change(commits)
    setup: dict[str, JsonValue] = {
        "source": base_source(commits).model_dump(mode="json"), "pip": [*pip], "install": [*install],
        "needs": [*needs], "test_cmd": test_cmd, "log_parser": log_parser,
    }  # fmt: skip
    draft = validated(
        {
            "instance_id": instance_id,
            "repo": instance_id.split("__", maxsplit=1)[0],
            "base_commit": commits.base,
            "problem_statement": statement,
            "test_patch": test_patch,
            "environment_setup": setup,
        },
        f"the task {instance_id!r}",
    )
    environment = build_environment(draft, flavour, home, base_image=base_image)
    before = [_passing(draft, environment, b"") for _ in range(2)]
    after = [_passing(draft, environment, patch.encode("utf-8", "surrogateescape")) for _ in range(2)]
    always, never = after[0] & after[1], before[0] | before[1]
    mended = tuple(sorted(always - never))
    if not mended:
        raise TaskError(
            f"{instance_id}: no test fails on the base and passes with the fix ({len(always)} pass after it)",
            mend=f"Check the test command and that {log_parser!r} is the parser of its output.",
        )
    kept = tuple(sorted(before[0] & before[1] & always))
    return draft.model_copy(update={"patch": patch, "fail_to_pass": mended, "pass_to_pass": kept})


def _passing(instance: Instance, environment: Environment, patch: bytes) -> set[str]:
    with scratch_folder("task") as folder:
        report = grade(instance, environment, patch, folder)
        if report.verdict == "patch_failed":
            raise TaskError(f"{instance.instance_id}: the fix does not apply to its base: {report.findings}")
        log = normal_newlines((folder / TEST_LOG).read_text(encoding="utf-8"))
    statuses = PARSERS[instance.environment.log_parser](log)
    return {test for test, status in statuses.items() if status in PASSING}


def _diff(commits: Commits, options: Sequence[str], paths: Sequence[str] = ()) -> bytes:
    """Compare the commits in a directory of our own, for the user's configuration may name programs."""
    arguments = ["diff-tree", "-r", *options, "--no-ext-diff", "--no-textconv", commits.base, commits.fix, "--", *paths]
    with borrowed_view(commits.repository) as view:
        return must(run_git(arguments, git_dir=view), doing="the commits cannot be compared").stdout


def _patch(commits: Commits, paths: Sequence[str]) -> str:
    options = ["-p", "--binary", "--full-index", "--no-renames"]
    literal = [f":(literal){path}" for path in paths]
    text = _diff(commits, options, literal).decode("utf-8", "surrogateescape")
    assert paths_of(text)
    return text
