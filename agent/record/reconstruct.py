"""Where an attempt stood when its log ended: the events in, a `State` out, with no clock, disk or sandbox.

`resume` goes on from the state (agent/resume.py), `fork` from that of a log cut short. Everything that the loop
remembers is in the log, so that this is all there is to restore but the workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from ostro.agent.budget import Budget, Purse
from ostro.agent.fresh_look import LOOKED
from ostro.agent.history import AssistantMessage, History, ToolCall, ToolMessage, UserMessage
from ostro.agent.intake import CUT_REASONS, MAX_CALLS
from ostro.agent.model.reply import RawCall, Reply
from ostro.agent.outcome import TestRun
from ostro.agent.record.events import (
    Called,
    Checkpointed,
    Compacted,
    Ended,
    Event,
    Forked,
    Nudged,
    Observed,
    Planned,
    Published,
    Resumed,
    RunStarted,
    Tested,
)
from ostro.agent.repetition import LoopDetector
from ostro.agent.untrusted import neutralise
from ostro.sandbox.protocol import Job
from ostro.tools.protocol import ToolState

KEPT_MESSAGES = 2
"""The system prompt and the task survive every summary."""


def _nothing_spent() -> Budget:
    """Return a budget that only counts."""
    return Budget(steps=0, deadline=0.0, purse=Purse(budget_usd=None))


@dataclass(frozen=True)
class Saved:
    """A checkpoint, and how many of the calls that ran before it are in it: `State.ran[:calls]`."""

    event: Checkpointed
    calls: int


@dataclass(frozen=True)
class Ran:
    """A call that was run to its end.

    Attributes:
        before: the tools' memory before it.
    """

    call: ToolCall
    observed: Observed
    before: ToolState


@dataclass(eq=False)
class State:
    """An attempt as its log left it.

    Attributes:
        started: the manifest; None where the process ended before there was one.
        turn: the turn in progress, or the next one.
        reply: the reply of the turn in progress, whose end was not yet judged; None between two turns.
        results: the observations of that turn, in the order of its calls.
        cut: the call that was begun and has no result.
        begun: how often that call was begun.
        ran: every call that was run to its end, in order.
        saved: the checkpoints, oldest first.
        jobs: the background jobs, each with the number of calls that ran before it.
        spent: what was used of the budget; its limits mean nothing.
        silent: replies in a row without a call.
        asked: path of the file that the last correction asked for; "" where it asked for none.
        cut_at: tokens at which the last reply was cut off, 0 when it was whole.
        cut_replies: whether any reply was cut off.
        looping: why the loop detector said stop; "" where it did not.
        outputs: call id -> path in the sandbox of its whole output.
        pictures: call id -> file beside the log with the images of its observation.
        measured: how many messages of the history the server counted last, and the tokens; None where it did not.
        limits: what the user changed when resuming, the newest of each.
        seconds: how long the processes worked on it, together.
        ended: how it ended; None where it did not, or was resumed since.
        published: the newest branch that was made of it, also before it was resumed.
        tested: the tests' results by phase, for the patch that it ended with.
    """

    started: RunStarted | None = None
    history: History = field(default_factory=History)
    tools: ToolState = field(default_factory=ToolState)
    turn: int = 0
    reply: Planned | None = None
    results: list[Observed] = field(default_factory=list[Observed])
    cut: ToolCall | None = None
    begun: int = 0
    ran: list[Ran] = field(default_factory=list[Ran])
    saved: list[Saved] = field(default_factory=list[Saved])
    jobs: list[tuple[int, Job]] = field(default_factory=list[tuple[int, Job]])
    spent: Budget = field(default_factory=_nothing_spent)
    detector: LoopDetector = field(default_factory=lambda: LoopDetector(digest=str))
    repairs: dict[str, int] = field(default_factory=dict[str, int])
    silent: int = 0
    asked: str = ""
    cut_at: int = 0
    cut_replies: bool = False
    looping: str = ""
    outputs: dict[str, str] = field(default_factory=dict[str, str])
    pictures: dict[str, str] = field(default_factory=dict[str, str])
    measured: tuple[int, int] | None = None
    limits: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    seconds: float = 0.0
    ended: Ended | None = None
    published: Published | None = None
    tested: dict[str, TestRun] = field(default_factory=dict[str, TestRun])

    @property
    def pending(self) -> tuple[ToolCall, ...]:
        """The calls of the turn in progress that have no observation."""
        return self.reply.calls[len(self.results) :] if self.reply is not None else ()


def reconstruct(events: Iterable[Event]) -> State:
    """Return the state that the events of one log lead to.

    Args:
        events: of one attempt, in order; they may end anywhere.
    """
    builder = _Builder()
    for event in events:
        builder.take(event)
    return builder.state


def recorded_reply(planned: Planned) -> Reply:
    """Return the reply of the model as the intake got it, less what was redacted: `take_in` makes the same of it."""
    raw = planned.raw_calls
    if not raw and not planned.repairs:
        raw = tuple(_raw(call) for call in planned.calls)
    return Reply(
        text=planned.reply_text or planned.text,
        calls=raw,
        finish_reason=planned.finish_reason,
        usage=planned.usage,
        cost_usd=planned.cost_usd,
        cost_source=planned.cost_source,
        generation_id=planned.generation_id,
        served_by=planned.served_by,
        tries=planned.tries,
        latency_s=planned.latency_s,
    )


def _raw(call: ToolCall) -> RawCall:
    """Return the call as a model sends it: the intake takes back what `neutralise` did to its texts."""
    arguments = {key: neutralise(value) if isinstance(value, str) else value for key, value in call.arguments.items()}
    return RawCall(name=call.name, arguments=arguments)


class _Builder:
    """Takes the events one by one."""

    def __init__(self) -> None:
        self.state = State()
        self._notes: list[str] = []
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            RunStarted: self._run_started,
            Planned: self._planned,
            Called: self._called,
            Observed: self._observed,
            Checkpointed: self._checkpointed,
            Compacted: self._compacted,
            Nudged: self._nudged,
            Tested: self._tested,
            Resumed: self._resumed,
            Forked: self._forked,
            Published: self._published,
            Ended: self._ended,
        }

    def take(self, event: Event) -> None:
        if handler := self._handlers.get(type(event)):
            handler(event)
        self.state.seconds = max(self.state.seconds, event.mono)

    def _run_started(self, event: RunStarted) -> None:
        self.state.started = event
        self.state.history = History(event.messages)
        self.state.tools = ToolState.model_validate(event.state or {})

    def _planned(self, event: Planned) -> None:
        state = self.state
        state.turn, state.reply, state.results = event.turn, event, []
        state.cut, state.begun, self._notes = None, 0, []
        if event.usage.exact:
            state.measured = len(state.history), event.usage.input_tokens
        state.history.append(AssistantMessage(text=event.text, calls=event.calls))
        state.spent.spend(recorded_reply(event))
        state.cut_at = event.usage.output_tokens if event.finish_reason in CUT_REASONS else 0
        state.cut_replies = state.cut_replies or bool(state.cut_at)
        for stage in event.repairs:
            state.repairs[stage] = state.repairs.get(stage, 0) + 1
        state.silent = 0 if event.calls else state.silent
        state.asked = ""

    def _called(self, event: Called) -> None:
        state, self._notes = self.state, []
        state.begun = state.begun + 1 if state.cut == event.call else 1
        state.cut = event.call

    def _observed(self, event: Observed) -> None:
        state = self.state
        state.history.append(ToolMessage(call_id=event.call_id, name=event.name, text=event.text))
        state.results.append(event)
        before = state.tools
        if event.state is not None:
            state.tools = ToolState.model_validate(event.state)
        if isinstance(saved := event.data.get("saved"), str) and saved:
            state.outputs[event.call_id] = saved
        if event.pictures:
            state.pictures[event.call_id] = event.pictures
        self._watch(event)
        if state.cut is not None and state.cut.id == event.call_id:
            self._completed(Ran(state.cut, event, before))
        state.cut, state.begun, self._notes = None, 0, []

    def _completed(self, ran: Ran) -> None:
        if ran.observed.interrupted:
            return  # its effect was taken back
        job, log = ran.observed.data.get("job"), ran.observed.data.get("log")
        if isinstance(job, str) and isinstance(log, str):
            command = str(ran.call.arguments.get("command"))
            self.state.jobs.append((len(self.state.ran), Job(id=job, command=command, log=log)))
        self.state.ran.append(ran)

    def _watch(self, event: Observed) -> None:
        """Let the loop detector see what it saw."""
        reply, index = self.state.reply, len(self.state.results) - 1
        if reply is None or index >= min(MAX_CALLS, len(reply.calls)) or event.done:
            return
        text = event.text
        if self._notes:
            text = text.removesuffix("\n\n" + "\n\n".join(self._notes))
        detector = self.state.detector
        detector.digest = lambda: event.patch_sha256
        verdict = detector.observe(reply.calls[index], text, mutated=event.mutated and event.name != "bash")
        if verdict == "stop":
            self.state.looping = detector.reason

    def _checkpointed(self, event: Checkpointed) -> None:
        self.state.saved.append(Saved(event, len(self.state.ran)))

    def _compacted(self, event: Compacted) -> None:
        state = self.state
        for index, stand_in in event.masked.items():
            state.history.mask(index, stand_in)
        state.measured = None
        if event.summary:
            state.history.condense(KEPT_MESSAGES, summary_messages(event.summary))
            state.spent.spend(Reply(usage=event.usage, cost_usd=event.cost_usd, cost_source=event.cost_source))
            state.spent.used_steps -= 1

    def _nudged(self, event: Nudged) -> None:
        state = self.state
        if event.into == "observation":
            self._notes.append(event.text)
            return
        state.asked = event.asks_for
        if event.asks_for:
            state.history.condense(KEPT_MESSAGES, (LOOKED,))
            state.measured = None
        state.history.append(UserMessage(text=event.text))
        state.silent += 1
        state.reply, state.results, state.turn = None, [], event.turn + 1

    def _tested(self, event: Tested) -> None:
        self.state.tested[event.phase] = event.result

    def _resumed(self, event: Resumed) -> None:
        self._notes = []
        self.state.ended = None
        self.state.tested.pop("after", None)
        self.state.limits.update(event.limits)

    def _forked(self, event: Forked) -> None:  # noqa: ARG002  # what it says is about the other run
        """What was copied was paid for by the other run, and whoever goes on may be another model."""
        state = self.state
        state.spent, state.limits, state.repairs = _nothing_spent(), {}, {}
        state.measured, state.cut_at, state.cut_replies = None, 0, False
        state.silent, state.looping = 0, ""
        state.ended = state.published = None
        state.tested = {}

    def _published(self, event: Published) -> None:
        self.state.published = event

    def _ended(self, event: Ended) -> None:
        self.state.ended = event


def summary_messages(summary: str) -> tuple[AssistantMessage, UserMessage]:
    """Return what stands in the history for everything after its first `KEPT_MESSAGES` messages."""
    return AssistantMessage(text=summary), UserMessage(text="Continue.")
