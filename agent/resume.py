"""Go on with a run in another process: `ostro resume`.

request.json says what was asked for, the logs say how far it came (agent/record/reconstruct.py); what is done is not
done again. An attempt that was cut off is brought back (agent/revival.py), and all that follows is the ordinary way
of a run (agent/session.py), whose steps know what an earlier process did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue, ValidationError

from ostro.agent.budget import Purse
from ostro.agent.config import Settings
from ostro.agent.errors import UsageError
from ostro.agent.interruption import interruptible, kept_back
from ostro.agent.outcome import Ending, RunReport
from ostro.agent.preparation import RunFolder, prepare
from ostro.agent.record.lock import RunLock
from ostro.agent.record.reconstruct import State, reconstruct
from ostro.agent.record.trajectory import read_events
from ostro.agent.request import REPORT_FILE, StoredRequest, read_request
from ostro.agent.session import Listener, RunRequest, finish

LIMITS = ("budget", "steps", "time", "tokens")
"""The settings that may be changed when a run is resumed; another model or prompt is a fork."""


def resume(
    folder: Path,
    limits: Mapping[str, JsonValue],
    listener: Listener | None,
    say: Callable[[str], None],
    purse: Purse | None = None,
) -> RunReport:
    """Go on with the run in `folder` to its end; one that has ended for good is answered with its report.

    Args:
        folder: of the run.
        limits: those of `LIMITS` that are to be changed.
        listener: told every new event of the trajectory.
        say: told what takes time, and what there is nothing left to do about.
        purse: the common purse of a batch.

    Raises:
        UsageError: the folder holds no run; a limit ended it that is not raised; another process works on it.
        StorageError: the log or the base of the run is damaged.
        RepositoryError: the user's repository is gone.
        OstroError, SandboxError, KeyboardInterrupt: the run cannot be gone on with; nothing is changed then.
    """
    started = time.monotonic()
    folder = folder.absolute()
    stored = read_request(folder)
    with kept_back(late=False), RunLock(folder):
        states = read_states(folder)
        settings = effective(stored, states, limits)
        report = _report(folder)
        last = max(states, default=0)
        goes_on = last if last and _goes_on(states, last, settings, report, folder) else 0
        if report is not None and not goes_on and _has_ended(states, last, report):
            say(f"{folder} has ended ({report.outcome}): there is nothing to resume")
            return report
        with interruptible():
            prepared = prepare(
                stored.repository,
                stored.task,
                settings,
                RunFolder(path=folder, run_id=stored.run_id, created=False),
                say,
                earlier=states,
                purse=purse,
            )
        prepared.goes_on, prepared.limits = goes_on, settings.model_dump(mode="json", include=set(limits))
        request = RunRequest(
            repository=stored.repository,
            task=stored.task,
            settings=settings,
            out=folder,
            test_source=stored.test_source,
            warnings=stored.warnings,
            deliver=stored.deliver,
            purse=purse,
        )
        return finish(request, prepared, listener, started)


def read_states(folder: Path) -> dict[int, State]:
    """Return where each attempt stands, by number.

    Raises:
        TrajectoryError: a log is damaged, or of another schema.
    """
    states: dict[int, State] = {}
    path = folder / "trajectory.jsonl"
    while path.is_file():
        states[len(states) + 1] = reconstruct(read_events(path))
        path = folder / f"attempt-{len(states) + 1}" / path.name
    return states


def effective(stored: StoredRequest, states: Mapping[int, State], limits: Mapping[str, JsonValue]) -> Settings:
    """Return the settings that the run was started with, and what was changed at each resumption since.

    Raises:
        UsageError: a value cannot be used.
    """
    changes: dict[str, Any] = {}
    for state in states.values():
        changes |= state.limits
    return stored.configuration(**(changes | dict(limits)))


def _goes_on(
    states: Mapping[int, State], last: int, settings: Settings, report: RunReport | None, folder: Path
) -> bool:
    """Whether the newest attempt has ended in a way after which it can go on.

    Raises:
        UsageError: a limit ended it, and would end it again at once.
    """
    ended = states[last].ended
    if ended is None:
        return False
    ending = ended.outcome.ending
    if ending.resumable:
        return True
    if not ending.limit:
        return False
    used = used_up(ending, states, last)
    limit = getattr(settings, ending.limit)
    if limit is None or limit > used:
        return True
    if report is None or report.outcome.resumable:
        return False  # what comes after the attempts is still to be done
    shown = f"${used:.4f}" if ending is Ending.COST_LIMIT else f"{used:g}"
    raise UsageError(
        f"the run ended at its limit of {ending.limit}: {shown} used, {limit:g} allowed",
        kind="limit",
        mend=f"Raise it: ostro resume {folder} {ending.raised(used)}",
    )


def used_up(ending: Ending, states: Mapping[int, State], last: int) -> float:
    """Return how much of a limit the run has used, in the unit of its setting."""
    purses = [state.spent.purse for state in states.values()]
    used = {
        Ending.STEP_LIMIT: float(states[last].spent.used_steps),
        Ending.COST_LIMIT: sum(purse.spent_usd for purse in purses),
        Ending.TOKEN_LIMIT: float(sum(purse.spent_tokens for purse in purses)),
        Ending.TIME_LIMIT: sum(state.seconds for state in states.values()),
    }
    return used[ending]


def _has_ended(states: Mapping[int, State], last: int, report: RunReport) -> bool:
    """Whether nothing of the run is left to be done."""
    return last > 0 and states[last].ended is not None and not report.outcome.resumable


def _report(folder: Path) -> RunReport | None:
    try:
        return RunReport.model_validate_json((folder / REPORT_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
