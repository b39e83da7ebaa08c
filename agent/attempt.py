"""One attempt: the loop in one sandbox, every failure turned into an outcome, the patch salvaged whatever happens.

This is the boundary where exceptions of the model, the sandbox and the disk become endings.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path

from ostro.agent.checkpoints import PATCH_FILE
from ostro.agent.errors import Interrupted, ModelError, OstroError, PreflightError, StorageError
from ostro.agent.interruption import interruptible
from ostro.agent.loop import Agent
from ostro.agent.model.reply import CostSource
from ostro.agent.outcome import Ending, ErrorReport, Outcome, TestRun, Tokens
from ostro.agent.record.events import Ended, Noted, Published
from ostro.agent.record.reconstruct import State
from ostro.agent.record.redact import redacted
from ostro.agent.trouble import trouble_of
from ostro.sandbox.protocol import SandboxError

CRASH_REPORT = "internal-error.txt"
OWN_PATCH_FILE = "attempt-1.diff"
"""The first attempt's own patch in the run folder, where `PATCH_FILE` holds another one that was published."""


@dataclass(frozen=True)
class AttemptResult:
    """What one attempt leaves.

    Attributes:
        patch: the difference from the base, b"" for none; salvaged on every ending.
        folder: where its trajectory lies.
        published: the branch that an ended process made of it.
        tested: the results of an ended process' tests, by phase.
    """

    outcome: Outcome
    patch: bytes
    folder: Path
    steps: int
    tokens: Tokens
    cost_usd: float
    cost_source: CostSource
    repairs: dict[str, int]
    published: Published | None = None
    tested: dict[str, TestRun] = field(default_factory=dict[str, TestRun])


def drive(agent: Agent, seconds: float = 0.0) -> AttemptResult:
    """Run the loop to its end, salvage the patch, and close the trajectory with an `ended` event.

    Args:
        agent: ready to run.
        seconds: how long ended processes worked on the attempt.
    """
    started = time.monotonic()
    folder = agent.log.path.parent
    outcome = _outcome_of(agent, folder)
    patch, failed = agent.checkpoints.salvage()
    if failed is not None and outcome.error is None:
        outcome = outcome_of_error(failed)
    outcome = redacted(_with_patch(outcome, patch), agent.tools.redact)
    budget = agent.budget
    result = AttemptResult(
        outcome=outcome,
        patch=patch,
        folder=folder,
        steps=budget.used_steps,
        tokens=budget.tokens,
        cost_usd=budget.cost_usd,
        cost_source=budget.cost_source,
        repairs=dict(agent.repairs),
    )
    try:
        if failed is not None:
            agent.log.write(Noted(kind="salvage", text=f"the patch may be an older snapshot: {failed}"))
        agent.log.write(ended_event(result, seconds + time.monotonic() - started))
    except StorageError as error:
        return replace(result, outcome=outcome_of_error(error))
    return result


def ended_event(result: AttemptResult, seconds: float) -> Ended:
    """Return what the log says of the end of an attempt that took so many seconds."""
    return Ended(
        outcome=result.outcome,
        patch=PATCH_FILE if result.patch else "",
        patch_sha256=hashlib.sha256(result.patch).hexdigest() if result.patch else "",
        steps=result.steps,
        tokens=result.tokens,
        cost_usd=result.cost_usd,
        cost_source=result.cost_source,
        repairs=result.repairs,
        seconds=round(seconds, 3),
    )


def result_of(state: State, folder: Path) -> AttemptResult | None:
    """Return what an attempt left that had ended before; None where its patch is not there any more.

    Args:
        state: of its log.
        folder: where that lies.
    """
    ended = state.ended
    if ended is None:
        return None
    patch = b""
    if ended.patch:
        kept = (path.read_bytes() for path in (folder / ended.patch, folder / OWN_PATCH_FILE) if path.is_file())
        found = next((data for data in kept if hashlib.sha256(data).hexdigest() == ended.patch_sha256), None)
        if found is None:
            return None
        patch = found
    return AttemptResult(
        outcome=ended.outcome,
        patch=patch,
        folder=folder,
        steps=ended.steps,
        tokens=ended.tokens,
        cost_usd=ended.cost_usd,
        cost_source=ended.cost_source,
        repairs=ended.repairs,
        published=state.published,
        tested=dict(state.tested),
    )


def _outcome_of(agent: Agent, folder: Path) -> Outcome:
    try:
        with interruptible():
            return agent.run()
    except (OstroError, SandboxError) as error:
        if isinstance(error, ModelError) and agent.budget.seconds_left() <= 0:
            return Outcome(ending=Ending.TIME_LIMIT, reason="the time limit was reached while the model answered")
        return outcome_of_error(error)
    except KeyboardInterrupt:
        return outcome_of_error(Interrupted("interrupted"))
    except Exception as error:  # noqa: BLE001  # a bug of ours must not cost the user's patch
        if trouble := trouble_of(error, folder):
            return outcome_of_error(trouble)
        report = folder / CRASH_REPORT
        with contextlib.suppress(OSError):
            report.write_text(agent.tools.redact("".join(traceback.format_exception(error))), encoding="utf-8")
        return Outcome(
            ending=Ending.INTERNAL_ERROR,
            reason=f"{type(error).__name__}: {error}",
            error=ErrorReport(
                kind="internal_error",
                message=f"{type(error).__name__}: {error}",
                mend=f"This is a bug of Ostro's; please report it with {report}",
            ),
        )


def _with_patch(outcome: Outcome, patch: bytes) -> Outcome:
    """A submission without a change is no submission."""
    if outcome.ending is Ending.SUBMITTED and not patch:
        return outcome.model_copy(update={"ending": Ending.NO_ACTION})
    return outcome


def outcome_of_error(error: OstroError | SandboxError) -> Outcome:
    """Return the ending that an exception of either tree means."""
    checks = error.checks if isinstance(error, PreflightError) else ()
    report = ErrorReport(kind=error.kind, message=str(error), mend=error.mend, checks=checks)
    return Outcome(ending=_ending_of(error), reason=str(error), error=report)


def _ending_of(error: OstroError | SandboxError) -> Ending:
    if isinstance(error, ModelError):
        return Ending.CONTEXT_LIMIT if error.model_kind == "overflow" else Ending.MODEL_ERROR
    if isinstance(error, SandboxError):
        by_kind = {
            "workspace_lost": Ending.WORKSPACE_LOST,
            "disk_full": Ending.DISK_FULL,
            "storage": Ending.STORAGE_ERROR,
        }
        return by_kind.get(error.kind, Ending.SANDBOX_ERROR)
    if isinstance(error, StorageError):
        return Ending.DISK_FULL if error.kind == "disk_full" else Ending.STORAGE_ERROR
    if isinstance(error, PreflightError):
        return Ending.PREFLIGHT_FAILED
    return Ending.INTERRUPTED if isinstance(error, Interrupted) else Ending.USAGE
