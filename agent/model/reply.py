"""What the model client returns, before the intake pipeline has looked at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from ostro.agent.record.redact import redact_json

CostSource = Literal["reported", "catalogue", "flag", "estimated"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RawCall(_Frozen):
    """A tool call as the server sent it: nothing about it is trusted yet.

    Attributes:
        arguments: a JSON text by the standard, an object from some servers.
        source: where it was found; `content` means that the model wrote it as text.
    """

    name: str
    arguments: str | dict[str, JsonValue]
    id: str | None = None
    source: Literal["tool_calls", "content"] = "tool_calls"


class Usage(_Frozen):
    """Tokens of one reply. `exact` is False where the server sent no usage and we counted."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    exact: bool = True


class Reply(_Frozen):
    """One finished answer of the endpoint.

    Attributes:
        finish_reason: as the server spelled it; None never gets here (a cut stream is retried).
        cost_usd: dollars of this call, retries that were billed included.
        cost_source: where the figure comes from; `estimated` when the server sent no usage.
        tries: HTTP requests made for it, at least 1.
        served_by: provider and model that really answered, where the gateway says so.
    """

    text: str = ""
    calls: tuple[RawCall, ...] = ()
    finish_reason: str = "stop"
    usage: Usage = Usage()
    cost_usd: float = 0.0
    cost_source: CostSource = "catalogue"
    generation_id: str = ""
    served_by: str = ""
    fallback: bool = False
    tries: int = 1
    latency_s: float = 0.0


def redacted_reply(reply: Reply, redact: Callable[[str], str]) -> Reply:
    """Return the reply with what the model wrote redacted; what it did not write is left alone."""
    calls = tuple(
        call.model_copy(update={"name": redact(call.name), "arguments": _redacted(call.arguments, redact)})
        for call in reply.calls
    )
    return reply.model_copy(update={"text": redact(reply.text), "calls": calls})


def _redacted(arguments: str | dict[str, JsonValue], redact: Callable[[str], str]) -> str | dict[str, JsonValue]:
    if isinstance(arguments, str):
        return redact(arguments)
    return {key: redact_json(value, redact) for key, value in arguments.items()}
