"""What reaches a terminal: untrusted text is shown, never obeyed; figures read well."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.cli.terminal import dollars, one_line, paint, printable, seconds, size

ANY_TEXT = st.text(st.characters())
DANGEROUS = {"Cc", "Cs", "Zl", "Zp"}


@given(ANY_TEXT)
def test_printable_whatever_comes_leaves_no_character_that_steers(text: str) -> None:
    shown = printable(text)
    assert not [c for c in shown if unicodedata.category(c) in DANGEROUS and c not in "\n\t"]
    assert not [c for c in shown if unicodedata.bidirectional(c) in {"RLO", "LRO", "RLI", "LRI", "FSI", "PDI", "PDF"}]


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_printable_when_the_text_is_plain_changes_nothing(text: str) -> None:
    assert printable(text) == text


def test_printable_when_text_holds_escape_sequences_shows_them() -> None:
    assert printable("\x1b]52;c;ZXZpbA==\x07\x1b[2J a\u202eb\r\n") == "\\x1b]52;c;ZXZpbA==\\x07\\x1b[2J a\\u202eb\n"


@given(ANY_TEXT, st.integers(1, 200))
def test_one_line_whatever_comes_is_one_line_within_the_width(text: str, width: int) -> None:
    line = one_line(text, width)
    assert "\n" not in line
    assert len(line) <= width


@pytest.mark.parametrize(
    ("duration", "text"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (59.4, "59 s"), (185, "3 min 05 s"), (3720, "1 h 02 min")]
)
def test_seconds_reads_well(duration: float, text: str) -> None:
    assert seconds(duration) == text


@pytest.mark.parametrize(("amount", "text"), [(0.0, "$0.00"), (0.00213, "$0.0021"), (1.5, "$1.50")])
def test_dollars_shows_small_sums(amount: float, text: str) -> None:
    assert dollars(amount) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2 * 10**9, "2.0 GB")])
def test_size_has_a_unit(count: int, text: str) -> None:
    assert size(count) == text


def test_paint_when_off_adds_nothing() -> None:
    assert paint("x", "31", on=False) == "x"
    assert paint("x", "31", on=True) == "\x1b[31mx\x1b[0m"
