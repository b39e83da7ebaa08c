"""Plan, act, observe: the whole loop of one attempt.

Every ending is an `Outcome`. Errors of the model, the sandbox and the disk pass through as exceptions to
agent/attempt.py, which turns them into outcomes and salvages the patch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ostro.agent.acting import Actor
from ostro.agent.asking import MAX_LOGGED_CHARS, NO_REPLY, Answers
from ostro.agent.budget import Budget
from ostro.agent.checkpoints import Checkpoints
from ostro.agent.fresh_look import LOOKED, fresh_look
from ostro.agent.history import AssistantMessage, History, UserMessage
from ostro.agent.intake import BoundCall, Intake, take_in
from ostro.agent.outcome import Ending, Outcome
from ostro.agent.record.events import Limited, Nudged
from ostro.agent.record.reconstruct import KEPT_MESSAGES
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.agent.recovery import with_path
from ostro.agent.reminders import no_call_nudge
from ostro.tools.protocol import Observation, ToolContext
from ostro.tools.registry import Toolset

MAX_SILENT_REPLIES = 3
"""Replies in a row without any call before the attempt ends as no_action."""


@dataclass
class Turn:
    """One reply of the model, and the results of its calls so far."""

    plan: Intake
    results: list[Observation] = field(default_factory=list[Observation])


def not_run(bound: BoundCall) -> BoundCall:
    """Return the call as it is answered after one that ended the run."""
    return replace(bound, tool=None, refusal="Not run: the run has ended.", stage="not_run")


@dataclass
class Agent:
    """One attempt in progress. `run` returns how it ended.

    Attributes:
        asker: makes room in the history, asks the model, books the cost.
        actor: runs one call.
        checkpoints: saves the workspace on the host after a turn that may have changed it.
        title: of the task, one line.
        open: the turn in which an earlier process ended.
        asked: path of the file that the last correction asked for; "" where it asked for none.
        repairs: how often each stage of the intake mended or refused a call.
    """

    asker: Answers
    actor: Actor
    toolset: Toolset
    tools: ToolContext
    history: History
    log: TrajectoryWriter
    budget: Budget
    checkpoints: Checkpoints
    title: str
    turn: int = 0
    open: Turn | None = None
    silent: int = 0
    asked: str = ""
    repairs: dict[str, int] = field(default_factory=dict[str, int])

    def run(self) -> Outcome:
        """Drive the attempt to its end."""
        turn, self.open = self.open, None
        while turn is not None or (limit := self.budget.exhausted()) is None:
            turn = turn or self.plan()
            self.act(turn)
            if outcome := self.observe(turn):
                return outcome
            self.turn, turn = self.turn + 1, None
        self.log.write(Limited(turn=self.turn, limit=limit.ending, detail=limit.reason))
        return limit

    def plan(self) -> Turn:
        """Ask the model for the next turn, bind its calls, and keep the canonical form of both."""
        reply = self.asker.ask(self.turn, must_call=self.silent == MAX_SILENT_REPLIES - 1 and not self.asked)
        if self.asked:
            reply, self.asked = reply.model_copy(update={"text": with_path(reply.text, self.asked)}), ""
        plan = take_in(reply, self.turn, self.toolset)
        for stage in plan.repairs:
            self.repairs[stage] = self.repairs.get(stage, 0) + 1
        calls = tuple(bound.call for bound in plan.calls)
        text = self.tools.redact(plan.text)[:MAX_LOGGED_CHARS] or ("" if calls else NO_REPLY)
        self.asker.record(self.turn, reply, plan, text, received=self.tools.redact(plan.received))
        self.history.append(AssistantMessage(text=text, calls=calls))
        return Turn(plan)

    def act(self, turn: Turn) -> None:
        """Run the calls that have no result, in order; what follows a call that ended the run is not run."""
        for bound in turn.plan.calls[len(turn.results) :]:
            self.checkpoints.settle()
            if any(result.done for result in turn.results):
                bound = not_run(bound)  # noqa: PLW2901
            result = self.actor.act(self.turn, bound, last=len(turn.results) == len(turn.plan.calls) - 1)
            turn.results.append(result)
            self.asker.note_saved(bound.call.id, result.data.get("saved"))

    def observe(self, turn: Turn) -> Outcome | None:
        """Judge a turn: return the outcome when it was the last, else see to the checkpoint and to silence."""
        if ended := next((result for result in turn.results if result.done), None):
            summary = str(ended.data.get("summary") or ended.text)
            return Outcome(ending=Ending.GAVE_UP if ended.gave_up else Ending.SUBMITTED, reason=summary)
        if self.actor.looping:
            return Outcome(ending=Ending.LOOP_DETECTED, reason=self.actor.looping)
        called = zip(turn.plan.calls, turn.results, strict=True)
        changes = [bound.call.name for bound, result in called if result.mutated]
        if changes:
            self.checkpoints.after_turn(self.turn, edited=set(changes) != {"bash"})
        return self.correct_silence(turn.plan)

    def correct_silence(self, plan: Intake) -> Outcome | None:
        """A reply without any call: one corrective message each time, a typed ending after the last."""
        if plan.calls:
            self.silent = 0
            return None
        self.silent += 1
        if self.silent >= MAX_SILENT_REPLIES:
            return Outcome(ending=Ending.NO_ACTION, reason=f"{self.silent} replies in a row without a tool call")
        text = self._correction(remaining=MAX_SILENT_REPLIES - self.silent - 1)
        self.log.write(Nudged(turn=self.turn, kind="no_call", text=text, into="message", asks_for=self.asked))
        self.history.append(UserMessage(text=text))
        return None

    def _correction(self, *, remaining: int) -> str:
        if not remaining:
            self.checkpoints.settle()
            if look := fresh_look(self.tools, self.title):
                self.history.condense(KEPT_MESSAGES, (LOOKED,))
                self.asked = look.path
                return look.text
        seen = self.tools.state.seen
        return no_call_nudge(names=self.toolset.names, remaining=remaining, cut_at=self.asker.cut_at, seen=seen)
