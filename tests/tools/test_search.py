"""The search tool in a real sandbox, with ripgrep and without."""

from __future__ import annotations

import pytest

from ostro.tools.protocol import Observation, ToolContext
from ostro.tools.search import MAX_MATCHES, SEARCH, SearchArgs
from tests.tools.conftest import Call


class WithoutRipgrep:
    """The same sandbox, whose ripgrep nobody may see."""

    def __init__(self, context: ToolContext) -> None:
        self._sandbox = context.sandbox

    def has(self, program: str) -> bool:
        return program != "rg" and self._sandbox.has(program)

    def __getattr__(self, name: str) -> object:
        return getattr(self._sandbox, name)


@pytest.fixture(params=["rg", "grep"])
def search(request: pytest.FixtureRequest, call: Call, context: ToolContext) -> Call:
    if request.param == "grep":
        context.sandbox = WithoutRipgrep(context)  # type: ignore[assignment]
    elif not context.sandbox.has("rg"):
        pytest.skip("there is no ripgrep here")
    return call


def test_text_when_pattern_matches_then_lists_path_line_and_text(search: Call) -> None:
    found = search("search", pattern=r"add\(\w+, b\)")
    assert found.text == "README.md:3:Use add(a, b) to add.\nsrc/pkg/calc.py:4:def add(a, b):"
    assert found.data["matches"] == 2


def test_text_when_path_and_glob_are_given_then_only_there(search: Call) -> None:
    assert search("search", pattern="add", path="tests").text == "tests/test_calc.py:1:def test_add():"
    assert "README" not in search("search", pattern="add", glob="*.py").text
    assert search("search", pattern="add", glob="*.{md,js}").text == "README.md:3:Use add(a, b) to add."
    assert search("search", pattern="import", path="src/pkg/calc.py").text == "src/pkg/calc.py:1:import os"


def test_text_when_nothing_matches_then_says_so(search: Call) -> None:
    found = search("search", pattern="nowhere_to_be_found", glob="*.py", path="src")
    assert found.text == "No match for 'nowhere_to_be_found' under src in *.py."
    assert found.ok


def test_text_when_pattern_is_no_valid_regex_then_is_read_as_plain_text_and_said(search: Call) -> None:
    found = search("search", pattern="add(result")
    assert found.text.startswith("(no match as a regular expression; as plain text:)\nsrc/pkg/calc.py:12:")
    missing = search("search", pattern="add(nothing")
    assert "is not a valid pattern" in missing.text
    assert not missing.ok


def test_text_when_valid_regex_was_meant_as_text_then_finds_it(search: Call) -> None:
    assert "src/pkg/calc.py:4:def add(a, b):" in search("search", pattern="def add(a, b):").text


def test_text_when_there_are_too_many_matches_then_says_how_many_are_left_out(
    search: Call, context: ToolContext
) -> None:
    context.sandbox.write("many.txt", b"needle\n" * 5000)
    found = search("search", pattern="needle")
    assert f"[{MAX_MATCHES} of 5000 results;" in found.text
    assert len(found.text.splitlines()) == MAX_MATCHES + 1


def test_text_when_lines_are_huge_then_they_are_cut(search: Call, context: ToolContext) -> None:
    context.sandbox.write("min.js", b"x" * 500_000 + b"needle" + b"y" * 500_000)
    context.sandbox.write("other.txt", b"needle here\n")
    found = search("search", pattern="needle")
    assert "other.txt:1:needle here" in found.text
    assert len(found.text) < 1000


def test_text_when_file_is_binary_then_its_bytes_are_not_shown(search: Call, context: ToolContext) -> None:
    context.sandbox.write("data.bin", b"\0\1\2needle\xff\xfe\n")
    context.sandbox.write("plain.txt", b"needle\n")
    found = search("search", pattern="needle")
    assert "plain.txt:1:needle" in found.text
    assert "\0" not in found.text


def test_text_when_pattern_looks_like_an_option_then_is_a_pattern(search: Call, context: ToolContext) -> None:
    context.sandbox.write("options.txt", b"--files -e x; $(touch pwned) `id`\n")
    assert "options.txt:1:" in search("search", pattern="--files").text
    assert "options.txt:1:" in search("search", pattern="$(touch pwned)").text
    with pytest.raises(FileNotFoundError):
        context.sandbox.read("pwned")


def test_text_when_case_is_to_be_ignored_then_the_usual_prefix_works(search: Call) -> None:
    assert "README.md:1:# Calc" in search("search", pattern="(?i)# CALC").text


def test_search_when_path_is_missing_then_says_so(search: Call) -> None:
    found = search("search", pattern="x", path="no/such")
    assert found.text == "There is no no/such; search without path, or with kind=file."
    assert not found.ok


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("calc", ["src/pkg/calc.py", "tests/test_calc.py"]),
        ("CALC.PY", ["src/pkg/calc.py", "tests/test_calc.py"]),
        ("*.md", ["README.md"]),
        ("src/**", ["src/pkg/calc.py"]),
        ("**/test_*.py", ["tests/test_calc.py"]),
        ("pkg/calc", ["src/pkg/calc.py"]),
        (".gitignore", [".gitignore"]),
    ],
)
def test_file_when_pattern_is_a_part_or_a_glob_then_lists_paths(search: Call, pattern: str, paths: list[str]) -> None:
    assert search("search", pattern=pattern, kind="file").text.splitlines() == paths


def test_file_when_pattern_is_a_regex_then_is_read_as_one_and_said(search: Call) -> None:
    found = search("search", pattern=r"calc.*\.py$", kind="file").text
    assert found == "(read as a regular expression:)\nsrc/pkg/calc.py\ntests/test_calc.py"


def test_file_when_none_is_named_so_then_says_so(search: Call) -> None:
    assert search("search", pattern="zzz", kind="file").text == "No file named 'zzz'. Try a part of the name."


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("add", "src/pkg/calc.py:4:def add(a, b):"),
        ("Calc.total", "src/pkg/calc.py:9:    def total(self, numbers):"),
        ("Calc", "src/pkg/calc.py:8:class Calc:"),
        ("start", "web/app.js:1:const start = () => 1;"),
        ("render", "web/app.js:4:  render(a) {"),
    ],
)
def test_symbol_when_it_is_defined_then_shows_the_definition_only(search: Call, name: str, line: str) -> None:
    assert search("search", pattern=name, kind="symbol").text == line


def test_symbol_when_pattern_is_no_name_then_says_what_is_needed(search: Call) -> None:
    assert "needs one name" in search("search", pattern="def add", kind="symbol").text
    assert "Try kind=text" in search("search", pattern="nobody", kind="symbol").text


def test_search_when_secret_is_in_a_match_then_it_is_replaced(search: Call, context: ToolContext) -> None:
    context.sandbox.write("key.txt", b"token=hunter2\n")
    context.redact = lambda text: text.replace("hunter2", "[secret]")
    assert search("search", pattern="token=").text == "key.txt:1:token=[secret]"


def test_both_programs_when_asked_the_same_then_answer_the_same(context: ToolContext) -> None:
    if not context.sandbox.has("rg"):
        pytest.skip("there is no ripgrep here")
    questions = [
        SearchArgs(pattern=r"\badd\b"),
        SearchArgs(pattern="def|class", glob="*.py"),
        SearchArgs(pattern="add", kind="symbol"),
        SearchArgs(pattern="*.py", kind="file"),
        SearchArgs(pattern="calc", kind="file", path="src"),
    ]

    def ask() -> list[Observation]:
        return [SEARCH.run(question, context) for question in questions]

    with_ripgrep = ask()
    context.sandbox = WithoutRipgrep(context)  # type: ignore[assignment]
    assert [answer.text for answer in ask()] == [answer.text for answer in with_ripgrep]
