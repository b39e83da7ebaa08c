"""The patterns of the search tool: what counts as a definition, and globs as regular expressions."""

from __future__ import annotations

import re

import pytest

from ostro.tools.search_commands import definition_pattern, extended, glob_pattern, is_identifier

DEFINITIONS = [
    "def run(self):",
    "    async def run(self, x):",
    "class run(Base):",
    "  def self.run",
    "function run(a, b) {",
    "export default async function run() {",
    "function* run() {",
    "const run = () => 1;",
    "  run: function (x) {",
    "  run(a, b) {",
    "  async run(a) {",
    "func run(x int) error {",
    "func (s *Server) run(ctx context.Context) error {",
    "type run struct {",
    "pub fn run<T>(x: T) -> T {",
    "struct run;",
    "static int run(int argc, char **argv)",
    "int *run (void) {",
    "void Server::run(int x) {",
    "#define run(x) (x)",
    "    public static void run(String[] args) {",
    "    private Map<String, Integer> run(int a) throws E {",
    "run() {",
    "run = 3",
    "run: int = 3",
    "interface run {",
    "defmodule run do",
    "trait run {",
    "namespace run {",
]

USES = [
    "x = run()",
    "    run()",
    "    return run(a, b)",
    "    run(a);",
    "if run == 3:",
    "    assert run(1) == 2",
    "rerun = 3",
    "run == 3",
    "def rerun(self):",
    "def runner():",
    "import run",
    "# the run is over",
]


def as_python(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("[[:space:]]", r"\s"))


@pytest.mark.parametrize("line", DEFINITIONS)
def test_definition_pattern_when_line_defines_the_name_then_matches(line: str) -> None:
    assert as_python(definition_pattern("run")).search(line)


@pytest.mark.parametrize("line", USES)
def test_definition_pattern_when_line_only_uses_the_name_then_does_not_match(line: str) -> None:
    assert not as_python(definition_pattern("run")).search(line)


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.py", ["a.py", "src/a.py"], ["a.pyc", "a.py/b"]),
        ("src/*.py", ["src/a.py", "x/src/a.py"], ["src/b/a.py"]),
        ("**/test_*.py", ["test_a.py", "a/b/test_a.py"], ["a/test_a.txt"]),
        ("src/**", ["src/a", "src/a/b"], ["source/a"]),
        ("*.{ts,tsx}", ["a.ts", "b/a.tsx"], ["a.tsy"]),
        ("a?[0-9].c", ["ab1.c"], ["a1.c", "abx.c"]),
        ("a+b(1).txt", ["a+b(1).txt"], ["aab1.txt"]),
    ],
)
def test_glob_pattern_when_matched_then_agrees_with_the_glob(glob: str, yes: list[str], no: list[str]) -> None:
    pattern = re.compile(glob_pattern(glob))
    assert all(pattern.search(path) for path in yes)
    assert not any(pattern.search(path) for path in no)


def test_extended_when_pattern_has_rust_classes_then_writes_them_out() -> None:
    assert extended(r"(?:def)\s+\w+\d") == "(def)[[:space:]]+[A-Za-z0-9_]+[0-9]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("parse_date", True), ("Parser.parse", True), ("A::b", True), ("empty?", True), ("a b", False), ("f(x", False)],
)
def test_is_identifier_when_text_is_a_name_then_is_true(text: str, expected: bool) -> None:
    assert is_identifier(text) is expected
