"""One run, start to end: repository and task in, branch, patch file, run folder and report out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ostro.agent.config import Settings
from ostro.agent.outcome import RunReport
from ostro.agent.record.trajectory import Event
from ostro.agent.task import Task

Listener = Callable[[Event], None]
"""Called with every event of the trajectory as it is written, in order; must return quickly."""


@dataclass(frozen=True)
class RunRequest:
    """What a front end asks for.

    Attributes:
        repository: the user's checkout (a URL was cloned before).
        task: the issue, read and sanitised.
        settings: the effective configuration.
        out: the run folder; None for a new one below `settings.home / "runs"`.
        test_source: where `settings.test` came from, for the report.
        warnings: of the front end, for the summary: a dirty tree, an ignored configuration key.
    """

    repository: Path
    task: Task
    settings: Settings
    out: Path | None = None
    test_source: str = "config"
    warnings: tuple[str, ...] = ()


def run(request: RunRequest, listener: Listener | None = None) -> RunReport:
    """Drive one task to its end; every ending is a report, never an exception, but for a bug of ours.

    Raises:
        UsageError, RepositoryError: before anything was started or changed.
    """
    raise NotImplementedError
