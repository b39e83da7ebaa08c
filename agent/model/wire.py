"""The one pure function from our history to an endpoint's chat messages, in the strictest common form.

What holds for every rendered conversation (research: mistral-common's serving validators v11 and v13, and the
chat templates of GGUF servers): one system message, first; user and assistant alternate, but for calls and their
results; every call has exactly one result, in the calls' order; never an empty assistant message; images only in
user messages. What the history lacks for that is bridged with fixed lines, so that the rendering of a turn is a
prefix of the next turn's, which is what makes prompt caching work.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import JsonValue

from ostro.agent.history import (
    AssistantMessage,
    Image,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
    call_id,
)
from ostro.agent.model.profile import EndpointProfile

WireMessage = dict[str, JsonValue]

BRIDGE = "Understood."
"""Assistant line between a tool result, or a user message, and a user message."""
IMAGE_BRIDGE = "The image follows."
"""Assistant line between tool results and the user message that shows their images."""
CONTINUE = "Continue."
"""User line where an assistant message has no user message before it, or nothing after it."""
NOT_RUN = "This call was not run."
"""Result of a call that the history holds no result of."""
NO_TEXT = "(empty)"
NO_OUTPUT = "(no output)"
IMAGE_LEFT_OUT = "[an image was left out: this model takes none]"

_RENAMED_TURN = 1 << 32


def render(messages: Iterable[Message], profile: EndpointProfile, *, vision: bool = True) -> list[WireMessage]:
    """Return the messages as the endpoint takes them; valid whatever the history holds.

    Args:
        messages: a history, or any sequence of its messages.
        profile: decides how an assistant message without text is written.
        vision: whether the model takes images; else a line of text stands for each.
    """
    rendered: list[WireMessage] = []
    previous = ""
    for block in blocks(messages):
        rendered += render_block(block, previous, profile, vision=vision)
        previous = last_role(rendered, previous)
    return rendered + ending(previous)


def ending(previous: str) -> list[WireMessage]:
    """Return what must follow the last message so that a model may answer: mostly nothing."""
    return [] if previous in ("user", "tool") else [_user(CONTINUE)]


def last_role(rendered: Sequence[WireMessage], before: str = "") -> str:
    """Return the role of the last message, `before` when there is none."""
    return str(rendered[-1]["role"]) if rendered else before


def blocks(messages: Iterable[Message]) -> Iterator[tuple[Message, ...]]:
    """Cut a history into what is rendered together: an assistant message with its results, or one message."""
    block: list[Message] = []
    for message in messages:
        joins = bool(block) and isinstance(message, ToolMessage) and _has_calls(block[0])
        if block and not joins:
            yield tuple(block)
            block = []
        block.append(message)
    if block:
        yield tuple(block)


def render_block(
    block: Sequence[Message], previous: str, profile: EndpointProfile, *, vision: bool
) -> list[WireMessage]:
    """Render one block after a message of role `previous`, "" at the start."""
    first = block[0]
    if isinstance(first, SystemMessage) and not previous:
        return [{"role": "system", "content": _text(first.text, NO_TEXT)}]
    if not isinstance(first, AssistantMessage):
        bridge = [_assistant(BRIDGE)] if previous in ("user", "tool") else []
        return [*bridge, _outsider(first, vision=vision)]
    opening = [] if previous in ("user", "tool") else [_user(CONTINUE)]
    if not first.calls:
        return [*opening, _assistant(_text(first.text, NO_TEXT))]
    results = [message for message in block[1:] if isinstance(message, ToolMessage)]
    return [*opening, *_turn(first, results, profile, vision=vision)]


def _turn(
    message: AssistantMessage, results: Sequence[ToolMessage], profile: EndpointProfile, *, vision: bool
) -> list[WireMessage]:
    waiting: dict[str, list[ToolMessage]] = {}
    for result in results:
        waiting.setdefault(result.call_id, []).append(result)
    calls: list[JsonValue] = []
    answers: list[WireMessage] = []
    images: list[Image] = []
    taken: set[str] = set()
    for index, call in enumerate(message.calls):
        name = call.id if call.id not in taken else call_id(_RENAMED_TURN, index)
        taken.add(name)
        calls.append(_call(call, name))
        found = waiting.get(call.id)
        answer = found.pop(0) if found else None
        answers.append(_result(name, answer))
        images += answer.images if answer is not None else ()
    empty = None if profile.call_content == "null" else ""
    asked: WireMessage = {"role": "assistant", "content": _text(message.text, "") or empty, "tool_calls": calls}
    return [asked, *answers, *_afterwards(_strays(waiting), images, vision=vision)]


def _afterwards(strays: Sequence[str], images: Sequence[Image], *, vision: bool) -> list[WireMessage]:
    if not strays and not images:
        return []
    bridge = IMAGE_BRIDGE if images else BRIDGE
    return [_assistant(bridge), _user("\n\n".join(strays), images, vision=vision)]


def _strays(waiting: Mapping[str, Sequence[ToolMessage]]) -> list[str]:
    return [_stray(result) for results in waiting.values() for result in results]


def _stray(message: ToolMessage) -> str:
    return f"Result of {message.name}:\n{_text(message.shown, NO_OUTPUT)}"


def _outsider(message: Message, *, vision: bool) -> WireMessage:
    """Render what is no assistant message as a user message: also a stray result or a second system message."""
    if isinstance(message, ToolMessage):
        return _user(_stray(message), message.images, vision=vision)
    images = message.images if isinstance(message, UserMessage) else ()
    return _user(message.text, images, vision=vision)


def _user(text: str, images: Sequence[Image] = (), *, vision: bool = True) -> WireMessage:
    if images and not vision:
        text = "\n".join([*([text] if text.strip() else []), *[IMAGE_LEFT_OUT] * len(images)])
        images = ()
    if not images:
        return {"role": "user", "content": _text(text, NO_TEXT)}
    parts: list[JsonValue] = [{"type": "text", "text": text}] if text.strip() else []
    for image in images:
        url = f"data:{image.media_type};base64,{image.data_base64}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return {"role": "user", "content": parts}


def _assistant(text: str) -> WireMessage:
    return {"role": "assistant", "content": text}


def _result(name: str, message: ToolMessage | None) -> WireMessage:
    text = NOT_RUN if message is None else _text(message.shown, NO_OUTPUT)
    return {"role": "tool", "tool_call_id": name, "content": text}


def _call(call: ToolCall, name: str) -> JsonValue:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": name, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _text(text: str, otherwise: str) -> str:
    return text if text.strip() else otherwise


def _has_calls(message: Message) -> bool:
    return isinstance(message, AssistantMessage) and bool(message.calls)
