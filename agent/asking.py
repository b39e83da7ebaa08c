"""One question to the model: room in the context, the request, its cost, and the record of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from ostro.agent.budget import Budget
from ostro.agent.context import Compaction, ContextKeeper
from ostro.agent.errors import ModelError
from ostro.agent.history import AssistantMessage, History, UserMessage
from ostro.agent.intake import CUT_REASONS, Intake
from ostro.agent.model.client import ModelClient
from ostro.agent.model.reply import RawCall, Reply
from ostro.agent.record.events import Compacted, Planned
from ostro.agent.record.reconstruct import KEPT_MESSAGES, summary_messages
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.prompts.render import render

NO_REPLY = "(no reply)"
"""Stands in the history for an empty reply, which no chat template accepts."""

SUMMARY_WORDS = 400
SUMMARY_TOKENS = 1024
MAX_LOGGED_CHARS = 100_000
"""Longer texts are cut before they enter history and log, which hold the same."""


@dataclass
class Sampling:
    """How replies are drawn.

    `max_tokens` is doubled once, after the first reply that was cut off, up to `max_output`; a limit that the user
    gave is kept.
    """

    temperature: float
    seed: int | None
    max_tokens: int
    max_output: int
    raised: bool = False

    def described(self) -> dict[str, JsonValue]:
        """Return what a manifest holds as `sampling`."""
        return {"temperature": self.temperature, "seed": self.seed, "max_tokens": self.max_tokens}

    def raise_max_tokens(self) -> None:
        """Allow longer replies from now on; the second time nothing happens."""
        if not self.raised:
            self.raised = True
            self.max_tokens = max(self.max_tokens, min(2 * self.max_tokens, self.max_output))


class Answers(Protocol):
    """Where the loop gets its replies from: a model (`Asker`), or a log (agent/record/replay.py).

    Attributes:
        cut_at: tokens at which the last reply was cut off; 0 when it was whole.
    """

    cut_at: int

    def ask(self, turn: int, *, must_call: bool) -> Reply:
        """Return the reply of this turn."""
        ...

    def record(self, turn: int, reply: Reply, plan: Intake, text: str, *, received: str) -> None:
        """Write the reply to the log."""
        ...

    def note_saved(self, call_id: str, path: JsonValue) -> None:
        """Remember where the whole output of a call lies in the sandbox."""
        ...


@dataclass
class Asker:
    """Asks the model for the next turn of one history.

    Attributes:
        cut_at: tokens at which the last reply was cut off; 0 when it was whole.
    """

    model: ModelClient
    history: History
    context: ContextKeeper
    sampling: Sampling
    budget: Budget
    log: TrajectoryWriter
    cut_at: int = 0

    def ask(self, turn: int, *, must_call: bool) -> Reply:
        """Return the model's reply to the history, compacting it before, or once after a refusal.

        Raises:
            ModelError: after its retries; kind `overflow` when nothing is left to leave out.
        """
        self._make_room(turn)
        try:
            reply = self._request(must_call=must_call)
        except ModelError as error:
            if error.model_kind != "overflow" or not self._shrink(turn):
                raise
            reply = self._request(must_call=must_call)
        self.budget.spend(reply)
        self.cut_at = 0
        if reply.finish_reason in CUT_REASONS:
            self.cut_at = reply.usage.output_tokens
            self.sampling.raise_max_tokens()
        return reply

    def record(self, turn: int, reply: Reply, plan: Intake, text: str, *, received: str) -> None:
        """Write the reply to the log, as it will be executed and, where they differ, as it came.

        Args:
            turn: its number.
            reply: as the model sent it.
            plan: what the intake made of it.
            text: as the history has it.
            received: `plan.received` without secrets.
        """
        calls = tuple(bound.call for bound in plan.calls)
        self.log.write(
            Planned(
                turn=turn,
                text=text,
                reply_text=received[:MAX_LOGGED_CHARS],
                calls=calls,
                raw_calls=_loggable(reply) if plan.repairs else (),
                repairs=plan.repairs,
                finish_reason=reply.finish_reason,
                usage=reply.usage,
                cost_usd=reply.cost_usd,
                cost_source=reply.cost_source,
                tries=reply.tries,
                latency_s=round(reply.latency_s, 4),
                generation_id=reply.generation_id,
                served_by=reply.served_by,
            )
        )

    def note_saved(self, call_id: str, path: JsonValue) -> None:
        """Remember where the whole output of a call lies in the sandbox, for its stand-in."""
        if isinstance(path, str) and path:
            self.context.saved[call_id] = path

    def _request(self, *, must_call: bool) -> Reply:
        return self.model.complete(
            list(self.history),
            self.context.schemas,
            max_tokens=self.sampling.max_tokens,
            temperature=self.sampling.temperature,
            seed=self.sampling.seed,
            tool_choice="required" if must_call else "auto",
            deadline_s=self.budget.seconds_left(),
        )

    def _make_room(self, turn: int) -> None:
        self._log_compaction(turn, self.context.mask_old(self.history))
        if not self.context.fits(self.history) and not self._shrink(turn):
            raise ModelError("the task alone does not fit the model's context", kind="overflow")

    def _shrink(self, turn: int) -> bool:
        """Mask everything that can be masked, else summarise; False when neither leaves anything out."""
        hard = self.context.mask_hard(self.history)
        self._log_compaction(turn, hard)
        if hard is not None and self.context.fits(self.history):
            return True
        return self._summarise(turn)

    def _log_compaction(self, turn: int, done: Compaction | None) -> None:
        if done is not None:
            event = Compacted(
                turn=turn, masked=done.masked, tokens_before=done.tokens_before, tokens_after=done.tokens_after
            )
            self.log.write(event)

    def _summarise(self, turn: int) -> bool:
        if len(self.history) <= KEPT_MESSAGES + 2:
            return False
        before = self.context.tokens(self.history)
        question = UserMessage(text=render("summary.j2", max_words=SUMMARY_WORDS))
        asked = [*list(self.history)[: _summarisable(self.history, self.context)], question]
        reply = self.model.complete(
            asked,
            [],
            max_tokens=SUMMARY_TOKENS,
            temperature=self.sampling.temperature,
            seed=self.sampling.seed,
            tool_choice="auto",
            deadline_s=self.budget.seconds_left(),
        )
        self.budget.spend(reply)
        self.budget.used_steps -= 1  # a summary is no step of the agent's
        summary = render("summarised.j2", summary=reply.text.strip(), files=[])
        self.history.condense(KEPT_MESSAGES, summary_messages(summary))
        after = self.context.tokens(self.history)
        event = Compacted(
            turn=turn,
            summary=summary,
            tokens_before=before,
            tokens_after=after,
            usage=reply.usage,
            cost_usd=reply.cost_usd,
            cost_source=reply.cost_source,
        )
        self.log.write(event)
        return after < before


def _summarisable(history: History, context: ContextKeeper) -> int:
    """Return how many messages from the start fit the window together with the summary request.

    The prefix ends before an assistant message, so that no call is left without its result.
    """
    messages = list(history)
    total, end = 0, KEPT_MESSAGES
    for index, message in enumerate(messages):
        if isinstance(message, AssistantMessage) and index > KEPT_MESSAGES:
            end = index
        total += context.counter.count_prompt([message])
        if total + 2 * SUMMARY_TOKENS > context.window:
            return end
    return len(messages)


def _loggable(reply: Reply) -> tuple[RawCall, ...]:
    return tuple(
        call.model_copy(update={"arguments": call.arguments[:MAX_LOGGED_CHARS], "name": call.name[:200]})
        if isinstance(call.arguments, str)
        else call
        for call in reply.calls
    )
