"""One attempt: the loop in one sandbox, every failure turned into an outcome, the patch salvaged whatever happens.

This is the boundary where exceptions of the model, the sandbox and the disk become endings.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

from ostro.agent.errors import Interrupted, ModelError, OstroError, PreflightError, StorageError
from ostro.agent.interruption import interruptible
from ostro.agent.loop import Agent
from ostro.agent.model.reply import CostSource
from ostro.agent.outcome import Ending, ErrorReport, Outcome, Tokens
from ostro.agent.patch_keeper import PatchKeeper
from ostro.agent.record.events import Ended, Noted
from ostro.agent.record.trajectory import is_disk_trouble, storage_error
from ostro.sandbox.protocol import SandboxError

CRASH_REPORT = "internal-error.txt"
PATCH_FILE = "patch.diff"


@dataclass(frozen=True)
class AttemptResult:
    """What one attempt leaves.

    Attributes:
        patch: the difference from the base, b"" for none; salvaged on every ending.
        folder: where its trajectory lies.
    """

    outcome: Outcome
    patch: bytes
    folder: Path
    steps: int
    tokens: Tokens
    cost_usd: float
    cost_source: CostSource
    repairs: dict[str, int]


def drive(agent: Agent, keeper: PatchKeeper) -> AttemptResult:
    """Run the loop to its end, salvage the patch, and close the trajectory with an `ended` event."""
    started = time.monotonic()
    folder = agent.log.path.parent
    outcome = _outcome_of(agent, folder)
    patch, failed = keeper.salvage()
    if failed is not None and outcome.error is None:
        outcome = outcome_of_error(failed)
    outcome = _with_patch(outcome, patch)
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
    ended = Ended(
        outcome=outcome,
        patch=PATCH_FILE if patch else "",
        steps=result.steps,
        tokens=result.tokens,
        cost_usd=result.cost_usd,
        cost_source=result.cost_source,
        repairs=result.repairs,
        seconds=round(time.monotonic() - started, 3),
    )
    try:
        if failed is not None:
            agent.log.write(Noted(kind="salvage", text=f"the patch may be an older snapshot: {failed}"))
        agent.log.write(ended)
    except StorageError as error:
        return replace(result, outcome=outcome_of_error(error))
    return result


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
        if isinstance(error, OSError) and is_disk_trouble(error):
            return outcome_of_error(storage_error(error, folder))
        report = folder / CRASH_REPORT
        with contextlib.suppress(OSError):
            report.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
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
    report = ErrorReport(kind=error.kind, message=str(error), mend=error.mend)
    return Outcome(ending=_ending_of(error), reason=str(error), error=report)


def _ending_of(error: OstroError | SandboxError) -> Ending:
    if isinstance(error, ModelError):
        return Ending.CONTEXT_LIMIT if error.model_kind == "overflow" else Ending.MODEL_ERROR
    if isinstance(error, SandboxError):
        by_kind = {"workspace_lost": Ending.WORKSPACE_LOST, "disk_full": Ending.DISK_FULL}
        return by_kind.get(error.kind, Ending.SANDBOX_ERROR)
    if isinstance(error, StorageError):
        return Ending.DISK_FULL if error.kind == "disk_full" else Ending.STORAGE_ERROR
    if isinstance(error, PreflightError):
        return Ending.PREFLIGHT_FAILED
    return Ending.INTERRUPTED if isinstance(error, Interrupted) else Ending.USAGE
