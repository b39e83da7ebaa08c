"""Search the workspace with ripgrep, or with find and grep where the image has none.

Three kinds: lines that match a regular expression, files by name, definitions of a name. A search that finds nothing
as asked is tried once more the way it was probably meant (plain text), and the answer says so. The commands are built
in tools/search_commands.py; counting and capping happen in the sandbox, so that a flood of matches costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import Field

from ostro.sandbox.protocol import Completed
from ostro.tools.display import clean, fold_long_lines
from ostro.tools.files import resolve, shorten
from ostro.tools.protocol import Observation, Refused, Tool, ToolArgs, ToolContext
from ostro.tools.search_commands import (
    MAX_COLUMNS,
    Attempt,
    Query,
    file_commands,
    is_identifier,
    symbol_commands,
    text_commands,
)

MAX_MATCHES = 60
SEARCH_TIMEOUT_S = 60.0
INVALID_PATTERN = 2
"""Exit code of rg and grep for a pattern that does not compile."""

Kind = Literal["text", "file", "symbol"]


class SearchArgs(ToolArgs):
    """Arguments of `search`."""

    pattern: str = Field(min_length=1)
    path: str = Field(default=".", description="Directory or file.")
    glob: str | None = Field(default=None, description="Such as *.py")
    kind: Kind = "text"


class Found(NamedTuple):
    """What one search command found.

    Attributes:
        total: how many lines there were, before the cap.
        error: what the program said about the pattern; "" when it was fine.
    """

    lines: Sequence[str]
    total: int
    error: str = ""


def run_search(args: SearchArgs, context: ToolContext) -> Observation:
    """Return at most `MAX_MATCHES` matches with file and line, and say how many were left out.

    Raises:
        SandboxError: the sandbox is gone; a pattern that does not compile is an Observation, not an error.
    """
    try:
        query = _query(args, context)
    except Refused as refusal:
        return Observation(text=str(refusal), ok=False)
    problem = ""
    for attempt in _attempts(args.kind, query):
        done = context.sandbox.run(
            attempt.command, cwd=context.sandbox.workdir, timeout_s=SEARCH_TIMEOUT_S, keep_state=False
        )
        if done.timed_out:
            return Observation(text=f"The search took over {SEARCH_TIMEOUT_S:g} s. Narrow path or glob.", ok=False)
        found = _parse(done)
        problem = problem or found.error
        if found.lines and not found.error:
            return _matches(found, attempt.note, context)
    return _nothing(args, query, problem)


def _query(args: SearchArgs, context: ToolContext) -> Query:
    if "\0" in args.pattern or "\0" in (args.glob or ""):
        raise Refused("The pattern holds a NUL character.")
    if "\n" in args.pattern:
        raise Refused("The pattern holds a line break; search for one line at a time.")
    if args.kind == "symbol" and not is_identifier(args.pattern):
        raise Refused(f"kind=symbol needs one name such as parse_date or Parser.parse, not {args.pattern!r}.")
    return Query(
        pattern=args.pattern,
        path=shorten(resolve(args.path, context), context),
        glob=args.glob or "",
        has_ripgrep=context.sandbox.has("rg"),
        max_lines=MAX_MATCHES,
    )


def _attempts(kind: Kind, query: Query) -> Sequence[Attempt]:
    match kind:
        case "text":
            return text_commands(query)
        case "file":
            return file_commands(query)
        case "symbol":
            return symbol_commands(query)


def _parse(done: Completed) -> Found:
    """Read the capped lines and the last one: `<total> exit <code>`, or `missing` for a path that is not there."""
    lines = done.output.text().split("\n")
    while lines and not lines[-1]:
        lines.pop()
    summary = re.fullmatch(r"(\d+) exit (\d+)", lines.pop()) if lines else None
    if summary is None:
        return Found([], 0, "missing")
    if int(summary[2]) == INVALID_PATTERN and not any(re.match(r".+:\d+:", line) for line in lines):
        return Found([], 0, _reason(lines))
    return Found([line.removeprefix("./") for line in lines], int(summary[1]))


def _reason(lines: Sequence[str]) -> str:
    """Return the sentence of rg or grep that says what is wrong with a pattern."""
    text = next((line for line in reversed(lines) if "error:" in line), lines[-1] if lines else "")
    return re.sub(r"^(?:rg|grep|error): ", "", text.strip()) or "it is not a valid regular expression"


def _matches(found: Found, note: str, context: ToolContext) -> Observation:
    shown: list[str] = []
    room = context.observation_chars
    for line in found.lines:
        text = fold_long_lines(context.redact(clean(line)), MAX_COLUMNS)
        room -= len(text) + 1
        if room < 0 and shown:
            break
        shown.append(text)
    tail: list[str] = []
    if len(shown) < found.total:
        tail = [f"[{len(shown)} of {found.total} results; narrow pattern, path or glob to see the others]"]
    head = [f"({note})"] if note else []
    return Observation(
        text="\n".join([*head, *shown, *tail]), data={"matches": found.total, "shown": len(shown), "note": note}
    )


def _nothing(args: SearchArgs, query: Query, problem: str) -> Observation:
    if problem == "missing":
        return Observation(text=f"There is no {query.path}; search without path, or with kind=file.", ok=False)
    where = "" if query.path == "." else f" under {query.path}"
    where += f" in {args.glob}" if args.glob else ""
    if problem:
        text = f"{args.pattern!r} is not a valid pattern ({problem}), and as plain text it is not found{where}."
        return Observation(text=text, ok=False, data={"matches": 0})
    hint = {"symbol": " Try kind=text.", "file": " Try a part of the name.", "text": ""}[args.kind]
    noun = {"symbol": "definition of", "file": "file named", "text": "match for"}[args.kind]
    return Observation(text=f"No {noun} {args.pattern!r}{where}.{hint}", data={"matches": 0})


SEARCH = Tool(
    name="search",
    args=SearchArgs,
    run=run_search,
    description_values={"max_matches": MAX_MATCHES},
    read_only=True,
)
