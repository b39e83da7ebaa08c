"""The canonical conversation: our own frozen types, append-only, rendered per endpoint in agent/model/wire.py.

A message enters here once, already redacted and repaired; no provider's format is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

CALL_ID_LENGTH = 9
"""Mistral's validators accept exactly nine ASCII letters or digits (mistral-common 1.8, InstructRequest)."""

_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

ABOUT = ("command", "args", "path", "pattern", "summary")
"""Arguments that say what a call is about, in the order of a command line."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Image(_Frozen):
    """A picture for a model with vision: base64 data, its media type, and its size in pixels."""

    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    data_base64: str
    width: int
    height: int


class ToolCall(_Frozen):
    """One call as it was executed: the repaired, canonical form, never the raw one."""

    id: str = Field(pattern=r"^[a-zA-Z0-9]{9}$")
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    arguments: dict[str, JsonValue]

    @property
    def about(self) -> str:
        """What the call is about, for people: its arguments of `ABOUT`."""
        return " ".join(value for key in ABOUT if isinstance(value := self.arguments.get(key), str))


class SystemMessage(_Frozen):
    """The system prompt: exactly one, first."""

    role: Literal["system"] = "system"
    text: str


class UserMessage(_Frozen):
    """The task, or a correction when the model made no call."""

    role: Literal["user"] = "user"
    text: str
    images: tuple[Image, ...] = ()


class AssistantMessage(_Frozen):
    """One reply of the model; text, calls or both, never neither."""

    role: Literal["assistant"] = "assistant"
    text: str = ""
    calls: tuple[ToolCall, ...] = ()


class ToolMessage(_Frozen):
    """The observation that answers one call.

    Attributes:
        masked: a short stand-in shown instead of `text` once the context is tight; "" while it is shown.
    """

    role: Literal["tool"] = "tool"
    call_id: str
    name: str
    text: str
    images: tuple[Image, ...] = ()
    masked: str = ""

    @property
    def shown(self) -> str:
        """What the model reads."""
        return self.masked or self.text


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class History:
    """An append-only list of messages. `mask` and `condense` are its only rewrites, made at a compaction."""

    def __init__(self, messages: Sequence[Message] = ()) -> None:
        self._messages: list[Message] = list(messages)

    def append(self, message: Message) -> None:
        """Add one message at the end."""
        self._messages.append(message)

    def mask(self, index: int, stand_in: str) -> None:
        """Show `stand_in` for the observation at `index` from now on; its text stays here."""
        message = self._messages[index]
        if isinstance(message, ToolMessage):
            self._messages[index] = message.model_copy(update={"masked": stand_in, "images": ()})

    def condense(self, kept: int, messages: Sequence[Message]) -> None:
        """Replace everything after the first `kept` messages: the summary of a context that is full."""
        self._messages[kept:] = messages

    def __len__(self) -> int:
        return len(self._messages)

    def __getitem__(self, index: int) -> Message:
        return self._messages[index]

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)


def call_id(turn: int, index: int) -> str:
    """Return the id of call `index` of turn `turn`: nine characters, the same in every replay."""
    number = int.from_bytes(hashlib.sha256(f"{turn}/{index}".encode()).digest()[:8], "big")
    letters: list[str] = []
    for _ in range(CALL_ID_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[digit])
    return "".join(letters)
