"""Make the evidence of what a run left: its report, its patch, the last lines of its trajectory.

solve.py -> first_evidence -> (the run) -> gathered -> evidence.write_evidence.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ostro.agent.config_sources import Configuration
from ostro.agent.errors import UsageError
from ostro.agent.outcome import Outcome, RunReport
from ostro.agent.record.events import Called, Event
from ostro.agent.record.trajectory import TrajectoryError, read_events
from ostro.agent.request import REQUEST_FILE
from ostro.agent.task import Task
from ostro.forge.decide import Assignment
from ostro.forge.evidence import Evidence
from ostro.forge.job import Job
from ostro.forge.misshapen import first_problem
from ostro.forge.proposal import propose

TAIL_STEPS = 25
LINE_CHARS = 200
LONGEST_WARNING = 500


def first_evidence(
    job: Job, assignment: Assignment, order: str, *, base_commit: str, kind: Literal["run", "stop"] = "run"
) -> Evidence:
    """Return what is known before the run, made then, so that nothing is spent on what could not be handed on.

    Raises:
        UsageError: a name of the job, such as that of its branch, is none that the evidence can hold.
    """
    facts: dict[str, Any] = {
        "kind": kind,
        "repository": job.repository,
        "issue": assignment.issue.number,
        "order": order,
        "trigger": f"{assignment.order.trigger}: {assignment.order.command}",
        "actor": assignment.actor,
        "actor_id": assignment.order.actor_id,
        "rounds": assignment.rounds,
        "base_branch": assignment.base_branch,
        "base_commit": base_commit,
        "follow_up": assignment.follow_up,
        "pull": assignment.pull.number if assignment.pull else None,
        "branch": assignment.branch,
        "run_url": job.run_url,
        "finished_at": 0,
    }
    try:
        return Evidence.model_validate(facts)
    except ValidationError as error:
        raise UsageError(f"Ostro cannot work with a name of this job: {first_problem(error)}") from error


def gathered(
    evidence: Evidence, report: RunReport | None, outcome: Outcome | None, task: Task, found: Configuration
) -> tuple[Evidence, bytes]:
    """Return the evidence filled from the run's report, or from why there is none, and the patch."""
    evidence = _with(evidence, {"finished_at": int(time.time())})
    if report is None:
        assert outcome is not None
        changes: dict[str, Any] = {"outcome": outcome.ending, "reason": outcome.reason[:4000], "error": outcome.error}
        return _with(evidence, changes), b""
    patch = Path(report.patch).read_bytes() if report.patch and report.branch else b""
    proposal, cost = (
        propose(task, patch, report.reason, found.settings) if patch and report.exit_code == 0 else (None, 0.0)
    )
    changes = {
        "run_id": _run_id(Path(report.run)),
        "model": report.model[:500],
        "outcome": report.outcome,
        "reason": report.reason[:4000],
        "error": report.error,
        "proposal": proposal,
        "tests": report.tests,
        "security": report.security[:200],
        "warnings": tuple(line[:LONGEST_WARNING] for line in report.warnings[:100]),
        "files_changed": tuple(name[:LONGEST_WARNING] for name in report.files_changed[:1000]),
        "patch_sha256": hashlib.sha256(patch).hexdigest() if patch else "",
        "cost_usd": round(report.cost_usd + cost, 6),
        "cost_source": report.cost_source,
        "tokens": report.tokens,
        "steps": report.steps,
        "seconds": report.seconds,
        "sandbox": report.sandbox[:500],
    }
    return _with(evidence, changes), patch


def _with(evidence: Evidence, changes: Mapping[str, Any]) -> Evidence:
    """Return the evidence with changes, validated: `model_copy` would take anything."""
    return Evidence.model_validate(evidence.model_dump() | dict(changes))


def _run_id(folder: Path) -> str:
    try:
        return str(json.loads((folder / REQUEST_FILE).read_text("utf-8"))["run_id"])
    except (OSError, ValueError, KeyError):
        return ""


def with_tail(evidence: Evidence, log: Path) -> Evidence:
    """Return the evidence with the last calls of a trajectory; one that cannot be read adds none."""
    try:
        lines = tuple(_line(event) for event in read_events(log) if isinstance(event, Called))[-TAIL_STEPS:]
    except TrajectoryError:
        lines = ()
    return _with(evidence, {"tail": lines})


def _line(event: Event) -> str:
    assert isinstance(event, Called)
    told = " ".join(json.dumps(value, ensure_ascii=False) for value in event.call.arguments.values())
    line = f"{event.turn + 1}. {event.call.name} {' '.join(told.split())}"
    return line if len(line) <= LINE_CHARS else line[: LINE_CHARS - 3] + "..."
