"""Keep the visible plan: a short list of steps with one in progress.

The plan costs nothing but the call; its use is that a model of this size reads it again when it has lost the thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ostro.tools.protocol import FROM_JSON_TEXT, Observation, PlanItem, Tool, ToolArgs, ToolContext

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

    items: Annotated[list[Annotated[PlannedStep, BeforeValidator(_as_step)]], FROM_JSON_TEXT] = Field(
        min_length=1, max_length=MAX_ITEMS
    )


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


PLAN = Tool(name="plan", args=PlanArgs, run=run_plan)
