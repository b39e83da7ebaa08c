"""Keep the visible plan: a short list of steps with one in progress.

The plan costs nothing but the call; its use is that a model of this size reads it again when it has lost the thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from ostro.prompts.render import render
from ostro.tools.protocol import Observation, PlanItem, Tool, ToolArgs, ToolContext, ToolState
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

STALE_CALLS = 15
"""Calls after which an unfinished plan is shown again."""
MAX_ITEMS = 20
_MARKS = {"done": "[x]", "in_progress": "[>]", "pending": "[ ]"}


class PlannedStep(BaseModel):
    """One step of the plan as the model sends it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1)
    status: Literal["pending", "in_progress", "done"] = "pending"


def _as_step(value: object) -> object:
    """Take a plain string for a pending step, as models send it."""
    return {"text": value} if isinstance(value, str) else value


class PlanArgs(ToolArgs):
    """Arguments of `plan`."""

    items: list[Annotated[PlannedStep, BeforeValidator(_as_step)]] = Field(min_length=1, max_length=MAX_ITEMS)


def run_plan(args: PlanArgs, context: ToolContext) -> Observation:
    """Replace the plan and show it."""
    items, correction = one_in_progress([PlanItem(text=item.text, status=item.status) for item in args.items])
    context.state.plan = items
    context.state.plan_age = 0
    note = f"\n{correction}" if correction else ""
    return Observation(text=f"{show_plan(items)}{note}", data={"items": len(items)})


def one_in_progress(items: Sequence[PlanItem]) -> tuple[list[PlanItem], str]:
    """Return the plan with exactly one step in progress unless all are done, and a sentence on what was changed."""
    active = [index for index, item in enumerate(items) if item.status == "in_progress"]
    pending = [index for index, item in enumerate(items) if item.status == "pending"]
    if len(active) == 1 or not (active or pending):
        return list(items), ""
    chosen = active[0] if active else pending[0]
    fixed = [_settled(item, index == chosen) for index, item in enumerate(items)]
    reason = "only one step can be in progress" if active else "one step must be in progress"
    return fixed, f"(step {chosen + 1} was set in progress: {reason})"


def _settled(item: PlanItem, is_active: bool) -> PlanItem:
    if item.status == "done":
        return item
    return item.model_copy(update={"status": "in_progress" if is_active else "pending"})


def show_plan(items: Sequence[PlanItem]) -> str:
    """Return the plan as numbered lines with a mark for each status."""
    return "\n".join(f"{number}. {_MARKS[item.status]} {item.text}" for number, item in enumerate(items, 1))


def plan_reminder(state: ToolState) -> str:
    """Count one call, and return the plan to show below its result when the plan is unfinished and stale, else "".

    The loop calls this once after each call but those of `plan` itself.
    """
    if all(item.status == "done" for item in state.plan):
        return ""
    state.plan_age += 1
    if state.plan_age % STALE_CALLS:
        return ""
    return render("plan_reminder.j2", age=state.plan_age, plan=show_plan(state.plan))


PLAN = Tool(name="plan", args=PlanArgs, run=run_plan)
