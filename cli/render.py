"""How a run looks while it works.

`Progress` listens to the events of the trajectory: a permanent line for each thing that happened, on stderr, and
on a terminal one live line below them. How it looks when it is done is in cli/summary.py.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, TextIO

from pydantic import JsonValue

from ostro.agent.history import ABOUT
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
from ostro.cli.summary import STATUS_COLOR, status_of
from ostro.cli.terminal import (
    BLUE,
    BOLD,
    DIM,
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

UNSHOWN_NOTES = ("preflight_ok", "preflight_skipped")


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
