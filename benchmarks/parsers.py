"""Read which tests passed from the log of a test run: one pure function a framework.

Names are those that SWE-bench's rows use: for pytest the node id up to its first blank, for Django the line before
` ... ` (the docstring, where a test has one), for SymPy the function's name. Django's runner is unittest's with more
output around it, so one function reads both. Called by benchmarks/grading.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum


class TestStatus(StrEnum):
    """What a log says of one test."""

    __test__ = False  # not a test class for pytest

    PASSED = "PASSED"
    FAILED = "FAILED"
    ERROR = "ERROR"
    SKIPPED = "SKIPPED"
    XFAIL = "XFAIL"
    XPASS = "XPASS"


PASSING = frozenset({TestStatus.PASSED, TestStatus.XFAIL})
"""What SWE-bench's own grader counts as passed."""

Statuses = dict[str, TestStatus]

_PYTEST_LINE = re.compile(r"(PASSED|FAILED|ERROR|XFAIL|XPASS) (\S+)")
_DJANGO_HEADING = re.compile(r"(?:FAIL|ERROR): (.+?)(?: \[.*)?$")
_DJANGO_OK = re.compile(r"(?:^|[\s)])(?:ok|OK)$")
_SYMPY_HEADING = re.compile(r"_+ \S+\.py:(\S+) _+$")
_SYMPY_LINE = re.compile(r"(test_\S+) (ok|[FEfXsw])(?:\s|$)")
_SYMPY_STATUS = {
    "ok": TestStatus.PASSED,
    "f": TestStatus.XFAIL,
    "X": TestStatus.XPASS,
    "s": TestStatus.SKIPPED,
    "w": TestStatus.SKIPPED,
}


def parse_pytest(log: str) -> Statuses:
    """Read the short summary that `pytest -rA` prints; the last line about a test counts.

    A skipped test is left out: pytest gives the place of the skip there, not the test's name.
    """
    found = (_PYTEST_LINE.match(line) for line in log.splitlines())
    return {match[2]: TestStatus(match[1]) for match in found if match}


def parse_django(log: str) -> Statuses:
    """Read the lines of Django's runner at `--verbosity 2`, where output may stand between a name and its result."""
    statuses: Statuses = {}
    current = ""
    for line in (raw.rstrip("\r") for raw in log.splitlines()):
        name, dots, result = f"{line} ".lstrip().partition(" ... ")
        if dots:
            current = name
        else:
            result = line
        status = _django_status(result.strip(), named=bool(dots))
        if current and status is TestStatus.PASSED:
            statuses.setdefault(current, status)  # a stray "ok" must not mend a failure
        elif current and status is not None:
            statuses[current] = status
        if heading := _DJANGO_HEADING.match(line.strip()):
            statuses[heading[1]] = TestStatus.FAILED
    return statuses


def _django_status(result: str, *, named: bool) -> TestStatus | None:
    """Return what the text after a test's name says; without the name only "ok" is certain enough."""
    if _DJANGO_OK.search(result):
        return TestStatus.PASSED
    if not named:
        return None
    if result.startswith("skipped"):
        return TestStatus.SKIPPED
    if result.endswith("expected failure"):
        return TestStatus.XFAIL
    if result.endswith(("FAIL", "ERROR", "unexpected success")):
        return TestStatus.FAILED
    return None


def parse_sympy(log: str) -> Statuses:
    """Read the verbose lines of `sympy.test`; a failure's heading counts more than its line."""
    lines = [line.strip() for line in log.splitlines()]
    statuses = {match[1]: TestStatus.FAILED for line in lines if (match := _SYMPY_HEADING.match(line))}
    for match in filter(None, map(_SYMPY_LINE.match, lines)):
        statuses.setdefault(match[1], _SYMPY_STATUS.get(match[2], TestStatus.FAILED))
    return statuses


PARSERS: Mapping[str, Callable[[str], Statuses]] = {
    "pytest": parse_pytest,
    "django": parse_django,
    "sympy": parse_sympy,
    "unittest": parse_django,
}


def not_passing(names: Iterable[str], statuses: Statuses) -> tuple[str, ...]:
    """Return those of `names` that the log does not show as passed, in their order."""
    return tuple(name for name in names if statuses.get(name) not in PASSING)
