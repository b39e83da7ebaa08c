"""All attempts of one run: each in a sandbox of its own, from the same base, and the choice of the best.

One attempt is the ordinary case. Several share one purse and end early when two agree on the same change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ostro.agent.assembly import assemble
from ostro.agent.attempt import PATCH_FILE, AttemptResult, drive, outcome_of_error
from ostro.agent.errors import Interrupted, OstroError, StorageError
from ostro.agent.interruption import interruptible
from ostro.agent.outcome import Ending, Tokens
from ostro.agent.patch_keeper import PatchKeeper
from ostro.agent.preflight import preflight
from ostro.agent.preparation import Prepared
from ostro.agent.record.events import Ended, Event, Noted
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.agent.selection import select
from ostro.sandbox.protocol import Sandbox, SandboxError

Listener = Callable[[Event], None]

FINAL_ENDINGS = (Ending.INTERRUPTED, Ending.STORAGE_ERROR, Ending.DISK_FULL)
"""After one of these another attempt makes no sense."""


def run_attempts(prepared: Prepared, listener: Listener | None) -> AttemptResult:
    """Make the attempts one after another and return the best."""
    results: list[AttemptResult] = []
    for number in range(1, prepared.settings.attempts + 1):
        if number > 1 and (prepared.purse.exhausted() or agree(results)):
            break
        results.append(run_attempt(prepared, number, listener))
        if results[-1].outcome.ending in FINAL_ENDINGS:
            break
    try:
        with interruptible():
            return select(results, prepared.open_sandbox, prepared.test_command)
    except KeyboardInterrupt:
        best = next((result for result in results if result.patch), results[-1])
        last = results[-1].outcome
        if last.ending is not Ending.INTERRUPTED:
            last = outcome_of_error(Interrupted("interrupted while the best attempt was chosen"))
        return replace(best, outcome=last)


def agree(results: list[AttemptResult]) -> bool:
    """Whether two attempts submitted the same change."""
    patches = [result.patch for result in results if result.outcome.ending is Ending.SUBMITTED]
    return len(set(patches)) < len(patches)


def run_attempt(prepared: Prepared, number: int, listener: Listener | None) -> AttemptResult:
    """Open a sandbox, check it, and drive the loop in it; what fails before the loop is an outcome too."""
    folder = prepared.folder.path if number == 1 else prepared.folder.path / f"attempt-{number}"
    try:
        with TrajectoryWriter(folder / "trajectory.jsonl", listener) as log:
            return _attempt(prepared, number, log)
    except StorageError as error:
        return _not_started(error, folder)


def _attempt(prepared: Prepared, number: int, log: TrajectoryWriter) -> AttemptResult:
    folder = log.path.parent
    try:
        with interruptible():
            sandbox = prepared.open_sandbox(f"try-{number}", online=prepared.settings.network)
        with sandbox:
            keeper = PatchKeeper(sandbox, folder / PATCH_FILE)
            with interruptible():
                agent = assemble(prepared, sandbox, log, keeper, number)
                _check(prepared, sandbox, log)
            return drive(agent, keeper)
    except (OstroError, SandboxError) as error:
        result = _not_started(error, folder)
    except KeyboardInterrupt:
        result = _not_started(Interrupted("interrupted before the first step"), folder)
    log.write(
        Ended(
            outcome=result.outcome,
            steps=0,
            tokens=result.tokens,
            cost_usd=0.0,
            cost_source=result.cost_source,
            seconds=0.0,
        )
    )
    return result


def _check(prepared: Prepared, sandbox: Sandbox, log: TrajectoryWriter) -> None:
    report = preflight(
        sandbox,
        test_command=prepared.test_command,
        base=prepared.base,
        folder=prepared.folder.path,
        configured=prepared.settings.test is not None,
    )
    for check in report.checks:
        log.write(Noted(kind=f"preflight_{check.status}", text=f"{check.name}: {check.detail}"))
    if not prepared.settings.skip_preflight:
        report.require()


def _not_started(error: OstroError | SandboxError, folder: Path) -> AttemptResult:
    return AttemptResult(
        outcome=outcome_of_error(error),
        patch=b"",
        folder=folder,
        steps=0,
        tokens=Tokens(),
        cost_usd=0.0,
        cost_source="catalogue",
        repairs={},
    )
