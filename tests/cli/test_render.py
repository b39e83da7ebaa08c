"""Progress and summary: lines off a terminal, one live line on it, the facts of the report."""

from __future__ import annotations

import io
import os
import pty
from pathlib import Path

import pytest

from ostro.agent.history import ToolCall
from ostro.agent.model.reply import Usage
from ostro.agent.outcome import Ending, ErrorReport, RunReport, TestedPatch, TestRun, Tokens
from ostro.agent.record.events import Called, Event, Noted, Observed, Planned, Retried, Tested
from ostro.cli.render import Progress
from ostro.cli.summary import summary

CALL = ToolCall(id="abcdefghi", name="bash", arguments={"command": "pytest -q"})
EVENTS: tuple[Event, ...] = (
    Planned(
        turn=0,
        text="I look at \x1b[31mthe tests.",
        calls=(CALL,),
        finish_reason="tool_calls",
        usage=Usage(input_tokens=1000, output_tokens=20),
        cost_usd=0.0012,
        cost_source="catalogue",
    ),
    Called(turn=0, call=CALL),
    Observed(
        turn=0,
        call_id=CALL.id,
        name="bash",
        text="1 failed",
        ok=True,
        mutated=False,
        data={"exit_code": 1},
        duration_s=0.8,
    ),
    Retried(turn=1, kind="rate", wait_s=2.0, detail="429"),
    Noted(kind="warning", text="the tree is dirty"),
    Tested(phase="after", command="pytest -q", result=TestRun(status="green", summary="4 passed")),
)


def report(ending: Ending = Ending.SUBMITTED, exit_code: int = 0) -> RunReport:
    return RunReport(
        run="/home/u/.local/share/ostro/runs/20260101-000000-abc123",
        outcome=ending,
        exit_code=exit_code,
        branch="ostro/issue-42",
        commit="0123456789abcdef",
        patch="/tmp/patch.diff",
        files_changed=("a.py", "b.py"),
        steps=7,
        tokens=Tokens(input=12345, cached=1000, output=300),
        cost_usd=0.0021,
        seconds=8.3,
        tests=TestedPatch(
            command="pytest -q",
            source="flag",
            before=TestRun(status="red", summary="1 failed"),
            after=TestRun(status="green", summary="4 passed"),
            verified=True,
        ),
        reason="Compare with <=.",
        warnings=("the tree is dirty",),
        sandbox="docker",
        model="m",
        endpoint="vercel",
        repairs={"json": 2},
    )


def test_progress_when_there_is_no_terminal_writes_plain_lines() -> None:
    stream = io.StringIO()
    with Progress(stream) as progress:
        for event in EVENTS:
            progress(event)
    lines = stream.getvalue().splitlines()
    assert "\x1b" not in stream.getvalue()
    assert lines == [
        "  1  I look at \\x1b[31mthe tests.",
        "     exit 1    0.8 s  bash pytest -q",
        "     the endpoint failed (rate: 429); again in 2.0 s",
        "warning: the tree is dirty",
        "tests after the patch: green (4 passed); pytest -q",
    ]


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in {"TERM": "xterm", "COLUMNS": "60", **variables}.items():
        monkeypatch.setenv(name, value)
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w", encoding="utf-8") as stream, Progress(stream) as progress:
        for event in EVENTS:
            progress(event)
        progress.redraw()
    shown = b""
    while True:
        try:
            shown += os.read(reader, 65536)
        except OSError:  # EIO: the other end is closed and all is read
            os.close(reader)
            return shown.decode()


def test_progress_on_a_terminal_has_a_live_line_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = on_a_terminal(monkeypatch)
    assert "step 1 · 1,020 tokens · $0.0012" in shown
    assert shown.endswith("\r\x1b[2K")
    assert all(len(line) < 200 for line in shown.splitlines())


def test_progress_on_a_terminal_with_no_color_has_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on_a_terminal(monkeypatch, NO_COLOR="1")
    assert "\x1b[3" not in shown
    assert "\x1b[1m" not in shown


def test_summary_of_a_submitted_run_says_everything_and_what_to_type_next() -> None:
    text = summary(report(), color=False)
    for part in (
        "submitted: Compare with <=.",
        "ostro/issue-42 (0123456789)",
        "2 changed: a.py, b.py",
        "pytest -q: red (1 failed) before, green (4 passed) after",
        "7 steps in 8.3 s",
        "12,345 in (1,000 cached), 300 out; $0.0021 by the catalogue",
        "2 json",
        "sandbox docker; m at vercel",
        "warning  the tree is dirty",
        "  git diff HEAD...ostro/issue-42",
        "  ostro view 20260101-000000-abc123",
    ):
        assert part in text


def test_summary_when_coloured_is_green_only_for_success() -> None:
    assert "\x1b[1;32msubmitted" in summary(report(), color=True)
    assert "\x1b[1;31mstep_limit" in summary(report(Ending.STEP_LIMIT, 3), color=True)


def test_summary_of_a_failure_names_the_mend_and_the_salvaged_patch() -> None:
    failed = report(Ending.MODEL_ERROR, 4).model_copy(
        update={"branch": None, "error": ErrorReport(kind="auth", message="the key is wrong", mend="Set X.")}
    )
    text = summary(failed, color=False)
    assert "  mend     Set X." in text
    assert "  git apply /tmp/patch.diff" in text


def test_summary_of_a_run_that_asked_nothing_names_no_source_of_its_price() -> None:
    unasked = report(Ending.INTERRUPTED, 130).model_copy(update={"steps": 0, "tokens": Tokens(), "cost_usd": 0.0})
    assert "  tokens   0 in, 0 out; $0.00\n" in summary(unasked, color=False)


def test_summary_with_a_repository_elsewhere_names_it(tmp_path: Path) -> None:
    assert f"next:\n  cd {tmp_path}\n  git diff" in summary(report(), color=False, repository=tmp_path)


@pytest.mark.parametrize(
    ("ending", "command"),
    [
        (Ending.INTERRUPTED, "ostro resume 20260101-000000-abc123"),
        (Ending.MODEL_ERROR, "ostro resume 20260101-000000-abc123"),
        (Ending.STEP_LIMIT, "ostro resume 20260101-000000-abc123 --steps 14"),
        (Ending.COST_LIMIT, "ostro resume 20260101-000000-abc123 --budget 0.0042"),
        (Ending.TOKEN_LIMIT, "ostro resume 20260101-000000-abc123 --tokens 25290"),
        (Ending.TIME_LIMIT, "ostro resume 20260101-000000-abc123 --time 16.6"),
        (Ending.LOOP_DETECTED, ""),
        (Ending.SUBMITTED, ""),
    ],
)
def test_summary_names_the_way_on_where_there_is_one(ending: Ending, command: str) -> None:
    lines = summary(report(ending), color=False).splitlines()
    assert [line.strip() for line in lines if "ostro resume" in line] == ([command] if command else [])
