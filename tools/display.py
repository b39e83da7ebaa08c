"""Make the output of a command fit for a model to read: clean, short, and with the whole kept where it can be found.

Used by bash and git. `clean` and `clip` are pure; `show_output` saves what it cut as a file in the sandbox.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass

from ostro.sandbox.protocol import SAVED_BYTES, Completed, Output
from ostro.tools.protocol import ToolContext

SAVED_FOLDER = "/tmp/ostro"  # noqa: S108  # inside the sandbox, whose /tmp is its own
MAX_SAVED_FILES = 16
"""Older saved outputs are removed: /tmp of a sandbox is small."""
FULL_OUTPUT_BYTES = 8 * 1024 * 1024
MAX_LINE_CHARS = 2000
LINE_TAIL_CHARS = 200
NO_OUTPUT = "(no output)"

# ECMA-48: CSI, then OSC and the other strings up to BEL or ST, then two-character escapes.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_OVERSTRIKE = re.compile(r"[^\n\x08]\x08")


@dataclass(frozen=True)
class Shown:
    """The display form of an output.

    Attributes:
        text: what the model reads, without a final newline; never empty.
        saved: path in the sandbox of the whole output, "" when `text` is everything or it could not be saved.
        full: the whole text where `text` is a part of it, else None.
    """

    text: str
    saved: str = ""
    full: str | None = None


def clean(text: str) -> str:
    """Return `text` as a terminal would leave it: no escape sequences, the last state of each progress line."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    if "\x08" in text:
        text = _OVERSTRIKE.sub("", text)
    if "\r" in text:
        text = "\n".join(_last_state(line) for line in text.split("\n"))
    return _CONTROLS.sub("\ufffd", text).encode("utf-8", "replace").decode("utf-8")


def _last_state(line: str) -> str:
    states = [state for state in line.split("\r") if state.strip()]
    return states[-1] if states else ""


def fold_long_lines(text: str, limit: int = MAX_LINE_CHARS) -> str:
    """Cut each line over `limit` characters in its middle, with a count of what is missing."""
    if len(text) <= limit:
        return text
    return "\n".join(line if len(line) <= limit else _fold(line, limit) for line in text.split("\n"))


def _fold(line: str, limit: int) -> str:
    tail = min(LINE_TAIL_CHARS, limit // 2)
    head = limit - tail
    return f"{line[:head]} [... {len(line) - limit} characters ...] {line[-tail:]}"


def clip(text: str, limit: int) -> str:
    """Return `text` when it has at most `limit` characters, else its beginning and end around a marker.

    Cuts at line ends where one is near, and says how many characters are missing. The marker comes on top of `limit`.
    """
    if len(text) <= limit:
        return text
    head = _up_to_line_end(text[: limit // 2])
    tail = _from_line_start(text[len(text) - (limit - limit // 2) :])
    left_out = len(text) - len(head) - len(tail)
    return f"{head.rstrip()}\n[... {left_out} characters left out ...]\n{tail}"


def _up_to_line_end(text: str) -> str:
    cut = text.rfind("\n")
    return text[: cut + 1] if cut > len(text) // 2 else text


def _from_line_start(text: str) -> str:
    cut = text.find("\n")
    return text[cut + 1 :] if 0 <= cut < len(text) // 2 else text


def show_output(output: Output, context: ToolContext) -> Shown:
    """Return the display form of `output`, at most about `context.observation_chars` characters.

    When something of it is not shown, the whole (up to the sandbox's cap) is saved under `SAVED_FOLDER` in the
    sandbox, and the last line says where.

    Raises:
        SandboxError: the sandbox is gone.
    """
    limit = context.observation_chars
    if output.complete:
        text = _readable(output.head + output.tail, context)
        shown = clip(fold_long_lines(text), limit)
    else:
        text = ""
        shown = _ends(output, limit, context)
    if shown == text:
        return Shown(text if text.strip() else NO_OUTPUT)
    saved = _save(output, context)
    full = context.redact(_whole(output, FULL_OUTPUT_BYTES).decode("utf-8", "replace"))
    return Shown(f"{shown}\n[{_where(output, saved)}]", saved, full)


def _readable(data: bytes, context: ToolContext) -> str:
    return context.redact(clean(data.decode("utf-8", "replace"))).strip("\n")


def _ends(output: Output, limit: int, context: ToolContext) -> str:
    """Return the beginning and the end of an output whose middle is not at hand."""
    head = fold_long_lines(_readable(output.head, context))[: limit // 2]
    tail = fold_long_lines(_readable(output.tail, context))[-(limit - limit // 2) :]
    left_out = output.total_bytes - len(head.encode()) - len(tail.encode())
    return f"{_up_to_line_end(head).rstrip()}\n[... about {left_out} bytes left out ...]\n{_from_line_start(tail)}"


def _where(output: Output, saved: str) -> str:
    if not saved:
        return "the whole output could not be saved: no room in the sandbox"
    if output.total_bytes > SAVED_BYTES:
        return f"its first {SAVED_BYTES} bytes are in {saved}"
    return f"the whole output is in {saved}"


def _whole(output: Output, max_bytes: int | None = None) -> bytes:
    if output.spool is not None:
        with output.spool.open("rb") as spool:
            return spool.read() if max_bytes is None else spool.read(max_bytes)
    return (output.head + output.tail)[:max_bytes]


def _save(output: Output, context: ToolContext) -> str:
    """Write the whole output to a new file in the sandbox and return its path, "" when there is no room."""
    state = context.state
    number = state.saved_outputs + 1
    folder = _saved_folder(context)
    path = f"{folder}/output-{number}.txt"
    try:
        context.sandbox.write(path, _whole(output))
    except OSError:
        return ""
    state.saved_outputs = number
    if number > MAX_SAVED_FILES:
        oldest = f"{folder}/output-{number - MAX_SAVED_FILES}.txt"
        context.sandbox.run(f"rm -f {shlex.quote(oldest)}", keep_state=False)
    return path


def _saved_folder(context: ToolContext) -> str:
    """Return where outputs are saved: in the sandbox's own /tmp; without isolation, beside this run's workspace."""
    if context.sandbox.name == "none":
        return posixpath.join(posixpath.dirname(context.sandbox.workdir.rstrip("/")), "outputs")
    return SAVED_FOLDER


def status_line(done: Completed, *, workdir: str, timeout_s: float) -> str:
    """Return the bracketed line under an output: exit code, time from a second up, and whatever was unusual."""
    parts = [f"timed out after {timeout_s:g} s and was ended" if done.timed_out else f"exit code {done.exit_code}"]
    if done.oom:
        parts.append("ended for want of memory")
    if done.output_limit:
        parts.append(f"ended because it wrote {done.output.total_bytes} bytes")
    if done.duration_s >= 1 and not done.timed_out:
        parts.append(f"{done.duration_s:.0f} s")
    if done.leftovers:
        noun = "process" if done.leftovers == 1 else "processes"
        parts.append(f"{done.leftovers} {noun} left running and ended; use background=true to keep one")
    if done.restarted:
        parts.append("the shell had to be restarted")
    if done.cwd and done.cwd != workdir:
        parts.append(f"directory {done.cwd}")
    return f"[{', '.join(parts)}]"
