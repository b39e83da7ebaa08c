"""Logs in, statuses out: excerpts as the three frameworks print them."""

from hypothesis import given
from hypothesis import strategies as st

from ostro.benchmarks.parsers import PARSERS, TestStatus, not_passing, parse_django, parse_pytest, parse_sympy

PYTEST_LOG = """\
tests/test_a.py .F.s                                                     [100%]
=================================== FAILURES ===================================
=========================== short test summary info ============================
PASSED tests/test_a.py::test_one
PASSED tests/test_a.py::test_param[a b-1]
SKIPPED [1] tests/test_a.py:9: not here
XFAIL tests/test_a.py::test_known - a reason
FAILED tests/test_a.py::test_two - AssertionError: assert 1 == 2
ERROR tests/test_b.py - ImportError: no module
========================= 1 failed, 2 passed, 1 skipped =========================
"""

DJANGO_LOG = """\
Testing against Django installed in '/workspace/django'
test_plain (app.tests.Case.test_plain) ... ok
test_fails (app.tests.Case.test_fails) ... FAIL
test_breaks (app.tests.Case.test_breaks) ... ERROR
test_left (app.tests.Case.test_left) ... skipped 'no database'
test_known (app.tests.Case.test_known) ... expected failure
test_worded (app.tests.Case.test_worded)
Says what it does. ... ok
test_noisy (app.tests.Case.test_noisy) ... a warning
more output
ok
test_broken_line (app.tests.Case.test_broken_line) ...
ok
======================================================================
FAIL: test_fails (app.tests.Case.test_fails)
----------------------------------------------------------------------
ok
"""

SYMPY_LOG = """\
sympy/sets/tests/test_contains.py[4]
test_contains_basic ok
test_issue_6194 F
test_known f
test_as_set E                                                             [FAIL]
________________________________________________________________________________
____________ sympy/sets/tests/test_contains.py:test_type_error ____________
test_type_error ok
"""


def test_pytest_when_every_status_occurs_then_each_name_ends_at_the_first_blank() -> None:
    assert parse_pytest(PYTEST_LOG) == {
        "tests/test_a.py::test_one": TestStatus.PASSED,
        "tests/test_a.py::test_param[a": TestStatus.PASSED,
        "tests/test_a.py::test_known": TestStatus.XFAIL,
        "tests/test_a.py::test_two": TestStatus.FAILED,
        "tests/test_b.py": TestStatus.ERROR,
    }


def test_pytest_when_a_passed_test_breaks_at_its_end_then_the_error_counts() -> None:
    log = "PASSED t.py::test_a\nERROR t.py::test_a - at teardown\n"
    assert parse_pytest(log) == {"t.py::test_a": TestStatus.ERROR}


def test_django_when_output_stands_between_then_results_reach_their_tests() -> None:
    assert parse_django(DJANGO_LOG) == {
        "test_plain (app.tests.Case.test_plain)": TestStatus.PASSED,
        "test_fails (app.tests.Case.test_fails)": TestStatus.FAILED,
        "test_breaks (app.tests.Case.test_breaks)": TestStatus.FAILED,
        "test_left (app.tests.Case.test_left)": TestStatus.SKIPPED,
        "test_known (app.tests.Case.test_known)": TestStatus.XFAIL,
        "Says what it does.": TestStatus.PASSED,
        "test_noisy (app.tests.Case.test_noisy)": TestStatus.PASSED,
        "test_broken_line (app.tests.Case.test_broken_line)": TestStatus.PASSED,
    }


def test_django_when_a_failure_is_followed_by_ok_then_it_stays_a_failure() -> None:
    assert parse_django("test_a (m.C.test_a) ... FAIL\nok\n") == {"test_a (m.C.test_a)": TestStatus.FAILED}


def test_sympy_when_a_heading_names_a_failure_then_its_line_cannot_mend_it() -> None:
    assert parse_sympy(SYMPY_LOG) == {
        "test_type_error": TestStatus.FAILED,
        "test_contains_basic": TestStatus.PASSED,
        "test_issue_6194": TestStatus.FAILED,
        "test_known": TestStatus.XFAIL,
        "test_as_set": TestStatus.FAILED,
    }


def test_not_passing_when_a_test_is_absent_or_failed_then_it_is_named_in_order() -> None:
    statuses = {"a": TestStatus.PASSED, "b": TestStatus.FAILED, "c": TestStatus.XFAIL}
    assert not_passing(["z", "a", "b", "c"], statuses) == ("z", "b")


@given(st.sampled_from(sorted(PARSERS)), st.text())
def test_parsers_when_the_log_is_anything_then_they_return_statuses_only(name: str, log: str) -> None:
    assert all(isinstance(status, TestStatus) for status in PARSERS[name](log).values())
