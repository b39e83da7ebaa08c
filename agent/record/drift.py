"""What a replay reports: every place where it differs from its recording, as data and as a diff."""

from __future__ import annotations

import difflib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

DRIFT_EXIT_CODE = 8
MAX_DIFF_LINES = 200

DriftKind = Literal["observation", "calls", "nudge", "ending", "patch"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Drift(_Frozen):
    """One difference.

    Attributes:
        turn: from 0; None for the patch of the whole run.
        kind: what differs: what a call gave back, the calls that the intake made of a reply, the correction after a
            reply without a call, whether the run ended there, the final patch.
        tool: name of the tool, "" where it is about no call.
        command: what the call was about: its arguments in the order of a command line.
        diff: unified, from the recorded to the replayed text, volatile parts replaced.
    """

    turn: int | None
    kind: DriftKind
    call_id: str = ""
    tool: str = ""
    command: str = ""
    diff: str


class Place(_Frozen):
    """Where a run took place."""

    sandbox: str
    ostro_version: str


class ReplayReport(_Frozen):
    """What came of replaying one log (schema 1).

    Attributes:
        log: the file that was replayed.
        exit_code: 0 without drift, 8 with.
        turns: replies of the model that were replayed.
        calls: observations in the log.
        same: how many of them came out the same.
        left_out: calls that were not run or not compared: cut off in the recording, edited by a fork, or not
            wholly in the log.
        notes: what a reader should know: another sandbox, tools or prompts that have changed since.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    log: str
    run_id: str
    exit_code: int
    turns: int
    calls: int
    same: int
    left_out: int
    drifts: tuple[Drift, ...]
    recorded: Place
    replayed: Place
    notes: tuple[str, ...] = ()
    seconds: float


def unified(recorded: str, replayed: str) -> str:
    """Return the difference of two texts, cut at `MAX_DIFF_LINES`; "" where there is none."""
    lines = list(
        difflib.unified_diff(recorded.split("\n"), replayed.split("\n"), "recorded", "replayed", lineterm="", n=2)
    )
    left_out = len(lines) - MAX_DIFF_LINES
    if left_out > 0:
        lines = [*lines[:MAX_DIFF_LINES], f"[... {left_out} lines of the difference left out ...]"]
    return "\n".join(lines)
