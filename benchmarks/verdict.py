"""From the text of a test run to a verdict, by swebench's rules. Pure.

The rules are those of swebench 5.0.2 (harness/grading.py), compared with the package itself on thousands of logs by
benchmarks/differential.py; docs/benchmark-method.md says where and why the two may differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ostro.benchmarks.parsers import PARSERS
from ostro.benchmarks.results import TestOutcomes, Verdict
from ostro.benchmarks.statuses import FAILING, PASSING, Statuses, TestStatus

EvalType = Literal["pass_and_fail", "fail_only"]
"""`fail_only`: the log names only tests that failed, so one that it does not name has passed."""

ERROR_MARKERS = (
    ">>>>> Patch Apply Failed",
    ">>>>> Reset Failed",
    ">>>>> Tests Errored",
    ">>>>> Tests Timed Out",
)
"""Lines by which swebench's own scripts say that no test ran; in a log, they make it worthless."""

_SUITE_RAN = re.compile(
    r"Executed [1-9]\d* of \d+|TOTAL: [1-9]\d* (?:SUCCESS|FAILED)|[1-9]\d* passing|Tests:\s+[1-9]\d*"
    r"|Test Suites:\s+(?:\d+ \w+, )*[1-9]\d* total|^# tests [1-9]\d*|[1-9]\d* specs?, \d+ failures?|': ok$",
    re.MULTILINE,
)
"""Signs that a runner whose log names failures only did run."""


@dataclass(frozen=True)
class Reading:
    """What a log says.

    Attributes:
        statuses: by test name.
        valid: a test run is described at all; without that nothing counts as passed.
    """

    statuses: Statuses
    valid: bool
    fail_to_pass: TestOutcomes
    pass_to_pass: TestOutcomes

    @property
    def verdict(self) -> Verdict:
        """Full when all of both lists passed; partial when some of the first and all of the second did."""
        if not self.valid or self.pass_to_pass.failure:
            return "unresolved"
        if not self.fail_to_pass.failure:
            return "resolved"
        return "partial" if self.fail_to_pass.success else "unresolved"


def read_log(
    log: str,
    parser: str,
    fail_to_pass: Iterable[str],
    pass_to_pass: Iterable[str],
    *,
    exit_code: int | None = 0,
    eval_type: EvalType = "pass_and_fail",
    surroundings: str = "",
) -> Reading:
    """Judge the output of a test command.

    Args:
        log: what the test command printed, and nothing else.
        parser: a key of `PARSERS`.
        fail_to_pass: names of the tests that must pass now.
        pass_to_pass: names of the tests that must still pass.
        exit_code: of the test command; None where it is not known.
        eval_type: how an absent test counts.
        surroundings: the whole log of an evaluation script, looked at only where `log` names no test.
    """
    text, whole = normal_newlines(log), normal_newlines(surroundings or log)
    statuses = PARSERS[parser](text) or PARSERS[parser](whole)
    valid = bool(statuses) or _SUITE_RAN.search(whole) is not None
    if any(marker in whole for marker in ERROR_MARKERS):
        valid = False
    if exit_code and statuses and not FAILING & set(statuses.values()):
        valid = False  # a run that failed without a failure is not the one that the log describes
    return Reading(
        statuses,
        valid,
        _outcomes(fail_to_pass, statuses if valid else {}, valid=valid, eval_type=eval_type, skips_count=False),
        _outcomes(pass_to_pass, statuses if valid else {}, valid=valid, eval_type=eval_type, skips_count=True),
    )


def normal_newlines(text: str) -> str:
    """Return the text with every kind of line end as a line feed, as Python's text mode reads a log."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def status_of(name: str, statuses: Statuses) -> TestStatus | None:
    """Return the status of a test; one whose name the data set cut off inside its parameters is found by its beginning.

    676 names of SWE-bench Verified are cut off like that. It counts only where all candidates agree.
    """
    if name in statuses:
        return statuses[name]
    if name.count("[") <= name.count("]"):
        return None
    found = [status for key, status in statuses.items() if key.startswith(name)]
    return found[0] if found and len({status in PASSING for status in found}) == 1 else None


def _outcomes(
    names: Iterable[str], statuses: Statuses, *, valid: bool, eval_type: EvalType, skips_count: bool
) -> TestOutcomes:
    success: list[str] = []
    failure: list[str] = []
    for name in names:
        if eval_type == "fail_only":
            good = valid and statuses.get(name) is not TestStatus.FAILED
        else:
            status = status_of(name, statuses)
            good = status in PASSING or (skips_count and status is TestStatus.SKIPPED)
        (success if good else failure).append(name)
    return TestOutcomes(success=tuple(success), failure=tuple(failure))
