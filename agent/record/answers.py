"""The recorded replies in the model's place: what the loop asks when a log is replayed (agent/record/replay.py)."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import JsonValue

from ostro.agent.budget import Budget
from ostro.agent.history import ToolCall
from ostro.agent.intake import CUT_REASONS, Intake, take_in
from ostro.agent.model.reply import Reply
from ostro.agent.record.recording import Turn
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.tools.registry import Toolset


@dataclass
class RecordedAnswers:
    """Stands where the model is asked, and answers what it answered then (`agent.asking.Answers`).

    Attributes:
        turn: the recorded turn that is asked for next.
        differing: the calls that the intake makes of its reply today, where they are not the recorded ones.
        left_out: ids of calls that cannot be had again: refused, with what the model sent not wholly in the log.
    """

    toolset: Toolset
    budget: Budget
    log: TrajectoryWriter
    turn: Turn | None = None
    cut_at: int = 0
    differing: tuple[ToolCall, ...] | None = None
    left_out: set[str] = field(default_factory=set[str])

    def ask(self, turn: int, *, must_call: bool) -> Reply:  # noqa: ARG002  # the signature of `Answers`
        """Return the recorded reply, with the recorded calls where the intake would make others of it today."""
        assert self.turn is not None
        recorded, reply = self.turn, self.turn.reply
        planned = recorded.planned
        self.differing, self.left_out = None, set()
        if reply is not None:
            calls = tuple(bound.call for bound in take_in(reply, turn, self.toolset).calls)
            self.differing = None if calls == planned.calls else calls
        if reply is None or self.differing is not None:
            reply = recorded.canonical
            self.left_out = {call.id for call in planned.calls} - set(recorded.begun)
        self.budget.spend(reply)
        self.cut_at = reply.usage.output_tokens if reply.finish_reason in CUT_REASONS else 0
        return reply

    def record(self, turn: int, reply: Reply, plan: Intake, text: str, *, received: str) -> None:  # noqa: ARG002
        """Write the recorded event once more, for who listens."""
        assert self.turn is not None
        self.log.write(self.turn.planned)

    def note_saved(self, call_id: str, path: JsonValue) -> None:
        """Nothing is masked in a replay."""
