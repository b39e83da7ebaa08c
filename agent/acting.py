"""One call of a turn: its intent on disk, its effect, its result on disk, and what the loop adds for the model."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from ostro.agent.budget import Budget
from ostro.agent.history import History, Image, ToolMessage
from ostro.agent.intake import BoundCall
from ostro.agent.record.events import Called, Nudged, Observed
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.agent.reminders import limit_reminder, loop_nudge, plan_reminder
from ostro.agent.repetition import LoopDetector
from ostro.agent.untrusted import neutralise
from ostro.prompts.render import render
from ostro.tools.protocol import Observation, ToolContext

MAX_BEGINNINGS = 3
"""A call during which the process ended so often is not begun again: it may be what ends it."""


@dataclass(frozen=True)
class CutCall:
    """A call that an earlier process began and did not end; its effect was taken back.

    Attributes:
        begun: how often it was begun.
    """

    id: str
    begun: int

    @property
    def repeats(self) -> bool:
        """Whether it is to be run again."""
        return self.begun < MAX_BEGINNINGS


@dataclass
class Actor:
    """Runs the calls of one attempt.

    Attributes:
        cut: the call that was cut off when the attempt was resumed.
        looping: why the loop detector said stop; "" while it did not.
    """

    tools: ToolContext
    history: History
    log: TrajectoryWriter
    budget: Budget
    detector: LoopDetector
    cut: CutCall | None = None
    looping: str = ""

    def act(self, turn: int, bound: BoundCall, *, last: bool) -> Observation:
        """Run one call, or answer a refused one; the observation enters the log and the history.

        Args:
            turn: number of the turn.
            bound: the call.
            last: it is the last one of its turn, where reminders belong.
        """
        started, before = time.monotonic(), self.tools.state.model_dump_json()
        cut = self.cut if self.cut is not None and self.cut.id == bound.call.id else None
        observation = self._execute(turn, bound, cut)
        text = neutralise(self.tools.redact(observation.text))
        self.detector.asked = ""
        if not observation.done and bound.stage != "not_run":
            text = "\n\n".join([text, *self._notes(turn, bound, text, mutated=observation.mutated, last=last)])
        observation = observation.model_copy(update={"text": text})
        state = self.tools.state
        event = Observed(
            turn=turn,
            call_id=bound.call.id,
            name=bound.call.name,
            text=text,
            ok=observation.ok,
            mutated=observation.mutated,
            done=observation.done,
            gave_up=observation.gave_up,
            data=observation.data,
            images=len(observation.images),
            full_output=self._store(bound, observation.full_output),
            pictures=self._store_pictures(bound, observation),
            state=state.model_dump(mode="json") if state.model_dump_json() != before else None,
            patch_sha256=self.detector.asked,
            interrupted=cut is not None and not cut.repeats,
            duration_s=round(time.monotonic() - started, 4),
        )
        self.log.write(event)
        images = tuple(Image.model_validate(image.model_dump()) for image in observation.images)
        self.history.append(ToolMessage(call_id=bound.call.id, name=bound.call.name, text=text, images=images))
        return observation

    def _execute(self, turn: int, bound: BoundCall, cut: CutCall | None) -> Observation:
        if bound.tool is None or bound.args is None:
            return Observation(text=bound.refusal, ok=False)
        if cut is not None and not cut.repeats:
            text = render("interrupted.j2", name=bound.call.name, repeated=False, times=cut.begun)
            return Observation(text=text, ok=False)
        self.log.write(Called(turn=turn, call=bound.call))
        observation = bound.tool.run(bound.args, self.tools)
        if cut is None:
            return observation
        told = render("interrupted.j2", name=bound.call.name, repeated=True, times=cut.begun)
        return observation.model_copy(update={"text": f"{told}\n{observation.text}"})

    def _store(self, bound: BoundCall, whole: str | None) -> str:
        return self.log.store(bound.call.id, self.tools.redact(whole)) if whole else ""

    def _store_pictures(self, bound: BoundCall, observation: Observation) -> str:
        if not observation.images:
            return ""
        pictures = [image.model_dump(mode="json") for image in observation.images]
        return self.log.store(f"{bound.call.id}-pictures", json.dumps(pictures))

    def _notes(self, turn: int, bound: BoundCall, text: str, *, mutated: bool, last: bool) -> list[str]:
        """Return what the loop adds to an observation: a nudge out of a loop, a limit that is near, the plan."""
        edited = mutated and bound.call.name != "bash"
        verdict = self.detector.observe(bound.call, text, mutated=edited)
        self.looping = self.detector.reason if verdict == "stop" else self.looping
        notes = {
            "loop": loop_nudge(self.detector.pattern) if verdict == "nudge" else "",
            "limit": limit_reminder(self.budget) if last else "",
            "plan": plan_reminder(self.tools.state) if last else "",
        }
        for kind, note in notes.items():
            if note:
                self.log.write(Nudged(turn=turn, kind=kind, text=note, into="observation"))
        return [note for note in notes.values() if note]
