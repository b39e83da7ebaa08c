"""What a log says of one test: the vocabulary that parsers, verdicts and consistency checks share."""

from __future__ import annotations

from enum import StrEnum


class TestStatus(StrEnum):
    """The statuses that swebench's parsers know. A test that passed against expectation has none."""

    __test__ = False  # not a test class for pytest

    PASSED = "PASSED"
    FAILED = "FAILED"
    ERROR = "ERROR"
    SKIPPED = "SKIPPED"
    XFAIL = "XFAIL"


PASSING = frozenset({TestStatus.PASSED, TestStatus.XFAIL})
"""What SWE-bench's own grader counts as passed."""

FAILING = frozenset({TestStatus.FAILED, TestStatus.ERROR})

Statuses = dict[str, TestStatus]
