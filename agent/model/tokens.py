"""How many tokens a prompt has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ostro.agent.history import Message
from ostro.agent.model.profile import ModelEntry
from ostro.agent.model.wire import WireMessage


class TokenCounter:
    """Counts prompts."""

    def __init__(self, model: ModelEntry) -> None:
        self._model = model

    def count_prompt(self, messages: Iterable[Message], tools: Sequence[WireMessage] = ()) -> int:
        """Return the tokens of a prompt."""
        return sum(len(m.model_dump_json()) for m in messages) // 3 + len(str(tools)) // 3

    def count_chars(self, chars: int) -> int:
        """Return the tokens of so many characters."""
        return -(-chars // 3)

    def learn(self, messages: Iterable[Message], tools: Sequence[WireMessage], reported: int) -> None:
        """Take in what the server counted."""
