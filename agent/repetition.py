"""The loop detector: notices that a run goes round in circles, nudges once, then says stop.

Patterns: the same call with the same normalised observation three times, or two calls in turn (ABAB), with the
workspace unchanged between; or ten calls in a row without one new line of observation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ostro.agent.history import ToolCall
from ostro.agent.record.volatile import normalise

SAME_CALL_TIMES = 3
STALE_CALLS = 10

Verdict = Literal["", "nudge", "stop"]
Pattern = Literal["", "same", "alternating", "stale"]


@dataclass
class LoopDetector:
    """Fed with every observation, in order.

    Attributes:
        digest: returns a digest of the workspace; asked only when a repetition is suspected, for it costs a command.
        reason: what the last verdict was about, for the trajectory.
        asked: what `digest` said at the last observation; "" where it was not asked.
    """

    digest: Callable[[], str]
    reason: str = ""
    pattern: Pattern = ""
    asked: str = ""
    _seen: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    _lines: set[str] = field(default_factory=set[str])
    _stale: int = 0
    _nudged: bool = False

    def observe(self, call: ToolCall, text: str, *, mutated: bool) -> Verdict:
        """Book one call and its observation.

        Args:
            call: as it was executed.
            text: the observation.
            mutated: an edit tool changed the workspace: whatever was repeated before counts no more.
        """
        if mutated:
            self._seen.clear()
            self._stale = 0
        shown = normalise(text)
        fingerprint = _fingerprint(call, shown)
        suspected = any(fingerprint == earlier for earlier, _ in self._seen[-4:])
        self.asked = self.digest() if suspected else ""
        self._seen.append((fingerprint, self.asked))
        self._count_lines(shown)
        self.pattern, self.reason = self._pattern()
        if not self.reason:
            return ""
        self._seen.clear()
        self._stale = 0
        if self._nudged:
            return "stop"
        self._nudged = True
        return "nudge"

    def _count_lines(self, shown: str) -> None:
        lines = {line.strip() for line in shown.splitlines() if line.strip()}
        self._stale = 0 if lines - self._lines else self._stale + 1
        self._lines |= lines

    def _pattern(self) -> tuple[Pattern, str]:
        recent = self._seen[-SAME_CALL_TIMES:]
        if (
            len(recent) == SAME_CALL_TIMES
            and len({fingerprint for fingerprint, _ in recent}) == 1
            and _unchanged(recent[1:])
        ):
            return "same", f"the same call gave the same result {SAME_CALL_TIMES} times"
        if _alternates(self._seen):
            return "alternating", "two calls alternate with the same results"
        if self._stale >= STALE_CALLS:
            return "stale", f"{STALE_CALLS} calls in a row showed nothing new"
        return "", ""


def _fingerprint(call: ToolCall, shown: str) -> str:
    source = json.dumps([call.name, call.arguments, shown], sort_keys=True)
    return hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()


def _unchanged(entries: list[tuple[str, str]]) -> bool:
    return len({digest for _, digest in entries}) == 1


def _alternates(seen: list[tuple[str, str]]) -> bool:
    """ABABAB: each pair seen three times, the workspace the same since the second pair."""
    recent = seen[-6:]
    if len(recent) < 6 or recent[0][0] == recent[1][0]:
        return False
    pairs = recent[0][0] == recent[2][0] == recent[4][0] and recent[1][0] == recent[3][0] == recent[5][0]
    return pairs and _unchanged(recent[2:])
