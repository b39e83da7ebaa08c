"""Whether a row is a fair task: its tests fail without the fix, pass with it, and do so every time.

The base with the tests of the row is graded once (an agent that does nothing must not be resolved), the known fix
several times. Rows that are broken or flaky go into quarantine, with the reason.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ostro.agent.errors import OstroError
from ostro.benchmarks.batch import TRIES, Place, each
from ostro.benchmarks.grading import NotRunnableError
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.results import GradeReport
from ostro.benchmarks.store import instance_folder, write_text
from ostro.sandbox.protocol import SandboxError

VALIDATION = "validation.json"
QUARANTINE = "quarantine.json"

Fairness = Literal["valid", "broken", "flaky", "not_runnable", "infra"]
"""`not_runnable`: a program that the tests need is not there. `infra`: the sandbox failed; neither says anything."""

NAMED = 3


class Validation(BaseModel):
    """What was found of one row.

    Attributes:
        reason: why it is not valid; "" when it is.
        base: the grade of doing nothing.
        gold: the grades of the known fix, one a run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_id: str
    verdict: Fairness
    reason: str = ""
    base: GradeReport | None = None
    gold: tuple[GradeReport, ...] = ()
    seconds: float = 0.0


def validate_all(
    instances: Sequence[Instance], place: Place, repeat: int, workers: int, done: Callable[[Validation], None]
) -> list[Validation]:
    """Validate the rows that the folder has no verdict on yet; return what is known of each, in their order.

    The folder must be locked and of these rows (`manifest.take_up`).

    Args:
        instances: the rows.
        place: where.
        repeat: how often the known fix is graded.
        workers: how many at once.
        done: told of each new verdict.
    """
    known = {one.instance_id: read_validation(place.folder_of(one), repeat) for one in instances}

    def keep(found: Validation) -> None:
        known[found.instance_id] = found
        folder = instance_folder(place.folder, found.instance_id)
        write_text(folder / VALIDATION, found.model_dump_json(indent=1) + "\n")
        done(found)

    left = [one for one in instances if known[one.instance_id] is None]
    each(left, lambda one: validate_instance(one, place, repeat), place, workers, keep)
    found = [one for one in known.values() if one is not None]
    write_text(place.folder / QUARANTINE, json.dumps(quarantine(found), indent=1) + "\n")
    return found


def read_validation(folder: Path, repeat: int) -> Validation | None:
    """Return the final verdict of `repeat` runs that stands in an instance's folder, None where there is none."""
    try:
        found = Validation.model_validate_json((folder / VALIDATION).read_bytes())
    except (OSError, ValidationError):
        return None
    settled = found.verdict in ("valid", "broken", "flaky") and len(found.gold) in (0, repeat)
    return found if settled else None


def quarantine(found: Sequence[Validation]) -> dict[str, str]:
    """Return the reasons by id of the rows that are broken or flaky."""
    return {one.instance_id: f"{one.verdict}: {one.reason}" for one in found if one.verdict in ("broken", "flaky")}


def validate_instance(instance: Instance, place: Place, repeat: int) -> Validation:
    """Validate one row; its environment is built where it is not there yet.

    Args:
        instance: the row.
        place: where; the logs are left in its folder.
        repeat: how often the known fix is graded.
    """
    started = time.monotonic()
    found = _attempt(instance, place, repeat)
    return found.model_copy(update={"seconds": round(time.monotonic() - started, 1)})


def _attempt(instance: Instance, place: Place, repeat: int) -> Validation:
    said = ""
    for _ in range(TRIES):
        try:
            return _validate(instance, place, repeat)
        except NotRunnableError as error:
            return Validation(instance_id=instance.instance_id, verdict="not_runnable", reason=str(error))
        except OstroError as error:
            return Validation(instance_id=instance.instance_id, verdict="broken", reason=str(error))
        except SandboxError as error:
            said = f"{error.kind}: {error}"
    return Validation(instance_id=instance.instance_id, verdict="infra", reason=said)


def _validate(instance: Instance, place: Place, repeat: int) -> Validation:
    folder = place.folder_of(instance)
    base = place.grade(instance, b"", folder / "base")
    patch = instance.patch.encode("utf-8", "surrogateescape")
    gold = [place.grade(instance, patch, folder / f"gold-{number}") for number in range(1, repeat + 1)]
    verdict, reason = judge(base, gold)
    return Validation(instance_id=instance.instance_id, verdict=verdict, reason=reason, base=base, gold=tuple(gold))


def judge(base: GradeReport, gold: Sequence[GradeReport]) -> tuple[Fairness, str]:
    """Return what the grades of nothing and of the known fix say of a row."""
    problem = _fix_fails(gold) or _bug_unseen(base) or _fix_doubtful(gold)
    return problem or ("valid", "")


def _fix_fails(gold: Sequence[GradeReport]) -> tuple[Fairness, str] | None:
    good = sum(one.verdict == "resolved" for one in gold)
    if good == len(gold):
        return None
    if not good:
        return "broken", f"the fix is {gold[0].verdict}: {_why(gold[0])}"
    unsteady = dict.fromkeys(name for one in gold for name in _failed(one))
    return "flaky", f"the fix passed {good} of {len(gold)} times; unsteady: {_some(list(unsteady))}"


def _bug_unseen(base: GradeReport) -> tuple[Fairness, str] | None:
    if base.verdict == "resolved":
        return "broken", "doing nothing is resolved: the tests do not show the bug"
    if base.verdict not in ("unresolved", "partial"):
        return "broken", f"doing nothing is {base.verdict}: {_why(base)}"
    if base.fail_to_pass.success:
        return "broken", f"FAIL_TO_PASS passes without the fix: {_some(base.fail_to_pass.success)}"
    return None


def _fix_doubtful(gold: Sequence[GradeReport]) -> tuple[Fairness, str] | None:
    doubtful = [one for one in gold if one.consistency != "consistent"]
    if not doubtful:
        return None
    often = f"{len(doubtful)} of {len(gold)} times"
    why = f"the fix is {doubtful[0].consistency} {often}: {_why(doubtful[0])}"
    return "broken" if len(doubtful) == len(gold) else "flaky", why


def _failed(report: GradeReport) -> tuple[str, ...]:
    return report.fail_to_pass.failure + report.pass_to_pass.failure


def _why(report: GradeReport) -> str:
    failed = _failed(report) if report.exit_code is not None else ()
    return "; ".join(filter(None, ("; ".join(report.findings), _some(failed)))) or "no test ran"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
