"""Requests as bytes: each message is rendered and encoded once, so a turn costs only what is new.

The body of a retry is the same object, so it is byte-identical.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from ostro.agent.history import Message
from ostro.agent.model.incremental import BlockCache
from ostro.agent.model.profile import EndpointProfile, Target
from ostro.agent.model.wire import WireMessage


def encode(value: JsonValue | Sequence[WireMessage]) -> bytes:
    """Return JSON without spaces, UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class MessageEncoder:
    """Encodes one growing history; what it encoded before is kept as long as the same objects come again."""

    def __init__(self, profile: EndpointProfile, *, vision: bool) -> None:
        self.cache: BlockCache[bytes] = BlockCache(profile, _items, vision=vision)

    def encode(self, messages: Iterable[Message]) -> bytes:
        """Return the JSON array of `wire.render(messages)`."""
        return b"[" + b",".join(self.cache.values(messages)) + b"]"


def _items(_: Sequence[Message], rendered: Sequence[WireMessage]) -> bytes:
    return b",".join(encode(message) for message in rendered)


class Sampling(NamedTuple):
    """What is asked of one reply besides the messages."""

    max_tokens: int
    temperature: float
    seed: int | None = None
    tool_choice: str = "auto"
    stream: bool = True
    cache_key: str = ""
    pin_provider: bool = False
    response_format: dict[str, JsonValue] | None = None


class BodyEncoder:
    """Builds request bodies for one target and one conversation."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.messages = MessageEncoder(target.profile, vision=target.model.vision)
        self._tools: tuple[Sequence[WireMessage], bytes] = ((), b"")

    def encode(self, messages: Iterable[Message], tools: Sequence[WireMessage], sampling: Sampling) -> bytes:
        """Return the whole body; only fields that this endpoint knows are in it."""
        parts = [_fields(self._target, sampling, with_tools=bool(tools))]
        if tools:
            parts.append(b'"tools":' + self._encoded_tools(tools))
        parts.append(b'"messages":' + self.messages.encode(messages))
        return b"{" + b",".join(parts) + b"}"

    def _encoded_tools(self, tools: Sequence[WireMessage]) -> bytes:
        if self._tools[0] is not tools:
            self._tools = (tools, encode(tools))
        return self._tools[1]


def _fields(target: Target, sampling: Sampling, *, with_tools: bool) -> bytes:
    profile = target.profile
    fields: dict[str, JsonValue] = {
        "model": target.model.id,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "stream": sampling.stream,
    }
    if sampling.stream:
        fields["stream_options"] = {"include_usage": True}
    if sampling.seed is not None and profile.seed_field:
        fields[profile.seed_field] = sampling.seed
    if sampling.cache_key and profile.cache_key:
        fields["prompt_cache_key"] = sampling.cache_key
    if sampling.response_format is not None:
        fields["response_format"] = sampling.response_format
    if with_tools:
        required = sampling.tool_choice in ("any", "required")
        fields["tool_choice"] = profile.any_choice if required else sampling.tool_choice
        if profile.parallel is not None:
            fields["parallel_tool_calls"] = profile.parallel
    fields.update(_routing(target, sampling))
    return encode(fields)[1:-1]


def _routing(target: Target, sampling: Sampling) -> dict[str, JsonValue]:
    providers: list[JsonValue] = list(target.model.providers)
    if not sampling.pin_provider or not providers:
        return {}
    if target.profile.routing == "vercel":
        return {"providerOptions": {"gateway": {"only": providers}}}
    if target.profile.routing == "openrouter":
        return {"provider": {"order": providers, "allow_fallbacks": False}}
    return {}
