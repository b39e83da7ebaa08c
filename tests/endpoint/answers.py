"""Faults of what the model said: the answer is a proper chat completion, its content is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ostro.benchmarks.scripted_endpoint import Exchange, Fault

Message = dict[str, Any]
Change = Callable[[Message], str | None]
"""Changes the assistant message in place; returns the finish_reason, None to leave it."""


def changed(change: Change) -> Fault:
    """Return the fault that plays the turn after `change`."""

    def fault(exchange: Exchange) -> None:
        choice = exchange.answer["choices"][0]
        choice["finish_reason"] = change(choice["message"]) or choice["finish_reason"]
        exchange.play()

    return fault


def calls_of(message: Message) -> list[dict[str, Any]]:
    """Return the message's calls; one of `bash` where the turn has none."""
    calls: list[dict[str, Any]] = message.setdefault("tool_calls", [call("bash", '{"command": "ls"}')])
    return calls


def call(name: str, arguments: object, identity: str | None = "call00000") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def with_arguments(change: Callable[[str], object]) -> Fault:
    """Return the fault that changes the text of every call's arguments."""

    def apply(message: Message) -> str:
        for each in calls_of(message):
            each["function"]["arguments"] = change(each["function"]["arguments"])
        return "tool_calls"

    return changed(apply)


def with_name(change: Callable[[str], str]) -> Fault:
    """Return the fault that changes the name of every call."""

    def apply(message: Message) -> str:
        for each in calls_of(message):
            each["function"]["name"] = change(each["function"]["name"])
        return "tool_calls"

    return changed(apply)


def as_text(write: Callable[[str, str], str]) -> Fault:
    """Return the fault that writes every call into the content, with finish_reason stop."""

    def apply(message: Message) -> str:
        functions = [each["function"] for each in calls_of(message)]
        del message["tool_calls"]
        message["content"] = "".join(write(f["name"], f["arguments"]) for f in functions)
        return "stop"

    return changed(apply)


def nothing(content: str | None, reason: str, calls: list[Any] | None = None) -> Fault:
    """Return the fault that answers with no text and no call."""

    def apply(message: Message) -> str:
        message.clear()
        message.update({"role": "assistant", "content": content})
        if calls is not None:
            message["tool_calls"] = calls
        return reason

    return changed(apply)


def saying(text: str, reason: str) -> Fault:
    """Return the fault that answers with a text instead of calls."""

    def apply(message: Message) -> str:
        message.clear()
        message.update({"role": "assistant", "content": text})
        return reason

    return changed(apply)


def _renamed(arguments: str) -> str:
    return json.dumps({f"the_{key}": value for key, value in json.loads(arguments).items()})


def _mistyped(message: Message) -> str:
    for each in calls_of(message):
        each["id"] = None
        arguments = json.loads(each["function"]["arguments"])
        each["function"]["arguments"] = json.dumps({key: [value, 1] for key, value in arguments.items()})
    return "tool_calls"


def _same_ids(message: Message) -> str:
    calls = calls_of(message)
    if len(calls) == 1:
        calls.append(json.loads(json.dumps(calls[0])))
    for each in calls:
        each["id"] = "call_same"
    return "tool_calls"


def _long_ids(message: Message) -> str:
    for index, each in enumerate(calls_of(message)):
        each["id"] = f"toolu_{index:027d}"
    return "tool_calls"


def _sixty(message: Message) -> str:
    first = calls_of(message)[0]["function"]
    message["tool_calls"] = [call(first["name"], first["arguments"], f"call{i:05d}") for i in range(60)]
    return "tool_calls"


def _truncated(message: Message) -> str:
    for each in calls_of(message):
        text = each["function"]["arguments"]
        each["function"]["arguments"] = text[: max(1, len(text) // 2)]
    return "length"


def _unencodable(message: Message) -> str:
    message["content"] = "lone \ud800 surrogate, NUL \x00 and a pair \U0001f600"
    for each in calls_of(message):
        arguments = json.loads(each["function"]["arguments"])
        arguments = {key: f"{value} \udfff\x00" for key, value in arguments.items()}
        each["function"]["arguments"] = json.dumps(arguments)
    return "tool_calls"


def _split(message: Message) -> str:
    """Cut each call where a parser splits on the text `[TOOL_CALLS]` inside its arguments."""
    pieces: list[dict[str, Any]] = []
    for each in calls_of(message):
        text = each["function"]["arguments"]
        half = len(text) // 2
        pieces.append(call(each["function"]["name"], text[:half], each["id"]))
        pieces.append(call(text[half:].split("{")[0] or "x", text[half:], "call99999"))
    message["tool_calls"] = pieces
    return "tool_calls"


ANSWERS: Mapping[str, Fault] = {
    "A16": nothing(None, "stop"),
    "A17": nothing("", "stop"),
    "A20": changed(_truncated),
    "A21": with_name(lambda _: "no_such_tool"),
    "A22": changed(_same_ids),
    "A23": with_arguments(lambda text: json.dumps([json.loads(text)])),
    "A24": with_arguments(_renamed),
    "A25": changed(_mistyped),
    "A26": with_arguments(lambda text: f"```json\n{text}\n```"),
    "A27": as_text(lambda name, text: f"[TOOL_CALLS]{name}[ARGS]{text}"),
    "A28": with_arguments(lambda text: json.dumps({**json.loads(text), "padding": "x" * 400_000})),
    "A29": changed(_sixty),
    "A30": saying("word " * 200_000, "length"),
    "A31": changed(_unencodable),
    "A32": nothing("", "content_filter"),
    "A33": nothing(None, "tool_calls", []),
    "A35": changed(_long_ids),
    # What served Devstral models do, beyond the rows of the fault matrix.
    "junk_name": with_name(lambda name: f"{name}[ARGS]"),
    "junk_name_newline": with_name(lambda name: f"{name}\n"),
    "junk_name_call_id": with_name(lambda name: f"{name} [CALL_ID]abcdefghi"),
    "bare_text_call": as_text(lambda name, text: f"I will call it.\n{name}[ARGS]{text}"),
    "fenced_text_call": as_text(
        lambda name, text: "```json\n" + json.dumps({"name": name, "arguments": json.loads(text)}) + "\n```"
    ),
    "split_call": changed(_split),
    "bad_json": with_arguments(lambda text: f'{text[:-1]}, "oops": }}'),
    "raw_newline": with_arguments(lambda text: text.replace(" ", "\n", 1)),
    "missing_brace": with_arguments(lambda text: text.rstrip("}")),
    "double_encoded": with_arguments(json.dumps),
    "object_arguments": with_arguments(json.loads),
    "gibberish": saying("lorem 的 ██ zq xj " * 100, "stop"),
    "tiny_cut": saying("I will st", "length"),
    "model_length": saying("I will st", "model_length"),
    "finish_error": saying("I will st", "error"),
}
