"""Output as a model reads it: clean, bounded, and with the numbers that say what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.sandbox.protocol import Completed, Output
from ostro.tools.display import MAX_LINE_CHARS, clean, clip, fold_long_lines, status_line


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b(Bplain\x1b[?25l", "plain"),
        ("10 %\r50 %\r100 %\n", "100 %\n"),
        ("done\r\nnext\r\n", "done\nnext\n"),
        ("progress\r", "progress"),
        ("b\x08bo\x08old", "bold"),
        ("a\x00b\x07c", "a\ufffdb\ufffdc"),
        ("\ud800", "?"),
        ("tab\tstays\n", "tab\tstays\n"),
        ("\x1b]0;never closed\nsecond line", "\nsecond line"),
    ],
)
def test_clean_when_text_has_terminal_codes_then_shows_what_a_terminal_would(raw: str, shown: str) -> None:
    assert clean(raw) == shown


@given(st.text(max_size=200))
def test_clean_when_text_is_any_then_result_can_be_sent_and_is_stable(text: str) -> None:
    once = clean(text)
    assert "\x1b" not in once
    assert "\r" not in once
    once.encode("utf-8")
    assert clean(once) == once


@given(st.text(alphabet="ab\n", max_size=400), st.integers(20, 200))
def test_clip_when_text_is_too_long_then_counts_exactly_what_is_missing(text: str, limit: int) -> None:
    shown = clip(text, limit)
    if len(text) <= limit:
        assert shown == text
        return
    head, marker, tail = shown.partition("\n[... ")
    count = int(tail.split(" ", 1)[0])
    rest = tail.split("...]\n", 1)[1]
    assert marker
    assert text.startswith(head)
    assert text.endswith(rest)
    # Newlines before the marker are not repeated, so the count may be off by those only.
    assert len(text) - len(head) - len(rest) - count == len(text[len(head) : len(text) - len(rest) - count].rstrip("x"))
    assert len(head) + len(rest) <= limit


def test_fold_when_a_line_is_very_long_then_keeps_both_ends_and_counts() -> None:
    line = "a" * 5000 + "END"
    folded = fold_long_lines(f"short\n{line}\n")
    assert folded.startswith("short\na")
    assert folded.endswith("END\n")
    assert f"[... {5003 - MAX_LINE_CHARS} characters ...]" in folded
    assert len(folded) < MAX_LINE_CHARS + 60


def completed(**values: object) -> Completed:
    known: dict[str, object] = {"exit_code": 0, "output": Output(b""), "duration_s": 0.1, "cwd": "/workspace"}
    return Completed(**{**known, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "[exit code 0]"),
        ({"exit_code": 2, "duration_s": 12.4}, "[exit code 2, 12 s]"),
        ({"cwd": "/workspace/src"}, "[exit code 0, directory /workspace/src]"),
        ({"exit_code": 124, "timed_out": True, "duration_s": 5.1}, "[timed out after 5 s and was ended]"),
        ({"exit_code": 137, "oom": True}, "[exit code 137, ended for want of memory]"),
        (
            {"leftovers": 2},
            "[exit code 0, 2 processes left running and ended; use background=true to keep one]",
        ),
        ({"restarted": True}, "[exit code 0, the shell had to be restarted]"),
    ],
)
def test_status_when_something_is_unusual_then_says_so_and_nothing_else(values: dict[str, object], line: str) -> None:
    assert status_line(completed(**values), workdir="/workspace", timeout_s=5) == line
