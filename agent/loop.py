"""Plan, act, observe: the whole loop of one attempt.

Every ending is an `Outcome`. Errors of the model, the sandbox and the disk pass through as exceptions to
agent/attempt.py, which turns them into outcomes and salvages the patch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ostro.agent.asking import NO_REPLY, Asker
from ostro.agent.budget import Budget
from ostro.agent.history import AssistantMessage, History, Image, ToolMessage, UserMessage
from ostro.agent.intake import BoundCall, Intake, take_in
from ostro.agent.outcome import Ending, Outcome
from ostro.agent.patch_keeper import PatchKeeper
from ostro.agent.record.events import Called, Limited, Nudged, Observed
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.agent.reminders import limit_reminder, loop_nudge, no_call_nudge, plan_reminder
from ostro.agent.repetition import LoopDetector
from ostro.agent.untrusted import neutralise
from ostro.tools.protocol import Observation, ToolContext
from ostro.tools.registry import Toolset

MAX_SILENT_REPLIES = 3
"""Replies in a row without any call before the attempt ends as no_action."""


@dataclass
class Agent:
    """One attempt in progress. `run` returns how it ended.

    Attributes:
        asker: makes room in the history, asks the model, books the cost.
        keeper: keeps the newest patch on the host after a turn that may have changed the workspace.
        repairs: how often each stage of the intake mended or refused a call.
    """

    asker: Asker
    toolset: Toolset
    tools: ToolContext
    history: History
    log: TrajectoryWriter
    budget: Budget
    detector: LoopDetector
    keeper: PatchKeeper
    turn: int = 0
    silent: int = 0
    looping: str = ""
    repairs: dict[str, int] = field(default_factory=dict[str, int])

    def run(self) -> Outcome:
        """Drive the attempt to its end."""
        while (limit := self.budget.exhausted()) is None:
            plan = self.plan()
            results = self.act(plan)
            if outcome := self.observe(plan, results):
                return outcome
            self.turn += 1
        self.log.write(Limited(turn=self.turn, limit=limit.ending, detail=limit.reason))
        return limit

    def plan(self) -> Intake:
        """Ask the model for the next turn, bind its calls, and keep the canonical form of both."""
        reply = self.asker.ask(self.turn, must_call=self.silent == MAX_SILENT_REPLIES - 1)
        plan = take_in(reply, self.turn, self.toolset)
        for stage in plan.repairs:
            self.repairs[stage] = self.repairs.get(stage, 0) + 1
        calls = tuple(bound.call for bound in plan.calls)
        text = self.tools.redact(plan.text) or ("" if calls else NO_REPLY)
        self.history.append(AssistantMessage(text=text, calls=calls))
        self.asker.record(self.turn, reply, plan, text, received=self.tools.redact(plan.received))
        return plan

    def act(self, plan: Intake) -> list[Observation]:
        """Run the calls in order; what follows a call that ended the run is not run."""
        results: list[Observation] = []
        for index, bound in enumerate(plan.calls):
            if results and results[-1].done:
                results.append(Observation(text="Not run: the run has ended.", ok=False))
            else:
                last = index == len(plan.calls) - 1
                results.append(self.act_one(bound, last=last))
        return results

    def act_one(self, bound: BoundCall, *, last: bool) -> Observation:
        """Run one call between its intent and its result on disk; reminders go into the observation."""
        started = time.monotonic()
        before = self.tools.state.model_dump_json()
        if bound.tool is None or bound.args is None:
            observation = Observation(text=bound.refusal, ok=False)
        else:
            self.log.write(Called(turn=self.turn, call=bound.call))
            observation = bound.tool.run(bound.args, self.tools)
        quiet = observation.done or bound.stage == "not_run"
        notes = [] if quiet else self.notes(bound, observation, last=last)
        text = "\n\n".join([neutralise(self.tools.redact(observation.text)), *notes])
        whole = observation.full_output
        self.log.write(
            Observed(
                turn=self.turn,
                call_id=bound.call.id,
                name=bound.call.name,
                text=text,
                ok=observation.ok,
                mutated=observation.mutated,
                data=observation.data,
                images=len(observation.images),
                full_output=self.log.store(bound.call.id, self.tools.redact(whole)) if whole else "",
                state=self.tools.state.model_dump(mode="json") if self.changed(before) else None,
                duration_s=round(time.monotonic() - started, 4),
            )
        )
        return observation.model_copy(update={"text": text})

    def changed(self, before: str) -> bool:
        """Whether the tools' memory differs from the dump `before`."""
        return self.tools.state.model_dump_json() != before

    def notes(self, bound: BoundCall, observation: Observation, *, last: bool) -> list[str]:
        """Return what the loop adds to an observation: a nudge out of a loop, a limit that is near, the plan."""
        edited = observation.mutated and bound.call.name != "bash"
        verdict = self.detector.observe(bound.call, observation.text, mutated=edited)
        self.looping = self.detector.reason if verdict == "stop" else self.looping
        notes = {
            "loop": loop_nudge(self.detector.pattern) if verdict == "nudge" else "",
            "limit": limit_reminder(self.budget) if last else "",
            "plan": plan_reminder(self.tools.state) if last else "",
        }
        for kind, text in notes.items():
            if text:
                self.log.write(Nudged(turn=self.turn, kind=kind, text=text, into="observation"))
        return [text for text in notes.values() if text]

    def observe(self, plan: Intake, results: list[Observation]) -> Outcome | None:
        """Append the observations to the history; return the outcome when this turn was the last."""
        for bound, result in zip(plan.calls, results, strict=True):
            images = tuple(Image.model_validate(image.model_dump()) for image in result.images)
            self.history.append(
                ToolMessage(call_id=bound.call.id, name=bound.call.name, text=result.text, images=images)
            )
            self.asker.note_saved(bound.call.id, result.data.get("saved"))
        edits = [bound.call.name != "bash" for bound, result in zip(plan.calls, results, strict=True) if result.mutated]
        if edits:
            self.keeper.after_turn(edited=any(edits))
        if ended := next((result for result in results if result.done), None):
            summary = str(ended.data.get("summary") or ended.text)
            return Outcome(ending=Ending.GAVE_UP if ended.gave_up else Ending.SUBMITTED, reason=summary)
        if self.looping:
            return Outcome(ending=Ending.LOOP_DETECTED, reason=self.looping)
        return self.correct_silence(plan)

    def correct_silence(self, plan: Intake) -> Outcome | None:
        """A reply without any call: one corrective message each time, a typed ending after the last."""
        if plan.calls:
            self.silent = 0
            return None
        self.silent += 1
        if self.silent >= MAX_SILENT_REPLIES:
            return Outcome(ending=Ending.NO_ACTION, reason=f"{self.silent} replies in a row without a tool call")
        text = no_call_nudge(
            names=self.toolset.names,
            remaining=MAX_SILENT_REPLIES - self.silent - 1,
            cut_at=self.asker.cut_at,
            seen=self.tools.state.seen,
        )
        self.history.append(UserMessage(text=text))
        self.log.write(Nudged(turn=self.turn, kind="no_call", text=text, into="message"))
        return None
