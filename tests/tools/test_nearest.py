"""What a model is told when old_str does not match: the exact difference, and the right place."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from ostro.tools.nearest import explain_ambiguity, explain_miss, nearest_block, positions
from ostro.tools.textfile import split_lines

SOURCE = """import os


def load(path):
    with open(path) as handle:
        return handle.read()


class Store:
    def get(self, key):
\treturn self.items[key]

    def put(self, key, value):
        self.items[key] = value{spaces}
        return value
""".replace("{spaces}", "   ")


def test_miss_when_line_numbers_were_pasted_then_says_so() -> None:
    old = "     4\tdef load(path):\n     5\t    with open(path) as handle:"
    answer = explain_miss(SOURCE, old, "x")
    assert "line numbers" in answer
    assert "line 4" in answer


def test_miss_when_only_trailing_space_differs_then_names_line_and_space() -> None:
    answer = explain_miss(SOURCE, "        self.items[key] = value\n        return value", "x")
    assert "only in spaces at the end of line 14" in answer
    assert "'   '" in answer


def test_miss_when_only_indentation_differs_then_compares_both() -> None:
    answer = explain_miss(SOURCE, "    def get(self, key):\n        return self.items[key]", "x")
    assert "only in indentation" in answer
    assert "line 11 of the file begins with 1 tab," in answer
    assert "8 spaces" in answer


def test_miss_when_newlines_are_escaped_then_says_so() -> None:
    answer = explain_miss(SOURCE, "class Store:\\n    def get(self, key):", "x")
    assert "escapes (\\n)" in answer
    assert "line 9" in answer


def test_miss_when_edit_was_done_before_then_says_so() -> None:
    answer = explain_miss(SOURCE, "    with open(path) as file:", "    with open(path) as handle:")
    assert "done already" in answer
    assert "line 5" in answer


def test_miss_when_something_is_similar_then_shows_block_with_numbers_and_diff() -> None:
    answer = explain_miss(SOURCE, "def load(filename):\n    with open(filename) as handle:", "x")
    assert "     4\tdef load(path):" in answer
    assert "-def load(filename):" in answer
    assert "+def load(path):" in answer


def test_miss_when_nothing_is_similar_then_says_so() -> None:
    assert "nothing in the file is similar" in explain_miss(SOURCE, "SELECT 1 FROM zzz;", "x")


def test_miss_when_file_is_empty_then_says_so() -> None:
    assert "nothing in the file is similar" in explain_miss("", "a = 1", "x")


def test_ambiguity_when_there_are_many_matches_then_lists_the_first_lines() -> None:
    text = "x = 1\n" * 14
    answer = explain_ambiguity(text, positions(text, "x"))
    assert "matches 14 times, at lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 4 more" in answer


def test_ambiguity_when_matches_share_a_line_then_names_it_once() -> None:
    assert "2 times, at line 1." in explain_ambiguity("a a", positions("a a", "a"))


def test_positions_when_occurrences_overlap_then_counts_each() -> None:
    assert positions("aaa", "aa") == [0, 1]


def test_nearest_when_file_is_large_then_finds_the_place_quickly() -> None:
    lines = [f"    value_{number} = compute(number={number}, scale={number % 7})" for number in range(20_000)]
    old = [lines[15_000].replace("compute", "calculate"), lines[15_001], lines[15_002].replace("scale", "factor")]
    started = time.perf_counter()
    block = nearest_block(lines, old)
    assert time.perf_counter() - started < 2
    assert block is not None
    assert block.first == 15_001


def test_nearest_when_every_line_is_alike_then_still_is_quick() -> None:
    started = time.perf_counter()
    explain_miss("}\n" * 20_000, "}\n" * 40 + "missing", "x")
    assert time.perf_counter() - started < 2


@given(st.text(alphabet="ab \t\n1:", max_size=80), st.text(alphabet="ab \t\n1:", min_size=1, max_size=40))
def test_miss_when_texts_are_any_then_there_is_an_answer(text: str, old: str) -> None:
    if old in text:
        return
    assert explain_miss(text, old, "new").strip()


@given(
    st.lists(st.sampled_from(["a", "b", "c d", ""]), max_size=12),
    st.lists(st.sampled_from(["a", "b", "e"]), min_size=1, max_size=4),
)
def test_nearest_when_found_then_its_lines_are_those_of_the_file(lines: list[str], old: list[str]) -> None:
    block = nearest_block(lines, old)
    if block is not None:
        assert list(block.lines) == lines[block.first - 1 : block.first - 1 + len(old)]


def test_explanation_when_block_is_long_then_stays_short() -> None:
    text = "\n".join(f"    line_{number} = {number}" for number in range(300))
    old = "\n".join(f"    line_{number} = {number + 1}" for number in range(200))
    assert len(explain_miss(text, old, "x")) < 4000
    assert len(split_lines(explain_miss(text, old, "x"))) < 60
