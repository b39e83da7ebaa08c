"""From logs to verdicts, by swebench's rules."""

import pytest

from ostro.benchmarks.results import Verdict
from ostro.benchmarks.statuses import TestStatus
from ostro.benchmarks.verdict import EvalType, read_log, status_of


def judge(log: str, exit_code: int = 0, eval_type: EvalType = "pass_and_fail") -> Verdict:
    return read_log(log, "pytest", ["fix1", "fix2"], ["keep"], exit_code=exit_code, eval_type=eval_type).verdict


@pytest.mark.parametrize(
    ("log", "exit_code", "verdict"),
    [
        ("PASSED fix1\nPASSED fix2\nPASSED keep\n", 0, "resolved"),
        ("PASSED fix1\r\nXFAIL fix2\r\nSKIPPED keep\r\n", 0, "resolved"),
        ("PASSED fix1\nFAILED fix2\nPASSED keep\n", 1, "partial"),
        ("PASSED fix1\nSKIPPED fix2\nPASSED keep\n", 0, "partial"),
        ("PASSED fix1\nPASSED fix2\nFAILED keep\n", 1, "unresolved"),
        ("PASSED fix1\nPASSED fix2\n", 0, "unresolved"),
        ("PASSED fix1\nPASSED fix2\nPASSED keep\n", 1, "unresolved"),
        ("PASSED fix1\nPASSED fix2\nPASSED keep\nFAILED other\n", 1, "resolved"),
        ("PASSED fix1\nPASSED fix2\nPASSED keep\n>>>>> Tests Timed Out\n", 0, "unresolved"),
        ("", 0, "unresolved"),
    ],
)
def test_verdict_when_the_log_says_so_then_swebenchs_rule_holds(log: str, exit_code: int, verdict: Verdict) -> None:
    assert judge(log, exit_code) == verdict


def test_verdict_when_only_failures_are_named_then_absent_tests_passed_if_the_suite_ran() -> None:
    assert judge("Tests: 12 passed\n", eval_type="fail_only") == "resolved"
    assert judge("FAILED fix1\n", 1, "fail_only") == "partial"
    assert judge("could not start the browser\n", eval_type="fail_only") == "unresolved"


def test_status_when_a_name_is_cut_off_then_candidates_must_agree() -> None:
    statuses = {"t[log(a)-1]": TestStatus.PASSED, "t[log(a)-2]": TestStatus.XFAIL, "t[exp(a)-1]": TestStatus.FAILED}
    assert status_of("t[log(a", statuses) in {TestStatus.PASSED, TestStatus.XFAIL}
    assert status_of("t[", statuses) is None
    assert status_of("t", statuses) is None
