"""What the loop says to the model by itself: short, rare, from the templates in prompts/."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ostro.agent.budget import Budget
from ostro.agent.repetition import SAME_CALL_TIMES, STALE_CALLS, Pattern
from ostro.prompts.render import render
from ostro.tools.plan import show_plan
from ostro.tools.protocol import ToolState

LIMIT_NEAR_STEPS = 5
PLAN_STALE_CALLS = 12

_TIMES = {"same": SAME_CALL_TIMES, "alternating": SAME_CALL_TIMES, "stale": STALE_CALLS}


def loop_nudge(pattern: Pattern) -> str:
    """Return the one nudge out of a loop."""
    return render("repeated.j2", pattern=pattern, times=_TIMES.get(pattern, SAME_CALL_TIMES))


def limit_reminder(budget: Budget) -> str:
    """Return a reminder when exactly `LIMIT_NEAR_STEPS` steps are left of a budget that had more, else ""."""
    left = budget.steps - budget.used_steps
    if left != LIMIT_NEAR_STEPS or budget.steps < 3 * LIMIT_NEAR_STEPS:
        return ""
    return render("limit_near.j2", left=f"{left} steps")


def plan_reminder(state: ToolState) -> str:
    """Return the plan when the model has not looked at it for `PLAN_STALE_CALLS` calls, else ""; counts the call."""
    if all(item.status == "done" for item in state.plan):
        return ""
    state.plan_age += 1
    if state.plan_age < PLAN_STALE_CALLS:
        return ""
    age, state.plan_age = state.plan_age, 0
    return render("plan_reminder.j2", age=age, plan=show_plan(state.plan))


def no_call_nudge(*, names: Sequence[str], remaining: int, cut_at: int, seen: Collection[str]) -> str:
    """Return the correction after a reply without a call.

    Args:
        names: the tools.
        remaining: how many more such replies the run survives.
        cut_at: tokens at which the reply was cut off, 0 when it was whole.
        seen: files that the model has seen; the last one may be answered with as a whole.
    """
    if cut_at:
        return render("cut_off.j2", had_call=False, max_tokens=cut_at)
    return render("no_call.j2", names=list(names), remaining=remaining, path=next(reversed([*seen]), ""))
