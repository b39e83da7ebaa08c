"""Calls that the model wrote as text, because a server's parser or template did not make them `tool_calls`.

Only the assistant's own reply is looked at, never an observation, and only when it has no call of its own.
The grammars, in the order tried: Mistral's `[TOOL_CALLS]name[ARGS]{...}`, the `<tool_call>{...}</tool_call>` of
ChatML models, a fenced or bare JSON object that names a tool, a path with the whole file in one block below it, and
one single shell block.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence

from pydantic import JsonValue

from ostro.agent.model.reply import RawCall

MAX_TEXT = 400_000

_MISTRAL = re.compile(r"\[TOOL_CALLS\]\s*([A-Za-z0-9_.-]+)\s*(?:\[CALL_ID\]\s*\S+?\s*)?(?:\[ARGS\])?\s*(?=\{)")
_NAME_ARGS = re.compile(r"(?m)^\s*([A-Za-z0-9_-]+)\[ARGS\]\s*(?=\{)")
_CHATML = re.compile(r"<tool_call>\s*(?=\{)")
_BLOCK = re.compile(r"```[ \t]*(?P<info>[\w+-]*)[ \t]*\n(?P<body>.*?)(?:(?P<closed>```)[ \t]*(?=\n|\Z)|\Z)", re.DOTALL)
"""A fenced block; blocks follow each other, so the end of one is never taken for the beginning of the next."""
_JSON_INFO = ("", "json", "tool_call", "tool_code", "javascript")
_SHELL_INFO = ("bash", "sh", "shell", "console")

_PATH_LINE = r"[ \t>*#`/]*(?:File:?[ \t]*)?[`*]*(?P<path>[\w./-]+\.[A-Za-z]\w{0,4})[`*:]*[ \t]*\n"
_FILE = re.compile(rf"^{_PATH_LINE}\n*```[^\n]*\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
_FILE_INSIDE = re.compile(rf"^```[^\n]*\n{_PATH_LINE}(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)

_NAME_KEYS = ("name", "tool", "tool_name", "function", "action")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "action_input", "tool_input")

Found = tuple[str, tuple[RawCall, ...], str]


def calls_in_text(text: str, names: Sequence[str]) -> Found:
    """Return the text without the calls, the calls, and the name of the rule that found them ("" for none)."""
    searched = text[:MAX_TEXT]
    rules: tuple[tuple[str, Callable[[str, Sequence[str]], list[tuple[int, int, RawCall]]]], ...] = (
        ("text_mistral", _mistral),
        ("text_chatml", _chatml),
        ("text_json", _json_blocks),
        ("text_file", _file_block),
        ("text_shell", _shell_block),
    )
    for rule, find in rules:
        found = find(searched, names)
        if found:
            return _without(searched, found), tuple(call for _, _, call in found), rule
    return text, (), ""


def _without(text: str, found: Iterable[tuple[int, int, RawCall]]) -> str:
    kept: list[str] = []
    position = 0
    for start, end, _ in found:
        kept.append(text[position:start])
        position = end
    kept.append(text[position:])
    return "".join(kept).strip()


def _object_at(text: str, start: int) -> tuple[JsonValue, int] | None:
    try:
        value: JsonValue
        value, end = json.JSONDecoder(strict=False).raw_decode(text, start)
    except ValueError:
        return None
    return value, end


def _mistral(text: str, names: Sequence[str]) -> list[tuple[int, int, RawCall]]:
    found: list[tuple[int, int, RawCall]] = []
    matches = list(_MISTRAL.finditer(text)) or list(_NAME_ARGS.finditer(text))
    for match in matches:
        if found and match.start() < found[-1][1]:
            continue  # the marker stands inside the previous call's arguments
        parsed = _object_at(text, match.end())
        end = parsed[1] if parsed else _next_marker(text, match.end())
        name = match.group(1)
        if name in names or "[TOOL_CALLS]" in match.group(0):
            call = RawCall(name=name, arguments=text[match.end() : end].strip(), source="content")
            found.append((match.start(), end, call))
    return found


def _next_marker(text: str, start: int) -> int:
    position = text.find("[TOOL_CALLS]", start)
    return len(text) if position < 0 else position


def _chatml(text: str, names: Sequence[str]) -> list[tuple[int, int, RawCall]]:
    found: list[tuple[int, int, RawCall]] = []
    for match in _CHATML.finditer(text):
        parsed = _object_at(text, match.end())
        call = _as_call(parsed[0], names) if parsed else None
        if parsed and call:
            end = parsed[1]
            close = re.compile(r"\s*</tool_call>").match(text, end)
            found.append((match.start(), close.end() if close else end, call))
    return found


def _json_blocks(text: str, names: Sequence[str]) -> list[tuple[int, int, RawCall]]:
    found: list[tuple[int, int, RawCall]] = []
    for match in _BLOCK.finditer(text):
        calls = _calls_of(match["body"], names) if match["info"].lower() in _JSON_INFO else []
        found += [(match.start(), match.end(), call) for call in calls]
    stripped = text.strip()
    if not found and stripped.startswith(("{", "[")):
        found += [(0, len(text), call) for call in _calls_of(stripped, names)]
    return found if len({start for start, _, _ in found}) == len(found) else _spread(found)


def _spread(found: list[tuple[int, int, RawCall]]) -> list[tuple[int, int, RawCall]]:
    """Several calls in one block: only the first may claim the block's place in the text."""
    seen: set[int] = set()
    spread: list[tuple[int, int, RawCall]] = []
    for start, end, call in found:
        spread.append((end, end, call) if start in seen else (start, end, call))
        seen.add(start)
    return spread


def _calls_of(block: str, names: Sequence[str]) -> list[RawCall]:
    """Read one block: an object, a list of objects, or objects one after another."""
    calls: list[RawCall] = []
    position = 0
    body = block.strip()
    while position < len(body):
        parsed = _object_at(body, position)
        if parsed is None:
            return calls or _loose_call(body, names)
        value, position = parsed
        for item in value if isinstance(value, list) else [value]:
            call = _as_call(item, names)
            if call is None:
                return []
            calls.append(call)
        while position < len(body) and body[position] in " \t\r\n,;":
            position += 1
    return calls


_LOOSE = re.compile(
    r"\A\{\s*\"(?:name|tool|function)\"\s*:\s*\"([A-Za-z0-9_-]+)\"\s*,\s*\"(?:arguments|parameters|args)\"\s*:\s*"
)


def _loose_call(body: str, names: Sequence[str]) -> list[RawCall]:
    """A call whose arguments are not quite JSON: left to the argument rules of agent/repair.py."""
    match = _LOOSE.match(body)
    if match is None or match.group(1) not in names:
        return []
    rest = body[match.end() :].rstrip()
    return [RawCall(name=match.group(1), arguments=rest.removesuffix("}").rstrip(), source="content")]


def _as_call(value: JsonValue, names: Sequence[str]) -> RawCall | None:
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    if isinstance(inner, dict):
        value = inner
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    if not isinstance(name, str) or name not in names:
        return None
    arguments = next((value[key] for key in _ARGUMENT_KEYS if key in value), None)
    if arguments is None:
        arguments = {key: item for key, item in value.items() if key not in _NAME_KEYS}
    if isinstance(arguments, (dict, str)):
        return RawCall(name=name, arguments=arguments, source="content")
    return None


def _file_block(text: str, names: Sequence[str]) -> list[tuple[int, int, RawCall]]:
    """One path on a line of its own, above one block or in its first line: the whole file.

    The editor refuses what is only a part of a file, and a file that the model has not seen.
    """
    matches = list(_FILE.finditer(text)) or list(_FILE_INSIDE.finditer(text))
    if "str_replace_editor" not in names or len(matches) != 1 or text.count("```") != 2:
        return []
    match = matches[0]
    text = _without_numbers(match["text"])
    arguments: dict[str, JsonValue] = {"command": "create", "path": match["path"], "file_text": text}
    call = RawCall(name="str_replace_editor", arguments=arguments, source="content")
    return [(match.start(), match.end(), call)]


def with_path(text: str, path: str) -> str:
    """Put the path above the only block of an answer to a question for that file, where the model left it out."""
    blocks = list(_BLOCK.finditer(text))
    if len(blocks) != 1 or path in text[: blocks[0].start("body") + len(path) + 1]:
        return text
    start = blocks[0].start()
    return text if blocks[0]["info"].lower() in _SHELL_INFO else f"{text[:start]}{path}\n{text[start:]}"


_NUMBERED = re.compile(r" *(\d+)\t(.*)")


def _without_numbers(text: str) -> str:
    """Take the line numbers of `view` from a file that was copied with them: 1, 2, 3, ... before every line."""
    lines = text.splitlines()
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if all(match and int(match[1]) == number for number, match in enumerate(numbered, start=1)):
        return "".join(f"{match[2]}\n" for match in numbered if match)
    return text


def _shell_block(text: str, names: Sequence[str]) -> list[tuple[int, int, RawCall]]:
    """One shell block and no other code: the model means to run it."""
    matches = list(_BLOCK.finditer(text))
    if "bash" not in names or len(matches) != 1 or not matches[0]["closed"]:
        return []
    match = matches[0]
    if match["info"].lower() not in _SHELL_INFO:
        return []
    lines = [line.removeprefix("$ ") for line in match["body"].strip().splitlines()]
    call = RawCall(name="bash", arguments={"command": "\n".join(lines)}, source="content")
    return [(match.start(), match.end(), call)] if any(lines) else []
