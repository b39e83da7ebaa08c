"""From a reply's raw calls to bound calls: each is repaired or refused on its own, and every stage is counted.

raw call -> name (control tokens, match) -> JSON (agent/repair.py) -> argument names -> schema -> bound call.
A refused call becomes an observation that says what was expected; it never ends the run, and it never takes its
neighbours with it. Only the canonical call enters the history.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, JsonValue, ValidationError

from ostro.agent.history import ToolCall, call_id
from ostro.agent.model.reply import RawCall, Reply
from ostro.agent.recovery import calls_in_text
from ostro.agent.repair import RepairError, parse_arguments
from ostro.agent.untrusted import restore
from ostro.prompts.render import render
from ostro.tools.editor import EDITOR, WHOLE_FILE
from ostro.tools.protocol import AnyTool
from ostro.tools.registry import Toolset

MAX_CALLS = 8
"""Calls of one turn that are run; the rest is answered as not run."""

MAX_ARGUMENT_CHARS = 200_000
"""Longest arguments of one call; the longest normal reply of the model family is far below."""

IMAGINED_RULES = ("text_chatml", "text_json")
"""Grammars in which small models write a whole session at once, results imagined: only the first call is real."""

CUT_REASONS = ("length", "model_length")
"""Finish reasons of a reply that stopped at the token limit (Mistral's API has the second)."""

CONTROL_TOKENS = re.compile(
    r"\[/?(?:TOOL_CALLS|ARGS|CALL_ID|TOOL_RESULTS|AVAILABLE_TOOLS|INST|SYSTEM_PROMPT)\].*|</?s>.*|<\|[a-z_]+\|>.*",
    re.DOTALL,
)
"""What servers leave in a tool name: a template's control token and everything behind it."""

UNKNOWN_NAME = "unknown_tool"
"""The name under which a call of no known tool enters the history, which takes only plain names."""


@dataclass(frozen=True)
class BoundCall:
    """One call, ready to run, or refused with the text that the model gets instead.

    Attributes:
        call: the canonical form for the history.
        tool: None when the call was refused.
        refusal: the observation of a refused call; "" otherwise.
        stage: the stage that refused it; "" otherwise.
    """

    call: ToolCall
    tool: AnyTool | None = None
    args: BaseModel | None = None
    refusal: str = ""
    stage: str = ""


@dataclass(frozen=True)
class Intake:
    """All calls of one reply.

    Attributes:
        text: the reply's text, less the calls that were found in it.
        received: the text as it came, where calls were found in it; "" otherwise.
        repairs: names of the stages that mended or refused something, one entry each time.
    """

    text: str
    calls: tuple[BoundCall, ...]
    repairs: tuple[str, ...] = ()
    received: str = ""


@dataclass
class _Stages:
    names: list[str] = field(default_factory=list[str])


class _RefusedError(Exception):
    """A stage gave up on one call."""

    def __init__(self, stage: str, text: str, arguments: dict[str, JsonValue] | None = None) -> None:
        super().__init__(text)
        self.stage = stage
        self.arguments = arguments or {}


def take_in(reply: Reply, turn: int, toolset: Toolset) -> Intake:
    """Bind every call of `reply`, looking for calls in its text only when it has none of its own."""
    stages = _Stages()
    text, raw_calls = plain_text(reply.text), reply.calls
    if not raw_calls:
        text, raw_calls, rule = calls_in_text(text, toolset.names)
        if rule in IMAGINED_RULES and len(raw_calls) > 1:
            stages.names += ["text_extra"] * (len(raw_calls) - 1)
            raw_calls = raw_calls[:1]
        stages.names += [rule] * len(raw_calls)
    cut = reply.usage.output_tokens if reply.finish_reason in CUT_REASONS else 0
    bound = [_bind(raw, turn, index, toolset, cut, stages) for index, raw in enumerate(raw_calls)]
    if len(raw_calls) > 1 and len({raw.id for raw in raw_calls if raw.id}) < sum(bool(raw.id) for raw in raw_calls):
        stages.names.append("duplicate_id")
    received = "" if reply.calls or not raw_calls else plain_text(reply.text)
    return Intake(text=text.strip(), calls=tuple(bound), repairs=tuple(stages.names), received=received)


def plain_text(text: str) -> str:
    """Drop what no log or prompt can hold: lone surrogates and NULs."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def _bind(raw: RawCall, turn: int, index: int, toolset: Toolset, cut: int, stages: _Stages) -> BoundCall:
    identity = call_id(turn, index)
    name = UNKNOWN_NAME
    try:
        if index >= MAX_CALLS:
            raise _RefusedError("not_run", render("not_run.j2", limit=MAX_CALLS))
        name = _match_name(raw.name, toolset.names, stages)
        arguments = _arguments(raw, name, toolset, cut, stages)
        tool = toolset.get(name)
        assert tool is not None, "the name was matched above"
        args = _validate(tool, arguments, toolset, stages)
    except _RefusedError as refused:
        stages.names.append(f"refused_{refused.stage}")
        known = name if name in toolset.names else UNKNOWN_NAME
        call = ToolCall(id=identity, name=known, arguments=refused.arguments)
        return BoundCall(call=call, refusal=str(refused), stage=refused.stage)
    canonical = args.model_dump(mode="json", exclude_unset=True)
    return BoundCall(call=ToolCall(id=identity, name=name, arguments=canonical), tool=tool, args=args)


def _match_name(raw: str, names: Sequence[str], stages: _Stages) -> str:
    """Find the tool that `raw` names: exact, then without junk, then by unique prefix.

    Servers hand over everything before the first brace as the name, control tokens included (vLLM's parser).
    """
    if raw in names:
        return raw
    clean = CONTROL_TOKENS.sub("", plain_text(raw)).strip().strip("`\"'").removeprefix("functions.").strip()
    found = [name for name in names if name == clean.lower()]
    if not found and len(clean) >= 3:
        found = [name for name in names if name.startswith(clean.lower())]
    if len(found) == 1:
        stages.names.append("tool_name")
        return found[0]
    near = difflib.get_close_matches(clean, names, n=1)
    raise _RefusedError(
        "unknown_tool",
        render("unknown_tool.j2", name=clean[:64], names=list(names), suggestion=near[0] if near else ""),
    )


def _arguments(raw: RawCall, name: str, toolset: Toolset, cut: int, stages: _Stages) -> dict[str, JsonValue]:
    schema = toolset.describe(name)
    if isinstance(raw.arguments, str) and len(raw.arguments) > MAX_ARGUMENT_CHARS:
        problem = f"the arguments have {len(raw.arguments)} characters, the limit is {MAX_ARGUMENT_CHARS}"
        raise _RefusedError("too_large", render("invalid_call.j2", name=name, problem=problem, expected=schema))
    try:
        arguments, rules = parse_arguments(raw.arguments, mend=not cut, keys=_keys(toolset, name))
    except RepairError as error:
        if cut:
            raise _RefusedError("cut_off", render("cut_off.j2", had_call=True, max_tokens=cut)) from error
        text = render("invalid_call.j2", name=name, problem=str(error), expected=schema)
        way_out = f" Or {WHOLE_FILE}." if name == EDITOR.name else ""
        raise _RefusedError("json", text + way_out) from error
    stages.names += rules
    return arguments


def _keys(toolset: Toolset, name: str) -> list[str]:
    tool = toolset.get(name)
    return list(tool.args.model_fields) if tool else []


def _validate(tool: AnyTool, arguments: dict[str, JsonValue], toolset: Toolset, stages: _Stages) -> BaseModel:
    cleaned = {key: _plain(value) for key, value in arguments.items()}
    fields = tool.args.model_fields
    renamed = _rename(cleaned, list(fields))
    if renamed != cleaned:
        stages.names.append("argument_name")
    kept = {key: value for key, value in renamed.items() if value is not None or key not in fields}
    if kept != renamed:
        stages.names.append("null_argument")
    try:
        args: BaseModel = tool.args.model_validate(kept)
    except ValidationError as error:
        problem = "; ".join(_problem(entry["loc"], entry["msg"]) for entry in error.errors()[:4])
        text = render("invalid_call.j2", name=tool.name, problem=problem, expected=toolset.describe(tool.name))
        raise _RefusedError("schema", text, arguments=cleaned) from error
    if any(type(getattr(args, key)) is not type(value) and isinstance(value, str) for key, value in kept.items()):
        stages.names.append("coerced")
    return args


def _plain(value: JsonValue) -> JsonValue:
    """Make a text storable, and take back what the loop disarmed in the observation that it was copied from."""
    return restore(value.encode("utf-8", "replace").decode("utf-8")) if isinstance(value, str) else value


def _problem(location: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(part) for part in location)
    return f"{where}: {message}" if where else message


_SYNONYMS = {
    "cmd": "command",
    "code": "command",
    "script": "command",
    "bash_command": "command",
    "file": "path",
    "filename": "path",
    "file_path": "path",
    "filepath": "path",
    "old_string": "old_str",
    "new_string": "new_str",
    "content": "file_text",
    "query": "pattern",
    "regex": "pattern",
    "message": "summary",
}
"""Names that other agents' tools use for ours; a model trained on them slips."""


def _rename(arguments: dict[str, JsonValue], names: Sequence[str]) -> dict[str, JsonValue]:
    """Give a misnamed argument its name where there is exactly one free field that it can mean."""
    renamed: dict[str, JsonValue] = {}
    for key, value in arguments.items():
        target = key
        if key not in names:
            near = difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.8)
            guess = _SYNONYMS.get(key.lower()) or (near[0] if near else key)
            if guess in names and guess not in arguments and guess not in renamed:
                target = guess
        renamed[target] = value
    return renamed
