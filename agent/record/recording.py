"""A log as turns: each reply of the model with what its calls gave back, for replay.

Read by agent/record/replay.py; nothing here runs anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from ostro.agent.asking import MAX_LOGGED_CHARS
from ostro.agent.errors import UsageError
from ostro.agent.model.reply import Reply
from ostro.agent.outcome import Ending
from ostro.agent.record.events import Called, Ended, Event, Forked, Nudged, Observed, Planned, Resumed, RunStarted
from ostro.agent.record.reconstruct import recorded_reply
from ostro.agent.record.trajectory import read_events

AS_TEXT = "text_"
"""How the intake's stages begin that find a call in the text (agent/recovery.py)."""

DECIDED_BY_THE_RECORD = (Ending.SUBMITTED, Ending.GAVE_UP, Ending.NO_ACTION, Ending.LOOP_DETECTED)
"""Endings that follow from replies and workspace alone; limits and failures do not."""


@dataclass
class Turn:
    """One reply and what came of it.

    Attributes:
        begun: how often each call was begun; one that never was had been refused, or came after the end.
        observed: call id -> what it gave back; a call without one was not run, or the process ended first.
        nudge: the user message that the loop added, "" for none.
        resumed: call id -> what another process said when it went on before that call; "" stands for the reply.
        cut: call id -> how often it had been begun when it was cut off for the last time.
    """

    planned: Planned
    begun: Counter[str] = field(default_factory=Counter[str])
    observed: dict[str, Observed] = field(default_factory=dict[str, Observed])
    nudge: str = ""
    resumed: dict[str, Resumed] = field(default_factory=dict[str, Resumed])
    cut: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def reply(self) -> Reply | None:
        """What the model sent, as the intake got it; None where the log does not hold all of it."""
        planned = self.planned
        if any(isinstance(raw.arguments, str) and len(raw.arguments) >= MAX_LOGGED_CHARS for raw in planned.raw_calls):
            return None
        if any(stage.startswith(AS_TEXT) for stage in planned.repairs) and not planned.reply_text:
            return None  # logs of the first days keep only what the intake made of such a reply
        return recorded_reply(planned)

    @property
    def canonical(self) -> Reply:
        """The reply with the calls that were carried out in place of those that the model sent."""
        changes: dict[str, object] = {"raw_calls": (), "repairs": (), "reply_text": ""}
        if not self.planned.calls:
            changes["text"] = ""  # or the intake might find a call in it that it did not find then
        return recorded_reply(self.planned.model_copy(update=changes))


@dataclass
class Recording:
    """A log that can be replayed.

    Attributes:
        ended: how it ended; None where the process was killed.
        forks: where turns were copied from another run, the newest last; the first turns may come from afar.
    """

    log: Path
    started: RunStarted
    turns: list[Turn] = field(default_factory=list[Turn])
    ended: Ended | None = None
    forks: list[Forked] = field(default_factory=list[Forked])

    @property
    def ending(self) -> str:
        """How it ended where a replay must end the same way, else "goes on"."""
        decided = self.ended is not None and self.ended.outcome.ending in DECIDED_BY_THE_RECORD
        return self.ended.outcome.ending.value if self.ended is not None and decided else "goes on"

    def setting(self, name: str, turn: int, now: JsonValue) -> JsonValue:
        """Return the setting that a turn was made with; a fork changed it for what came after.

        Args:
            name: of the setting.
            turn: its number.
            now: what it was at the end.
        """
        for fork in self.forks:
            was = fork.changes.get("was")
            if turn < fork.at and isinstance(was, dict) and name in was:
                return was[name]
        return now

    def edited(self, turn: int, message: str) -> bool:
        """Whether a message of a turn is a fork's, not what came back; `message` is a call id or `nudge`."""
        return any(fork.at == turn + 1 and fork.changes.get("edited") == message for fork in self.forks)


def read_recording(log: Path) -> Recording:
    """Read a log and sort its events into turns.

    Raises:
        TrajectoryError: it cannot be read.
        UsageError: the run ended before its first step, so there is nothing in it.
    """
    events = iter(read_events(log))
    started = next((event for event in events if isinstance(event, RunStarted)), None)
    if started is None:
        raise UsageError(f"{log} has no steps: the run ended before it began", mend="`ostro view` shows what happened.")
    recording = Recording(log=log, started=started)
    waiting: list[Resumed] = []
    for event in events:
        _take(recording, event, waiting)
    return recording


def _take(recording: Recording, event: Event, waiting: list[Resumed]) -> None:
    if isinstance(event, Planned):
        recording.turns.append(Turn(planned=event))
        recording.ended = None
        _went_on(recording.turns[-1], "", waiting)
    elif isinstance(event, Resumed):
        recording.ended = None
        waiting.append(event)
        if event.cut_call and recording.turns:
            turn = recording.turns[-1]
            turn.cut[event.cut_call] = turn.begun[event.cut_call]
    elif isinstance(event, Ended):
        recording.ended = event
    elif isinstance(event, Forked):
        recording.forks.append(event)
        recording.ended = None
    elif recording.turns:
        _take_result(recording.turns[-1], event, waiting)


def _take_result(turn: Turn, event: Event, waiting: list[Resumed]) -> None:
    match event:
        case Called():
            turn.begun[event.call.id] += 1
        case Observed():
            turn.observed[event.call_id] = event
            _went_on(turn, event.call_id, waiting)
        case Nudged(into="message"):
            turn.nudge = event.text
        case _:
            pass


def _went_on(turn: Turn, before: str, waiting: list[Resumed]) -> None:
    if waiting:
        turn.resumed[before] = waiting[-1]
        waiting.clear()
