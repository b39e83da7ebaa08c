"""Parsers for the test runners of Python projects: pytest and its variants, Django (and unittest), SymPy, seaborn.

Each reads what swebench's parser of the same name reads, its quirks included, for a verdict must be the same on the
same log. What a quirk lets through is caught elsewhere: benchmarks/consistency.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ostro.benchmarks.statuses import Statuses, TestStatus

_STATUS_NAMES = tuple(TestStatus)
_SKIP_COUNT = re.compile(r"\[\d+\]$")
_OPTION = re.compile(r"(.*?)\[(.*)\]")
_COLOUR = re.compile(r"\[(\d+)m")
_CONTROL = dict.fromkeys(range(1, 32))

_DJANGO_OK = re.compile(r"(.*) \.\.\.  ?(?:ok|OK)$")
_DJANGO_INTERRUPTED = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^(.*?)\s\.\.\.\sTesting against Django installed in (?s:.*?) silenced\)\.\nok$",
        r"^(.*?)\s\.\.\.\sInternal Server Error: /.*/\nok$",
        r"^(.*?)\s\.\.\.\sSystem check identified no issues \(0 silenced\)\nok$",
    )
)
_DJANGO_VERSION_TEST = "--version is equivalent to version"
_DJANGO_MIGRATION = "Applying sites.0002_alter_domain_unique...test_no_migrations"
_SYMPY_HEADING = re.compile(r"_* (.*)\.py:(.*) _*")


def parse_pytest(log: str) -> Statuses:
    """Read the short summary that `pytest -rA` prints; a name ends at its first blank, the last line counts."""
    return dict(_summary_lines(log))


def parse_pytest_options(log: str) -> Statuses:
    """As `parse_pytest`; a path as a parameter is cut to its last part: `test[/tmp/x/a.py]` is `test[/a.py]`."""
    return {_short_option(name): status for name, status in _summary_lines(log)}


def parse_matplotlib(log: str) -> Statuses:
    """As `parse_pytest`, with the mouse buttons that Python 3.11 and later print by name given by number."""
    return parse_pytest(log.replace("MouseButton.LEFT", "1").replace("MouseButton.RIGHT", "3"))


def parse_pytest_v2(log: str) -> Statuses:
    """Read summary lines with names that may hold blanks, and `name STATUS` lines of old versions; colours removed."""
    statuses: Statuses = {}
    for raw in log.split("\n"):
        line = _COLOUR.sub("", raw).translate(_CONTROL)
        if line.startswith(_STATUS_NAMES):
            head = line.split(" - ", 1)[0] if line.startswith("FAILED") else line
            words = head.split()
            if len(words) > 1 and (status := _status(words[0])) and not _is_skip_count(words):
                statuses[" ".join(words[1:])] = status
        elif line.endswith(_STATUS_NAMES):
            words = line.split()
            if len(words) > 1 and (status := _status(words[-1])):
                statuses[" ".join(words[:-1])] = status
    return statuses


def parse_seaborn(log: str) -> Statuses:
    """Read passed and failed tests from the summary or, of old versions, from the progress lines."""
    statuses: Statuses = {}
    for line in log.split("\n"):
        words = line.split()
        if len(words) < 2:
            continue
        if line.startswith("FAILED"):
            statuses[words[1]] = TestStatus.FAILED
        elif " PASSED " in line:
            if words[1] == "PASSED":
                statuses[words[0]] = TestStatus.PASSED
        elif line.startswith("PASSED"):
            statuses[words[1]] = TestStatus.PASSED
    return statuses


def parse_django(log: str) -> Statuses:
    """Read the lines of Django's runner at `--verbosity 2`, and of `unittest -v`.

    A name is the text before ` ... `: of a test with a docstring, the docstring's first line. Output may stand
    between a name and its result.
    """
    statuses: Statuses = {}
    current: str | None = None
    for raw in log.split("\n"):
        line = raw.strip()
        if _DJANGO_VERSION_TEST in line:
            statuses[_DJANGO_VERSION_TEST] = TestStatus.PASSED
        if " ... " in line:
            current = line.split(" ... ", 1)[0]
        statuses.update(_django_line(line))
        if current is not None and line.startswith("ok"):
            statuses[current] = TestStatus.PASSED
    for pattern in _DJANGO_INTERRUPTED:
        statuses.update((match[1], TestStatus.PASSED) for match in pattern.finditer(log))
    return statuses


def _django_line(line: str) -> Iterator[tuple[str, TestStatus]]:
    if line.endswith((" ... ok", " ... OK", " ...  OK")):
        text = line.split("...", 1)[-1].strip() if line.startswith(_DJANGO_MIGRATION) else line
        if match := _DJANGO_OK.match(text):
            yield match[1], TestStatus.PASSED
    if " ... skipped" in line:
        yield line.split(" ... skipped", 1)[0], TestStatus.SKIPPED
    for word, status in (("FAIL", TestStatus.FAILED), ("ERROR", TestStatus.ERROR)):
        if line.endswith(f" ... {word}"):
            yield line.split(f" ... {word}", 1)[0], status
        if line.startswith(f"{word}:") and len(words := line.split()) > 1:
            yield words[1], status


def parse_sympy(log: str) -> Statuses:
    """Read the verbose lines of `sympy.test`, and the headings of its failures as `file.py:name`."""
    statuses: Statuses = {
        f"{match[1]}.py:{match[2]}": TestStatus.FAILED
        for line in log.split("\n")
        if ".py:" in line
        for match in _SYMPY_HEADING.finditer(line)
    }
    endings = {" E": TestStatus.ERROR, " F": TestStatus.FAILED, " ok": TestStatus.PASSED}
    for line in map(str.strip, log.split("\n")):
        if line.startswith("test_"):
            statuses.update((line.split()[0], status) for end, status in endings.items() if line.endswith(end))
    return statuses


def _summary_lines(log: str) -> Iterator[tuple[str, TestStatus]]:
    for line in log.split("\n"):
        if line.startswith(_STATUS_NAMES):
            words = line.split()
            if len(words) > 1 and (status := _status(words[0])) and not _is_skip_count(words):
                yield words[1], status


def _status(word: str) -> TestStatus | None:
    return TestStatus(word) if word in _STATUS_NAMES else None


def _is_skip_count(words: list[str]) -> bool:
    """Whether this is `SKIPPED [3] file:line: reason`, which names no test."""
    return words[0] == "SKIPPED" and _SKIP_COUNT.match(words[1]) is not None


def _short_option(name: str) -> str:
    match = _OPTION.search(name)
    if match is None:
        return name
    main, option = match.groups()
    if option.startswith("/") and not option.startswith("//") and "*" not in option:
        option = "/" + option.rsplit("/", 1)[-1]
    return f"{main}[{option}]"
