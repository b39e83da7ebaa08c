"""The part of a log that a fork copies (agent/fork.py), as pure functions of its events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ostro.agent.errors import UsageError
from ostro.agent.outcome import Ending
from ostro.agent.record.events import Called, Ended, Event, Nudged, Observed, Planned, Published, Tested


def most_copied(events: Sequence[Event]) -> int:
    """Return how many turns of a log are whole, answered in full, and did not end the run."""
    answered = {(event.turn, event.call_id) for event in events if isinstance(event, Observed)}
    corrected = {event.turn for event in events if isinstance(event, Nudged) and event.into == "message"}
    ending = {event.turn for event in events if isinstance(event, Observed) and event.done}
    turns = [event for event in events if isinstance(event, Planned)]
    if any(isinstance(event, Ended) and event.outcome.ending is Ending.LOOP_DETECTED for event in events):
        ending.add(turns[-1].turn)
    count = 0
    for turn in turns:
        whole = all((count, call.id) in answered for call in turn.calls) if turn.calls else count in corrected
        if turn.turn != count or count in ending or not whole:
            break
        count += 1
    return count


def copied(events: Iterable[Event], at: int, *, pictures: bool) -> list[Event]:
    """Return what a fork after `at` turns copies: what led to the history there, and nothing of how the run ended.

    Args:
        events: of the other run, from its manifest, which is left out.
        at: number of turns.
        pictures: whether the model that goes on takes images; they are left out of the observations otherwise.
    """
    kept: list[Event] = []
    manifest, *rest = events
    assert manifest.type == "run_started"
    for event in rest:
        turn = getattr(event, "turn", -1)
        if turn >= at and isinstance(event, Called | Observed):
            break  # what follows is after it, also a checkpoint
        if turn >= at or isinstance(event, Ended | Published | Tested) or (at == 0 and event.type == "noted"):
            continue
        if isinstance(event, Observed) and not pictures:
            event = event.model_copy(update={"pictures": ""})  # noqa: PLW2901
        kept.append(event)
    return kept


def edited(events: Iterable[Event], turn: int, text: str) -> tuple[list[Event], str]:
    """Return the events with the last message of a turn replaced, and what that was: a call id, or `nudge`.

    Raises:
        UsageError: the turn was answered with nothing.
    """
    changed = list(events)
    for index in range(len(changed) - 1, -1, -1):
        event = changed[index]
        if isinstance(event, Observed) and event.turn == turn:
            changed[index] = event.model_copy(update={"text": text})
            return changed, event.call_id
        if isinstance(event, Nudged) and event.turn == turn and event.into == "message":
            changed[index] = event.model_copy(update={"text": text})
            return changed, "nudge"
    raise UsageError(f"step {turn + 1} has no message behind it that could be edited")
