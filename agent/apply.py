"""Bring the patch of a finished run into a work tree of the user's: `ostro apply`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ostro.agent.errors import StorageError, UsageError
from ostro.agent.outcome import RunReport
from ostro.agent.request import REPORT_FILE, read_request
from ostro.agent.workshop import BASE_GIT
from ostro.sandbox.host_git import open_base
from ostro.sandbox.policy import PatchPolicy, check_patch
from ostro.sandbox.protocol import RepositoryError
from ostro.sandbox.repository import inspect_repository
from ostro.sandbox.working_tree import apply_to_work_tree


@dataclass(frozen=True)
class Applied:
    """What was changed.

    Attributes:
        tree: top folder of the work tree.
        files: paths in it, sorted.
        refusals: what the policy took out of the patch or remarks on, one line each.
    """

    tree: Path
    files: tuple[str, ...]
    refusals: tuple[str, ...]


def apply_run(folder: Path, repository: Path | None, *, reverse: bool = False) -> Applied:
    """Apply the patch of a run to the work tree of its repository, or of another one.

    Nothing is staged or committed. The patch is what the policy leaves of it, as on the run's branch.

    Args:
        folder: of the run, which has ended.
        repository: a folder in the work tree; None for that of the run.
        reverse: take the patch back.

    Raises:
        UsageError: the run has not ended, left no patch, or one that the policy refuses whole.
        RepositoryError: there is no such work tree, or the patch does not fit it; nothing was changed.
        StorageError: the run folder lacks something.
    """
    request, report = read_request(folder), _report(folder)
    if not report.patch:
        raise UsageError(f"the run {folder.name} left no patch: {report.outcome}")
    try:
        patch, base = Path(report.patch).read_bytes(), open_base(folder / BASE_GIT)
    except (OSError, RepositoryError) as error:
        raise StorageError(f"the run folder lacks something: {error}", kind="damaged") from error
    checked = check_patch(base, patch, PatchPolicy(levels=request.configuration().policy))
    if not checked.patch:
        raise UsageError(
            f"the policy refuses the patch: {'; '.join(checked.notices())}",
            mend=f"Look at {report.patch}, and take by hand what you want of it.",
        )
    found = inspect_repository(repository or request.repository)
    if found.bare:
        raise UsageError(f"{found.root} is a bare repository, without files", mend="Give a checkout with --repo.")
    try:
        apply_to_work_tree(found.root, checked.patch, reverse=reverse)
    except RepositoryError as error:
        raise RepositoryError(str(error), mend=_mend(report.branch, reverse=reverse)) from error
    return Applied(found.root, checked.files, checked.notices())


def _mend(branch: str | None, *, reverse: bool) -> str:
    if reverse:
        return "The files have changed since, or it was not applied: `git diff` shows how they are."
    if branch:
        return f"The files have changed since: merge the branch instead, git merge {branch}"
    return "The files have changed since the run began: check out its base, or run it again."


def _report(folder: Path) -> RunReport:
    path = folder / REPORT_FILE
    try:
        return RunReport.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UsageError(f"the run {folder.name} has not ended", mend="`ostro resume` goes on with it.") from error
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read: {str(error).splitlines()[0]}", kind="damaged") from error
