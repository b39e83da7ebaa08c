"""What the page shows of a trajectory: each event as JSON, long texts cut, nothing that only resume needs.

benchmarks/html_report.py calls it; benchmarks/page/steps.js draws what it returns. Everything in an event may come from
a model or a repository, so no text is turned into markup here or there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from ostro.agent.history import Message, SystemMessage, ToolCall, ToolMessage
from ostro.agent.record.events import (
    Called,
    Compacted,
    Ended,
    Event,
    Forked,
    Planned,
    Resumed,
    RunStarted,
)
from ostro.agent.record.trajectory import TrajectoryError, read_events

KEPT_SHARE = 2 / 3
"""How much of a cut text is taken from its beginning; the rest is its end."""

LINE_CHARS = 80

LEFT_OUT: Mapping[str, set[str]] = {
    "run_started": {"config", "messages", "task", "sampling", "tools_sha256", "schema_version"},
    "planned": {"calls", "raw_calls"},
    "observed": {"data", "state"},
    "compacted": {"masked"},
    "resumed": {"limits"},
    "forked": {"changes"},
    "ended": {"patch"},
}
"""Fields that are shown in another form, or not at all."""


class Texts:
    """Cuts long texts, and keeps those that many instances share in one place.

    Args:
        limit: characters of one text that are kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._shared: dict[str, int] = {}

    @property
    def shared(self) -> list[str]:
        """The shared texts, in the order of their numbers."""
        return list(self._shared)

    def share(self, text: str) -> int:
        """Return the number of a text that is the same in many instances."""
        return self._shared.setdefault(text, len(self._shared))

    def cut(self, text: str) -> JsonValue:
        """Return the text, or what is kept of it: `{"head", "tail", "left_out"}`, the last in characters."""
        left_out = len(text) - self.limit
        if left_out <= self.limit // 10:
            return text
        head = int(self.limit * KEPT_SHARE)
        return {"head": text[:head], "tail": text[len(text) - (self.limit - head) :], "left_out": left_out}


def trajectory(log: Path, texts: Texts) -> dict[str, JsonValue]:
    """Return the events of one log; where it is damaged, those before the damage and what it is."""
    events: list[Event] = []
    problem = ""
    try:
        events.extend(read_events(log))
    except TrajectoryError as error:
        problem = str(error).replace(str(log), log.name)
    seen = [shown(event, texts) for event in events if not isinstance(event, Called)]  # its call stands in `planned`
    return {"name": log.parent.name, "problem": problem, "events": [*seen]}


def shown(event: Event, texts: Texts) -> dict[str, JsonValue]:
    """Return one event as the page needs it; what has its default is left out."""
    data: dict[str, JsonValue] = event.model_dump(
        mode="json", exclude=LEFT_OUT.get(event.type, set()), exclude_defaults=True
    )
    data |= _special(event, texts)
    cut = {name: texts.cut(value) if isinstance(value, str) else value for name, value in data.items()}
    return {**cut, "type": event.type}


def _special(event: Event, texts: Texts) -> dict[str, JsonValue]:
    """Return the fields that need another form: structures of the model become text."""
    special: dict[str, JsonValue] = {}
    match event:
        case RunStarted():
            special["messages"] = [*_messages(event.messages, texts)]
        case Planned():
            raw = event.raw_calls if event.repairs else ()
            special["calls"] = [_call(call, texts) for call in event.calls]
            special["received"] = [{"name": call.name, "text": texts.cut(_text(call.arguments))} for call in raw]
        case Compacted():
            special["masked"] = len(event.masked)
        case Resumed():
            special["limits"] = _text(event.limits) if event.limits else ""
        case Forked():
            special["changes"] = _text(event.changes) if event.changes else ""
        case Ended():
            special["reason"] = texts.cut(event.outcome.reason)
        case _:
            pass
    return special


def _messages(messages: Sequence[Message], texts: Texts) -> Iterable[JsonValue]:
    for message in messages:
        if isinstance(message, SystemMessage):
            yield {"role": message.role, "shared": texts.share(message.text)}
        else:
            text = message.shown if isinstance(message, ToolMessage) else message.text
            yield {"role": message.role, "text": texts.cut(text)}


def _call(call: ToolCall, texts: Texts) -> JsonValue:
    arguments: list[JsonValue] = [[name, texts.cut(_text(value))] for name, value in call.arguments.items()]
    return {"id": call.id, "name": call.name, "arguments": arguments}


def _text(value: object) -> str:
    """Return a value as a person reads it: over several lines where one would be long."""
    if isinstance(value, str):
        return value
    line = json.dumps(value, ensure_ascii=False)
    return line if len(line) <= LINE_CHARS else json.dumps(value, ensure_ascii=False, indent=2)
