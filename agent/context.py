"""Keeps the prompt small: old observations are masked first, a summary of the middle is the last resort.

Above 60 % of min(context, 128K) tokens the oldest observations are replaced by short stand-ins (their text stays in
the trajectory); masking goes down to half of that at once, since every rewrite costs the endpoint's prompt cache.
Masking rather than summarising: research on coding agents finds equal scores at half the cost (arXiv 2508.21433).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import JsonValue

from ostro.agent.history import AssistantMessage, History, Message, ToolMessage
from ostro.prompts.render import render

COMPACT_SHARE = 0.6
TARGET_SHARE = 0.3
LARGEST_USEFUL_CONTEXT = 131_072
"""Tokens; beyond it quality falls and every step costs more, whatever the model allows."""
KEPT_OBSERVATIONS = 5
"""The newest observations are never masked by plan, only when the endpoint refuses the prompt."""
WORTH_MASKING_CHARS = 400


class TokenCounter(Protocol):
    """What this module needs of agent/model/tokens.py."""

    def count_prompt(self, messages: Iterable[Message], tools: Sequence[dict[str, JsonValue]] = ()) -> int:
        """Return the tokens of a prompt, as corrected by what the server counted; cheap for known messages."""
        ...


@dataclass(frozen=True)
class Compaction:
    """What was masked: index in the history -> stand-in, and the prompt's size before and after, in tokens."""

    masked: dict[int, str]
    tokens_before: int
    tokens_after: int


@dataclass
class ContextKeeper:
    """Counts the prompt before each call and masks what is old when it grows too large.

    Attributes:
        window: context length of the model, tokens.
        reserve: tokens kept free for the reply.
        masking: False leaves the history alone until the endpoint refuses it.
        saved: path in the sandbox of the whole output of a call id, where there is one.
    """

    counter: TokenCounter
    schemas: list[dict[str, JsonValue]]
    window: int
    reserve: int
    masking: bool = True
    saved: dict[str, str] = field(default_factory=dict[str, str])

    def tokens(self, history: History) -> int:
        """Return the size of the next prompt."""
        return self.counter.count_prompt(history, self.schemas)

    @property
    def threshold(self) -> int:
        """Tokens above which masking starts."""
        return int(COMPACT_SHARE * min(self.window, LARGEST_USEFUL_CONTEXT))

    def fits(self, history: History) -> bool:
        """Whether prompt and reply together fit the window."""
        return self.tokens(history) + self.reserve <= self.window

    def mask_old(self, history: History) -> Compaction | None:
        """Mask by plan; None when nothing had to be done."""
        if not self.masking or self.tokens(history) <= self.threshold:
            return None
        target = int(TARGET_SHARE * min(self.window, LARGEST_USEFUL_CONTEXT))
        return self._mask(history, KEPT_OBSERVATIONS, lambda: self.tokens(history) <= target)

    def mask_hard(self, history: History) -> Compaction | None:
        """Mask all but the last observation: the endpoint refused the prompt, or it cannot fit."""
        return self._mask(history, 1, lambda: False)

    def _mask(self, history: History, keep: int, enough: Callable[[], bool]) -> Compaction | None:
        before = self.tokens(history)
        labels = _call_labels(history)
        observations = [index for index, message in enumerate(history) if isinstance(message, ToolMessage)]
        masked: dict[int, str] = {}
        for index in observations[: -keep or None]:
            message = history[index]
            if not isinstance(message, ToolMessage) or message.masked or len(message.text) < WORTH_MASKING_CHARS:
                continue
            stand_in = render(
                "masked.j2",
                lines=message.text.count("\n") + 1,
                call=labels.get(message.call_id, message.name),
                saved=self.saved.get(message.call_id, ""),
            )
            history.mask(index, stand_in)
            masked[index] = stand_in
            if enough():
                break
        return Compaction(masked, before, self.tokens(history)) if masked else None


def _call_labels(history: History) -> dict[str, str]:
    """Return a short name for each call, such as `bash: pytest -q`, for its stand-in."""
    labels: dict[str, str] = {}
    for message in history:
        if isinstance(message, AssistantMessage):
            for call in message.calls:
                first = next((str(value) for value in call.arguments.values()), "")
                labels[call.id] = f"{call.name}: {first.splitlines()[0][:80]}" if first.strip() else call.name
    return labels
