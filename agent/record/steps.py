"""What a log holds, step by step, as other tools think of a trajectory; agent/record/export.py writes it for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from ostro.agent.errors import UsageError
from ostro.agent.history import Message, SystemMessage, ToolCall, UserMessage
from ostro.agent.record.events import Compacted, Ended, Event, Forked, Nudged, Observed, Planned, Resumed, RunStarted
from ostro.agent.record.trajectory import read_events

Document = dict[str, JsonValue]


@dataclass
class Step:
    """A reply of the model with what its calls gave back; without a reply, a message to the model or a note.

    Attributes:
        source: who speaks.
        copied: a fork copied it from the run that paid for it.
    """

    source: Literal["system", "user", "agent"]
    text: str
    ts: str
    planned: Planned | None = None
    observed: dict[str, Observed] = field(default_factory=dict[str, Observed])
    images: int = 0
    copied: bool = False


@dataclass(frozen=True)
class Recording:
    """One attempt as its log has it.

    Attributes:
        name: of the benchmark's instance, or the run's id.
        ended: None for an attempt that was cut off.
        patch: of its end; "" for none.
    """

    name: str
    started: RunStarted
    steps: tuple[Step, ...]
    ended: Ended | None
    patch: str

    @property
    def ending(self) -> str:
        """How it ended, in the words of Ostro's table; `unfinished` where it did not."""
        return self.ended.outcome.ending.value if self.ended else "unfinished"

    @property
    def replies(self) -> list[Planned]:
        """The replies that this run paid for."""
        return [step.planned for step in self.steps if step.planned is not None and not step.copied]

    @property
    def cost_usd(self) -> float:
        """Dollars of the run, its summaries too."""
        return self.ended.cost_usd if self.ended else sum(reply.cost_usd for reply in self.replies)

    @property
    def tokens(self) -> tuple[int, int, int]:
        """Input, cached and output tokens of the run."""
        if self.ended:
            tokens = self.ended.tokens
            return tokens.input, tokens.cached, tokens.output
        usages = [reply.usage for reply in self.replies]
        return (
            sum(usage.input_tokens for usage in usages),
            sum(usage.cached_tokens for usage in usages),
            sum(usage.output_tokens for usage in usages),
        )


def read_recording(log: Path, name: str = "") -> Recording:
    """Read a log and the patch beside it.

    Args:
        log: a `trajectory.jsonl`, of a run that goes on too.
        name: what the exported document calls it; the run's id by default.

    Raises:
        UsageError: the log has no first line yet.
        TrajectoryError: it is damaged, or of another schema.
        StorageError: it cannot be read.
    """
    events = read_events(log)
    started = next(events, None)
    if not isinstance(started, RunStarted):
        raise UsageError(f"{log}: the run ended before its first step", mend="There is nothing to export.")
    rest = list(events)
    last = next((event for event in reversed(rest) if isinstance(event, Ended | Resumed)), None)
    ended = last if isinstance(last, Ended) else None
    patch = log.parent / ended.patch if ended and ended.patch else None
    text = patch.read_bytes().decode("utf-8", "surrogateescape") if patch and patch.is_file() else ""
    return Recording(name or started.run_id, started, tuple(_steps(started, rest)), ended, text)


def _steps(started: RunStarted, events: Sequence[Event]) -> list[Step]:
    steps = [_opening(message, started.ts) for message in started.messages]
    for event in events:
        match event:
            case Planned():
                steps.append(Step("agent", event.text, event.ts, planned=event))
            case Observed():
                _reply_to(steps, event).observed[event.call_id] = event
            case Nudged(into="message"):
                steps.append(Step("user", event.text, event.ts))
            case Compacted():
                steps.append(Step("system", _compaction(event), event.ts))
            case Forked():
                for step in steps:
                    step.copied = True
            case _:
                pass
    return steps


def _opening(message: Message, ts: str) -> Step:
    images = len(message.images) if isinstance(message, UserMessage) else 0
    return Step("system" if isinstance(message, SystemMessage) else "user", message.text, ts, images=images)


def _reply_to(steps: Sequence[Step], event: Observed) -> Step:
    """Return the step of an observation: the newest whose reply made the call."""
    return next(
        step
        for step in reversed(steps)
        if step.planned is not None and any(call.id == event.call_id for call in step.planned.calls)
    )


def _compaction(event: Compacted) -> str:
    if event.summary:
        return f"The conversation from here on shows this summary for what came before:\n\n{event.summary}"
    return f"From here on {len(event.masked)} old observations are shown as stand-ins."


def chat_call(call: ToolCall) -> JsonValue:
    """Return a call as chat messages have it."""
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def shell_line(call: ToolCall) -> str:
    """Return the command of a shell call; another call as its name and arguments."""
    command = call.arguments.get("command")
    if call.name == "bash" and isinstance(command, str):
        return command
    return f"{call.name} {json.dumps(call.arguments, ensure_ascii=False)}"


def unix_time(ts: str) -> float:
    """Return Unix time."""
    return datetime.fromisoformat(ts).timestamp()
