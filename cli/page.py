"""A run as a page of text: every event of its log in order, then the patch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from pydantic import JsonValue

from ostro.agent.outcome import NoticedAttempt
from ostro.agent.record.events import (
    Compacted,
    Ended,
    Event,
    Limited,
    Noted,
    Nudged,
    Observed,
    Planned,
    Retried,
    RunStarted,
    Tested,
)
from ostro.cli.terminal import BLUE, BOLD, DIM, GREEN, RED, YELLOW, dollars, one_line, paint, printable, seconds

INDENT = "    "


class Page:
    """Turns events into text.

    Args:
        color: whether to colour it.
        lines: how many lines of one text to show.
    """

    def __init__(self, *, color: bool, lines: int) -> None:
        self._color = color
        self._lines = lines

    def event(self, event: Event) -> Iterator[str]:
        """Yield the lines of one event; none for those that only matter to `resume`."""
        match event:
            case RunStarted():
                yield from self._started(event)
            case Planned():
                yield from self._planned(event)
            case Observed():
                yield from self._observed(event)
            case Ended():
                yield from self._ended(event)
            case Tested():
                result = event.result
                text = f"tests {event.phase} the patch: {result.status} {result.summary}"
                yield self._paint(text.rstrip(), GREEN if result.status == "green" else RED)
                yield f"{INDENT}{one_line(event.command, 200)}"
            case _:
                yield from self._remark(event)

    def security(self, noticed: Iterable[NoticedAttempt]) -> Iterator[str]:
        """Yield the lines of the attempts that were noticed, none where there are none."""
        for number, one in enumerate(noticed):
            if number == 0:
                yield ""
                yield self._paint("Attempts noticed, and what stopped them", BOLD)
            color = RED if one.stopped_by.startswith("nothing") else GREEN
            yield f"  {one_line(one.where, 60)}: {one_line(one.what, 100)}"
            yield f"{INDENT}{one_line(one.detail, 240)}"
            yield self._paint(f"{INDENT}stopped by: {one_line(one.stopped_by, 200)}", color)

    def diff(self, patch: str) -> Iterator[str]:
        """Yield the lines of a patch."""
        colors = {"+": GREEN, "-": RED, "@": BLUE}
        for line in printable(patch).splitlines():
            header = line.startswith(("diff ", "index ", "--- ", "+++ "))
            yield self._paint(line, BOLD if header else colors.get(line[:1], ""))

    def _paint(self, text: str, *codes: str) -> str:
        return paint(text, *[code for code in codes if code], on=self._color)

    def _block(self, text: str) -> Iterator[str]:
        lines = printable(text).splitlines()
        yield from (INDENT + line for line in lines[: self._lines])
        if len(lines) > self._lines:
            yield self._paint(f"{INDENT}... {len(lines) - self._lines} more lines; --full shows them", DIM)

    def _started(self, event: RunStarted) -> Iterator[str]:
        attempt = f", attempt {event.attempt}" if event.attempt > 1 else ""
        yield self._paint(f"Run {event.run_id}{attempt}: {one_line(str(event.task.get('title', '')), 200)}", BOLD)
        yield f"{INDENT}{event.model} at {event.endpoint}; {event.sandbox_description or event.sandbox}"
        yield f"{INDENT}base {event.base_commit[:12]}, started {event.ts}, ostro {event.ostro_version}"

    def _planned(self, event: Planned) -> Iterator[str]:
        usage = event.usage
        figures = f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens, {dollars(event.cost_usd)}"
        yield ""
        head = self._paint(f"Step {event.turn + 1}", BOLD)
        yield f"{head}  {self._paint(f'{figures}, {seconds(event.latency_s)}', DIM)}"
        yield from self._block(event.text)
        if event.repairs:
            yield self._paint(f"{INDENT}repaired: {', '.join(event.repairs)}", YELLOW)
        for call in event.calls:
            yield from self._call(call.name, call.arguments)

    def _call(self, name: str, arguments: Mapping[str, JsonValue]) -> Iterator[str]:
        yield f"  {self._paint(name, BLUE)}"
        for key, value in arguments.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            if "\n" in text:
                yield f"{INDENT}{key}:"
                yield from (INDENT + line for line in self._block(text))
            else:
                yield f"{INDENT}{key}: {printable(text)}"

    def _observed(self, event: Observed) -> Iterator[str]:
        mark = self._paint("ok", GREEN) if event.ok else self._paint("failed", YELLOW)
        yield f"  {event.name}: {mark}, {seconds(event.duration_s)}"
        yield from self._block(event.text)
        if event.full_output:
            yield self._paint(f"{INDENT}whole output: {event.full_output}", DIM)

    def _remark(self, event: Event) -> Iterator[str]:
        text = ""
        match event:
            case Retried():
                text = f"endpoint failed ({event.kind}: {event.detail}), again in {seconds(event.wait_s)}"
            case Compacted():
                text = f"context compacted: {event.tokens_before:,} -> {event.tokens_after:,} tokens"
            case Nudged():
                text = f"nudge, {event.kind}: {event.text}"
            case Limited():
                text = f"limit, {event.limit}: {event.detail}"
            case Noted():
                text = f"{event.kind}: {event.text}"
            case _:
                pass
        if text:
            yield self._paint(one_line(text, 300), YELLOW)

    def _ended(self, event: Ended) -> Iterator[str]:
        outcome = event.outcome
        yield ""
        color = GREEN if outcome.ending == "submitted" else RED
        yield self._paint(f"{outcome.ending.value}: {one_line(outcome.reason, 300)}", BOLD, color)
        if outcome.error is not None:
            yield f"{INDENT}{one_line(f'{outcome.error.message} {outcome.error.mend}', 400)}"
        tokens = event.tokens
        figures = f"{tokens.input:,} + {tokens.output:,} tokens, {dollars(event.cost_usd)} ({event.cost_source})"
        yield f"{INDENT}{event.steps} steps, {figures}, {seconds(event.seconds)}"
