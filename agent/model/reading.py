"""From the bytes of an answer to a `Draft`: server-sent events or one JSON object, as servers really send them.

Nothing here trusts the server: fields may be missing, of another type, split anywhere, or endless. What makes an
answer unusable raises `TryError`, which the client retries; what the intake can judge (arguments, names) is kept.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ostro.agent.model.failure import TryError, answered_error
from ostro.agent.model.loose import dollars, is_array, is_object, items, mapping, parse, string
from ostro.agent.model.reply import RawCall

MAX_REPLY_BYTES = 16 * 1024 * 1024
"""Bytes of one answer after which it is cut off: the longest normal one is under 100 KB."""
MAX_TEXT_CHARS = 128 * 1024
"""Characters of text that are kept of one answer; the middle of a longer one is left out, and said."""
MAX_CALLS = 512
"""Calls that are kept of one answer; the intake's own limit is far lower."""

DONE = "[DONE]"


@dataclass
class DraftCall:
    """A tool call while its pieces arrive."""

    id: str = ""
    name: str = ""
    text: list[str] = field(default_factory=list[str])
    value: dict[str, Any] | None = None

    def finished(self) -> RawCall:
        """Return the call as it came; arguments that were an object stay one."""
        text = clean("".join(self.text))
        arguments = text if text or self.value is None else self.value
        return RawCall(name=clean(self.name), arguments=_cleaned(arguments), id=clean(self.id) or None)


@dataclass
class Draft:
    """An answer while it arrives.

    Attributes:
        finish_reason: None until the server says why it stopped.
        choices: how many choices were seen; 0 at the end means that there was no answer.
        chars: characters of text and arguments so far.
        reported_usd: what the endpoint says that this call cost, None when it says nothing.
    """

    text: list[str] = field(default_factory=list[str])
    calls: list[DraftCall] = field(default_factory=list[DraftCall])
    finish_reason: str | None = None
    choices: int = 0
    chars: int = 0
    usage: Mapping[str, Any] | None = None
    reported_usd: float | None = None
    generation_id: str = ""
    served_by: str = ""
    fallback: bool = False
    _by_index: dict[int, DraftCall] = field(default_factory=dict[int, DraftCall])

    def add(self, event: Mapping[str, Any], raw: str) -> str:
        """Take in one chunk or one whole completion; return the text that it added.

        Raises:
            TryError: it is an error object, or a choice in it has no message.
        """
        if event.get("error"):
            raise answered_error(event, raw)
        self._add_facts(event)
        choices = items(event.get("choices"))
        if not choices:
            return ""
        choice = mapping(choices[0])
        message = _choice_message(choice)
        if message is None:
            raise unusable("a choice without a message", "missing_fields", raw)
        self.choices += 1
        self._add_gateway(message.get("provider_metadata"))
        added = self._add_text(message.get("content"))
        for index, call in enumerate(items(message.get("tool_calls"))):
            self._add_call(call, index if "message" in choice else None)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.finish_reason = reason
        return added

    def _add_text(self, content: object) -> str:
        text = content if isinstance(content, str) else "".join(_text_part(part) for part in items(content))
        if text:
            self.chars += len(text)
            self.text.append(text)
        return text

    def _add_call(self, call: object, position: int | None) -> None:
        outer = mapping(call)
        function = mapping(outer.get("function"))
        name, identity = string(function.get("name")), string(outer.get("id"))
        index = position if position is not None else outer.get("index")
        draft = self._call_for(index if isinstance(index, int) else None, name, identity)
        draft.id = draft.id or identity
        draft.name = draft.name or name
        arguments = function.get("arguments")
        if is_object(arguments):
            draft.value = {**(draft.value or {}), **arguments}
        elif arguments is not None:
            piece = arguments if isinstance(arguments, str) else json.dumps(arguments)
            self.chars += len(piece)
            draft.text.append(piece)

    def _call_for(self, index: int | None, name: str, identity: str) -> DraftCall:
        """Return the call that a piece belongs to: by index, and where servers give none, by id and name."""
        known = self._by_index.get(index) if index is not None else (self.calls[-1] if self.calls else None)
        if known is not None and not _begins_another(known, name, identity, numbered=index is not None):
            return known
        if len(self.calls) >= MAX_CALLS:
            raise unusable(f"more than {MAX_CALLS} calls in one answer", "too_many_calls", "")
        draft = DraftCall()
        self.calls.append(draft)
        if index is not None:
            self._by_index[index] = draft
        return draft

    def _add_facts(self, event: Mapping[str, Any]) -> None:
        usage = mapping(event.get("usage"))
        if usage.get("prompt_tokens"):
            self.usage = usage
            cost = dollars(usage.get("cost"))
            # With one's own upstream key the gateway charges nothing, but the upstream does.
            if cost is not None and not (usage.get("is_byok") and cost == 0):
                self.reported_usd = cost
        self.generation_id = string(event.get("generationId")) or self.generation_id or string(event.get("id"))
        provider = string(event.get("provider"))
        if not self.served_by or provider:
            self.served_by = "/".join(part for part in (provider, string(event.get("model"))) if part)

    def _add_gateway(self, metadata: object) -> None:
        gateway = mapping(mapping(metadata).get("gateway"))
        if not gateway:
            return
        self.generation_id = string(gateway.get("generationId")) or self.generation_id
        if self.reported_usd is None:
            self.reported_usd = dollars(gateway.get("cost"))
        routing = mapping(gateway.get("routing"))
        if routing:
            provider = string(routing.get("finalProvider")) or string(routing.get("resolvedProvider"))
            model = string(routing.get("resolvedProviderApiModelId")) or string(routing.get("canonicalSlug"))
            self.served_by = "/".join(part for part in (provider, model) if part)
            attempts = max(len(items(routing.get("attempts"))), len(items(routing.get("modelAttempts"))))
            self.fallback = attempts > 1

    def full_text(self) -> str:
        """Return the text, at most `MAX_TEXT_CHARS` of it."""
        text = clean("".join(self.text))
        if len(text) <= MAX_TEXT_CHARS:
            return text
        half = MAX_TEXT_CHARS // 2
        return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


class EventReader:
    """Cuts a byte stream into the data of server-sent events."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._data: list[str] = []

    def feed(self, data: bytes, *, final: bool = False) -> list[str]:
        """Return the events that `data` completes."""
        text = self._pending + self._decoder.decode(data, final)
        lines = text.split("\n")
        self._pending = "" if final else lines.pop()
        events: list[str] = []
        for line in lines:
            self._line(line.rstrip("\r"), events)
        if final:
            self._line("", events)
        return events

    def _line(self, line: str, events: list[str]) -> None:
        if line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))
        elif not line and self._data:
            events.append("\n".join(self._data))
            self._data = []


def read_event(data: str) -> Mapping[str, Any] | None:
    """Decode one event; None for a harmless one that is no JSON object.

    Raises:
        TryError: it should have been an object: a piece of the answer is lost.
    """
    try:
        value = parse(data)
    except ValueError:
        value = None
    if is_object(value):
        return value
    if data.lstrip().startswith("{"):
        raise unusable("an event that is no JSON", "garbage_event", data)
    return None


def read_whole(body: bytes) -> Draft:
    """Read an answer that is one JSON object.

    Raises:
        TryError: it is not, or it holds no answer.
    """
    raw = body.decode("utf-8", "replace")
    if not raw.strip():
        raise unusable("an empty answer", "empty_body", raw)
    try:
        value = parse(raw)
    except ValueError:
        html = raw.lstrip().startswith("<")
        raise unusable(*(("an HTML page", "html") if html else ("no JSON", "invalid_json")), raw) from None
    if not is_object(value):
        raise unusable(f"JSON that is no object but {raw.strip()[:20]!r}", "not_an_object", raw)
    draft = Draft()
    draft.add(value, raw)
    if not draft.choices:
        missing = "choices" not in value
        raise unusable("no choices", "missing_fields" if missing else "empty_choices", raw)
    return draft


def unusable(what: str, cause: str, raw: str) -> TryError:
    """Return the failure of an answer that is not a chat completion."""
    return TryError(f"the endpoint answered with {what}", kind="protocol", cause=cause, raw=raw)


def clean(text: str) -> str:
    """Return text without lone surrogates, which neither UTF-8 nor a log can hold; pairs are joined."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if is_object(value):
        return {clean(key): _cleaned(item) for key, item in value.items()}
    return [_cleaned(item) for item in value] if is_array(value) else value


def _begins_another(known: DraftCall, name: str, identity: str, *, numbered: bool) -> bool:
    # Some servers number every parallel call 0, some give no number; a new id or a second name tells them apart.
    if identity and known.id and identity != known.id:
        return True
    begun = bool(known.text) or known.value is not None
    return bool(name and known.name) and not numbered and (begun or name != known.name)


def _choice_message(choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for key in ("message", "delta"):
        if is_object(choice.get(key)):
            return mapping(choice[key])
    # The last chunk of some servers has a finish_reason and nothing else.
    return {} if choice.get("finish_reason") and "message" not in choice else None


def _text_part(part: object) -> str:
    if isinstance(part, str):
        return part
    return string(mapping(part).get("text")) if mapping(part).get("type") == "text" else ""
