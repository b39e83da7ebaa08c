"""All attempts of one run: each in a sandbox of its own, from the same base, and the choice of the best.

One attempt is the ordinary case. Several share one purse and end early when two agree on the same change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ostro.agent.assembly import assemble, tool_context
from ostro.agent.attempt import AttemptResult, drive, ended_event, outcome_of_error, result_of
from ostro.agent.checkpoints import PATCH_FILE
from ostro.agent.errors import Interrupted, OstroError, StorageError
from ostro.agent.interruption import interruptible
from ostro.agent.outcome import Ending
from ostro.agent.preflight import preflight
from ostro.agent.preparation import Prepared
from ostro.agent.record.events import Event, Noted
from ostro.agent.record.reconstruct import State
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.agent.request import REPORT_FILE
from ostro.agent.revival import revive, run_again
from ostro.agent.selection import select, with_totals
from ostro.agent.trouble import typed_trouble
from ostro.sandbox.protocol import Sandbox, SandboxError
from ostro.tools.registry import Toolset

Listener = Callable[[Event], None]

FINAL_ENDINGS = (Ending.INTERRUPTED, Ending.STORAGE_ERROR, Ending.DISK_FULL)
"""After one of these another attempt makes no sense."""


def run_attempts(prepared: Prepared, listener: Listener | None) -> AttemptResult:
    """Make the attempts one after another and return the best; what ended processes left of them is gone on with.

    Raises:
        OstroError, SandboxError, KeyboardInterrupt: an attempt cannot be gone on with; its log is as it was.
    """
    results: list[AttemptResult] = []
    for number in range(1, prepared.settings.attempts + 1):
        if number > 1 and number not in prepared.earlier and (prepared.purse.exhausted() or agree(results)):
            break
        results.append(_known(prepared, number) or run_attempt(prepared, number, listener))
        if results[-1].outcome.ending in FINAL_ENDINGS:
            break
    if all(_known(prepared, number) for number in range(1, len(results) + 1)):
        chosen = next((result for result in results if result.published), None)
        if chosen is not None:
            return with_totals(chosen, results)
    try:
        with interruptible():
            return select(results, prepared.open_sandbox, prepared.test_command)
    except KeyboardInterrupt:
        best = next((result for result in results if result.patch), results[-1])
        last = results[-1].outcome
        if last.ending is not Ending.INTERRUPTED:
            last = outcome_of_error(Interrupted("interrupted while the best attempt was chosen"))
        return replace(best, outcome=last)


def _known(prepared: Prepared, number: int) -> AttemptResult | None:
    """Return what an attempt left that ended in an earlier process and is not gone on with."""
    state = prepared.earlier.get(number)
    if state is None or number == prepared.goes_on:
        return None
    return result_of(state, prepared.folder_of(number))


def agree(results: list[AttemptResult]) -> bool:
    """Whether two attempts submitted the same change."""
    patches = [result.patch for result in results if result.outcome.ending is Ending.SUBMITTED]
    return len(set(patches)) < len(patches)


def run_attempt(prepared: Prepared, number: int, listener: Listener | None) -> AttemptResult:
    """Begin an attempt, or go on with it where an ended process left it."""
    state = prepared.earlier.get(number)
    open_log = TrajectoryWriter if state is None else TrajectoryWriter.reopen
    folder = prepared.folder_of(number)
    try:
        with open_log(folder / "trajectory.jsonl", listener) as log:
            if state is not None and state.started is not None:
                return _go_on(prepared, number, state, log)
            return _begin(prepared, number, log)
    except StorageError as error:
        if state is not None:
            raise
        return _undriven(error, folder, State())


def _begin(prepared: Prepared, number: int, log: TrajectoryWriter) -> AttemptResult:
    """Open a sandbox, check it, and drive the loop in it; what fails before the loop is an outcome too."""
    try:
        with typed_trouble(), interruptible():
            sandbox = revive(prepared, number, State(), log.path.parent).sandbox
        with sandbox:
            with typed_trouble(), interruptible():
                agent = assemble(prepared, sandbox, log, number)
                _check(prepared, sandbox, log)
            return drive(agent)
    except (OstroError, SandboxError) as error:
        return _not_driven(error, log, State())
    except KeyboardInterrupt:
        return _not_driven(Interrupted("interrupted before the first step"), log, State())


def _go_on(prepared: Prepared, number: int, state: State, log: TrajectoryWriter) -> AttemptResult:
    """Bring the workspace back and drive the loop on.

    Raises:
        OstroError, SandboxError, KeyboardInterrupt: it cannot be brought back; the log is as it was.
    """
    with interruptible():
        revived = revive(prepared, number, state, log.path.parent)
    with revived.sandbox as sandbox:
        (prepared.folder.path / REPORT_FILE).unlink(missing_ok=True)  # it tells of an end that is none any more
        log.write(revived.event(state, prepared))
        try:
            with interruptible():
                if revived.missing:
                    tools = tool_context(prepared, sandbox, revived.missing[0].before)
                    run_again(revived.missing, Toolset.default(vision=True), tools, log)
                agent = assemble(prepared, sandbox, log, number, state)
                if state.turn == 0 and state.reply is None:
                    _check(prepared, sandbox, log)
            return drive(agent, state.seconds)
        except (OstroError, SandboxError) as error:
            return _not_driven(error, log, state)
        except KeyboardInterrupt:
            return _not_driven(Interrupted("interrupted while the workspace was brought back"), log, state)


def _check(prepared: Prepared, sandbox: Sandbox, log: TrajectoryWriter) -> None:
    report = preflight(
        sandbox,
        test_command=prepared.test_command,
        base=prepared.base,
        folder=prepared.folder.path,
        git_dir=prepared.repository.common_dir if prepared.publishes else None,
        configured=prepared.settings.test is not None,
    )
    for check in report.checks:
        log.write(Noted(kind=f"preflight_{check.status}", text=prepared.redact(f"{check.name}: {check.detail}")))
    if not prepared.settings.skip_preflight:
        report.require()


def _not_driven(error: OstroError | SandboxError, log: TrajectoryWriter, state: State) -> AttemptResult:
    """End an attempt before the loop ran, or ran on."""
    result = _undriven(error, log.path.parent, state)
    log.write(ended_event(result, state.seconds))
    return result


def _undriven(error: OstroError | SandboxError, folder: Path, state: State) -> AttemptResult:
    """Return what an attempt leaves whose loop did not run, or run on; the newest patch of an ended process stays."""
    spent, file = state.spent, folder / PATCH_FILE
    patch = file.read_bytes() if state.started is not None and file.is_file() else b""
    return AttemptResult(
        outcome=outcome_of_error(error),
        patch=patch,
        folder=folder,
        steps=spent.used_steps,
        tokens=spent.tokens,
        cost_usd=spent.cost_usd,
        cost_source=spent.cost_source,
        repairs=dict(state.repairs),
    )
