"""Whether a row is a fair task: its tests fail without the fix, pass with it, and do so every time.

The base with the tests of the row is graded once (an agent that does nothing must not be resolved), the known fix
several times. Rows that are broken or flaky go into quarantine, with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ostro.agent.errors import OstroError
from ostro.benchmarks.batch import TRIES, Place
from ostro.benchmarks.grading import NotRunnableError
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.results import GradeReport
from ostro.sandbox.protocol import SandboxError

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
