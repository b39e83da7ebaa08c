"""How a run looks while it works and when it is done.

`Progress` listens to the events of the trajectory: a permanent line for each thing that happened, on stderr, and
on a terminal one live line below them. `summary` is the text form of a `RunReport`.
"""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from pydantic import JsonValue

from ostro.agent.history import ABOUT
from ostro.agent.outcome import Ending, NoticedAttempt, RunReport, TestedPatch, TestRun
from ostro.agent.record.events import (
    Called,
    Ended,
    Event,
    Limited,
    Noted,
    Nudged,
    Observed,
    Planned,
    Resumed,
    Retried,
    RunStarted,
    Tested,
)
from ostro.cli.terminal import (
    BLUE,
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    columns,
    dollars,
    is_terminal,
    one_line,
    paint,
    printable,
    seconds,
    wants_color,
)

REDRAW_S = 0.25
PLAIN_WIDTH = 160
"""Longest line where there is no terminal."""

INDENT = " " * 5
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

COST_SOURCES = {"reported": "as reported", "catalogue": "by the catalogue", "flag": "by --price"}
UNSHOWN_NOTES = ("preflight_ok", "preflight_skipped")
STATUS_COLOR = {"green": GREEN, "red": RED, "error": RED, "timeout": RED, "not_run": DIM}


def describe_call(name: str, arguments: Mapping[str, JsonValue]) -> str:
    """Say in a few words what a call does: the tool, then what it is about."""
    about = [value for key in ABOUT if isinstance(value := arguments.get(key), str) and value]
    counted = [
        f"{len(value)} {key}" for key, value in arguments.items() if isinstance(value, list) and key not in ABOUT
    ]
    return " ".join([name, *(about or counted)])


class Progress:
    """A listener that shows events on `stream`; a context manager, so that the live line goes away at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._color = wants_color(stream)
        self._live = is_terminal(stream)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, name="progress", daemon=True)
        self._started = time.monotonic()
        self._doing = "starting"
        self._steps, self._limit, self._tokens, self._cost = 0, 0, 0, 0.0
        self._frame = 0
        self._unnumbered = -1  # a turn whose number is still to be shown: the model said nothing
        self._calls: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._live:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause()

    def pause(self) -> None:
        """Take the live line away for good: something else writes from now on."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
            self._put("")

    def __call__(self, event: Event) -> None:
        """Show one event."""
        with self._lock:
            self._account(event)
            line = self._line(event)
            if line:
                self._put(line + "\n")

    def say(self, text: str, *, alarm: bool = False) -> None:
        """Show a line that is no event: a clone, a pull; in red when it is an `alarm`."""
        line = printable(" ".join(text.split()))
        with self._lock:
            self._put(paint(line, BOLD, RED, on=self._color and alarm) + "\n")

    def _account(self, event: Event) -> None:
        match event:
            case RunStarted():
                steps = event.config.get("steps")
                self._limit = steps if isinstance(steps, int) else 0
                self._doing = "waiting for the model"
            case Planned():
                self._steps = event.turn + 1
                self._tokens += event.usage.input_tokens + event.usage.output_tokens
                self._cost += event.cost_usd
                self._doing = "working"
            case Called():
                self._doing = describe_call(event.call.name, event.call.arguments)
                self._calls[event.call.id] = self._doing
            case Observed() | Nudged():
                self._doing = "waiting for the model"
            case Retried():
                self._doing = f"retrying in {seconds(event.wait_s)}"
            case Ended():
                self._doing = "testing the patch"
            case _:
                pass

    def _line(self, event: Event) -> str:
        line = line_of(event, self._calls)
        if isinstance(event, Planned):
            self._unnumbered = event.turn if line is None else -1
        if line is None:
            return ""
        if isinstance(event, Observed) and event.turn == self._unnumbered:
            line = replace(line, label=f"{event.turn + 1:>3}{line.label[3:]}")
            self._unnumbered = -1
        width = columns() - 1 if self._live else PLAIN_WIDTH
        text = line.label + one_line(line.text, max(20, width - len(line.label)))
        return paint(text, *([line.color] if line.color else []), on=self._color)

    def _keep_drawing(self) -> None:
        while not self._stop.wait(REDRAW_S):
            self.redraw()

    def redraw(self) -> None:
        """Draw the live line anew: on a terminal, how far the run is and what it does now."""
        with self._lock:
            self._frame += 1
            spent = seconds(time.monotonic() - self._started)
            limit = f"/{self._limit}" if self._limit else ""
            figures = f"step {self._steps}{limit} · {self._tokens:,} tokens · {dollars(self._cost)} · {spent} · "
            text = one_line(figures + self._doing, max(20, columns() - 4))
            spin = paint(SPINNER[self._frame % len(SPINNER)], BLUE, on=self._color)
            self._put(f"{spin} {paint(text, DIM, on=self._color)}")

    def _put(self, text: str) -> None:
        """Write, first over the live line where there is one; a stream that broke costs the progress, not the run."""
        with contextlib.suppress(OSError):
            self._stream.write("\r\x1b[2K" + text if self._live else text)
            self._stream.flush()


@dataclass(frozen=True)
class Line:
    """A permanent line: a label of our own, then text that may come from anywhere."""

    label: str
    text: str
    color: str = ""


def line_of(event: Event, calls: Mapping[str, str]) -> Line | None:
    """Return the permanent line of an event; None where it needs none.

    Args:
        event: what happened.
        calls: call id -> what the call does, for the line of its observation.
    """
    line: Line | None = None
    match event:
        case RunStarted():
            where = event.sandbox_description or event.sandbox
            line = Line("", f"{event.model} at {event.base_url}; sandbox: {where}", BOLD)
        case Planned() if event.text.strip():
            line = Line(f"{event.turn + 1:>3}  ", event.text)
        case Observed():
            line = _observed_line(event, calls.get(event.call_id, event.name))
        case Retried():
            detail = f"the endpoint failed ({event.kind}: {event.detail}); again in {seconds(event.wait_s)}"
            line = Line(INDENT, detail, YELLOW)
        case Tested():
            told = f"tests {event.phase} the patch: {status_of(event.result)}; {event.command}"
            line = Line("", told, STATUS_COLOR[event.result.status])
        case Limited():
            line = Line(INDENT, f"{event.limit}: {event.detail}", YELLOW)
        case Nudged():
            line = Line(INDENT, f"{event.kind}: {event.text}", YELLOW)
        case Resumed():
            line = Line("", _resumed_text(event), BOLD)
        case Noted() if event.kind not in UNSHOWN_NOTES:
            line = Line("", f"{event.kind}: {event.text}", YELLOW if event.kind == "warning" else DIM)
        case _:
            pass
    return line


def _resumed_text(event: Resumed) -> str:
    told = f"resumed at step {event.turn + 1}: {event.sandbox} sandbox"
    told += ", checkpoint restored" if event.restored else ""
    told += f", {len(event.rerun)} calls since are run again" if event.rerun else ""
    if not event.cut_call:
        return told
    return f"{told}; the call that was cut off {'is run again' if event.repeats else 'is not tried any more'}"


def _observed_line(event: Observed, call: str) -> Line:
    code = event.data.get("exit_code")
    shown = f"exit {code}" if isinstance(code, int) and code else "ok" if event.ok else "failed"
    return Line(f"{INDENT}{shown:<8} {seconds(event.duration_s):>6}  ", call, YELLOW if code or not event.ok else DIM)


def status_of(result: TestRun) -> str:
    """Say how a test run went, in a word and the runner's own last line."""
    word = result.status.replace("_", " ")
    lines = [line for line in result.summary.splitlines() if line.strip()]
    return f"{word} ({one_line(lines[-1], 80)})" if lines else word


def summary(report: RunReport, *, color: bool, repository: Path | None = None) -> str:
    """Return the closing text of a run: what came out, what it cost, and what to type next.

    Args:
        report: how the run ended.
        color: whether to colour it.
        repository: where the branch is, when that is not the current folder.
    """
    good = report.outcome is Ending.SUBMITTED and report.exit_code == 0
    headline = paint(report.outcome.value, BOLD, GREEN if good else RED, on=color)
    reason = f": {one_line(report.reason, 200)}" if report.reason else ""
    lines = ["", headline + reason]
    lines += [f"  {name:<8} {value}" for name, value in _facts(report, color=color) if value]
    lines += [paint(f"  warning  {one_line(text, 300)}", YELLOW, on=color) for text in report.warnings]
    following = next_commands(report, repository)
    if following:
        lines += ["", "next:", *(f"  {command}" for command in following)]
    return "\n".join(lines)


def _facts(report: RunReport, *, color: bool) -> list[tuple[str, str]]:
    tokens = report.tokens
    cached = f" ({tokens.cached:,} cached)" if tokens.cached else ""
    spent = f"{dollars(report.cost_usd)} {COST_SOURCES.get(report.cost_source, report.cost_source)}"
    count = len(report.files_changed)
    return [
        ("mend", one_line(report.error.mend, 300) if report.error else ""),
        ("branch", f"{report.branch} ({report.commit[:10]})" if report.branch and report.commit else ""),
        ("patch", report.patch or ""),
        ("files", one_line(f"{count} changed: {', '.join(report.files_changed)}", 200) if count else ""),
        ("tests", _tests(report.tests, color=color)),
        ("work", f"{report.steps} steps in {seconds(report.seconds)}"),
        ("tokens", f"{tokens.input:,} in{cached}, {tokens.output:,} out; {spent}"),
        ("security", noticed_line(report.security)),
        ("repairs", ", ".join(f"{times} {stage}" for stage, times in sorted(report.repairs.items()))),
        ("where", f"sandbox {report.sandbox}; {report.model} at {report.endpoint}" if report.sandbox else ""),
        ("run", report.run),
    ]


def noticed_line(noticed: Sequence[NoticedAttempt]) -> str:
    """Say in one line how many attempts were noticed and of which kinds; "" for none."""
    if not noticed:
        return ""
    kinds = Counter(one.what for one in noticed)
    counted = ", ".join(f"{what} ({times}x)" if times > 1 else what for what, times in kinds.items())
    plural = "s" if len(noticed) > 1 else ""
    return one_line(f"{len(noticed)} attempt{plural} noticed, `ostro view` shows what stopped each: {counted}", 300)


def _tests(tests: TestedPatch, *, color: bool) -> str:
    if not tests.command:
        return "no test command known; give one with --test"
    before = paint(status_of(tests.before), STATUS_COLOR[tests.before.status], on=color)
    after = paint(status_of(tests.after), STATUS_COLOR[tests.after.status], on=color)
    return f"{tests.command}: {before} before, {after} after"


def next_commands(report: RunReport, repository: Path | None = None) -> list[str]:
    """Return what a user may want to type now; `repository` is where, None for the current folder."""
    commands = [f"cd {shlex.quote(str(repository))}"] if repository else []
    if report.branch:
        commands += [f"git diff HEAD...{report.branch}", f"git merge {report.branch}"]
    elif report.patch:
        commands.append(f"git apply {shlex.quote(report.patch)}")
    if resume := _resume(report):
        commands.append(resume)
    if report.run:
        commands.append(f"ostro view {shlex.quote(short_run(report.run))}")
    return commands


def _resume(report: RunReport) -> str:
    """Return the command that goes on with a run; "" where it has ended for good."""
    ending, tokens = report.outcome, report.tokens
    if not report.run or not (ending.limit or ending.resumable):
        return ""
    command = f"ostro resume {shlex.quote(short_run(report.run))}"
    if not ending.limit:
        return command
    used = {
        "steps": report.steps,
        "budget": report.cost_usd,
        "tokens": tokens.input + tokens.output,
        "time": report.seconds,
    }
    return f"{command} {ending.raised(used[ending.limit])}"


def short_run(folder: str) -> str:
    """Return the id of a run in the usual place, else its folder: what `ostro view` understands."""
    path = Path(folder)
    return path.name if path.parent.name == "runs" else folder
