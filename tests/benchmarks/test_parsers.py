"""Logs in, statuses out: excerpts as the frameworks print them, read with swebench's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.benchmarks.parsers import PARSERS, canonical_name
from ostro.benchmarks.parsers_other import parse_maven, parse_node
from ostro.benchmarks.parsers_python import (
    parse_django,
    parse_pytest,
    parse_pytest_options,
    parse_pytest_v2,
    parse_seaborn,
    parse_sympy,
)
from ostro.benchmarks.statuses import TestStatus

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
======================================================================
FAIL: test_fails (app.tests.Case.test_fails)
----------------------------------------------------------------------
"""

SYMPY_LOG = """\
sympy/sets/tests/test_contains.py[4]
test_contains_basic ok
test_issue_6194 F
test_known f
test_as_set E                                                             [FAIL]
test_broken E
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


def test_pytest_v2_when_names_hold_blanks_and_colours_then_they_are_whole_and_plain() -> None:
    log = "\x1b[31mFAILED t.py::test_a[x y] - boom\x1b[0m\nt.py::test_old PASSED\nPASSED t.py::test_b[a b]\n"
    assert parse_pytest_v2(log) == {
        "t.py::test_a[x y]": TestStatus.FAILED,
        "t.py::test_old": TestStatus.PASSED,
        "t.py::test_b[a b]": TestStatus.PASSED,
    }


def test_pytest_options_when_a_parameter_is_a_path_then_its_last_part_stays() -> None:
    log = "PASSED t.py::test_a[/tmp/x/input.py]\nPASSED t.py::test_b[//host/x]\n"
    assert set(parse_pytest_options(log)) == {"t.py::test_a[/input.py]", "t.py::test_b[//host/x]"}


def test_seaborn_when_progress_and_summary_occur_then_both_are_read() -> None:
    log = "t.py::test_a PASSED [ 50%]\nPASSED t.py::test_b\nFAILED t.py::test_c - x\n"
    assert parse_seaborn(log) == {
        "t.py::test_a": TestStatus.PASSED,
        "t.py::test_b": TestStatus.PASSED,
        "t.py::test_c": TestStatus.FAILED,
    }


def test_django_when_output_stands_between_then_results_reach_their_tests() -> None:
    assert parse_django(DJANGO_LOG) == {
        "test_plain (app.tests.Case.test_plain)": TestStatus.PASSED,
        "test_fails (app.tests.Case.test_fails)": TestStatus.FAILED,
        "test_fails": TestStatus.FAILED,
        "test_breaks (app.tests.Case.test_breaks)": TestStatus.ERROR,
        "test_left (app.tests.Case.test_left)": TestStatus.SKIPPED,
        "Says what it does.": TestStatus.PASSED,
        "test_noisy (app.tests.Case.test_noisy)": TestStatus.PASSED,
    }


def test_sympy_when_a_heading_names_a_failure_then_it_stands_beside_the_line() -> None:
    assert parse_sympy(SYMPY_LOG) == {
        "sympy/sets/tests/test_contains.py:test_type_error": TestStatus.FAILED,
        "test_contains_basic": TestStatus.PASSED,
        "test_issue_6194": TestStatus.FAILED,
        "test_broken": TestStatus.ERROR,
        "test_type_error": TestStatus.PASSED,
    }


def test_maven_when_results_come_late_then_they_reach_the_tests_in_order() -> None:
    log = "+ mvn test -Dtest=A -q\n+ mvn test -Dtest=B\n[INFO] BUILD SUCCESS\n[INFO] BUILD FAILURE\n"
    assert parse_maven(log) == {"A": TestStatus.PASSED, "B": TestStatus.FAILED}


def test_node_when_directives_stand_behind_names_then_they_are_not_part_of_them() -> None:
    log = "TAP version 13\n    ok 1 - adds\n    not ok 2 - subtracts\nok 3 - later # SKIP\n# ok 4 - printed\n"
    assert parse_node(log) == {
        "adds": TestStatus.PASSED,
        "subtracts": TestStatus.FAILED,
        "later": TestStatus.SKIPPED,
    }


@pytest.mark.parametrize(
    ("line", "parser", "name", "status"),
    [
        ("--- PASS: TestAdd/one (0.00s)", "gotest", "TestAdd/one", TestStatus.PASSED),
        ("    --- FAIL: TestAdd/two (0.00s)", "gotest", "TestAdd/two", TestStatus.FAILED),
        ("test tests::adds ... ok", "cargo", "tests::adds", TestStatus.PASSED),
        ("  ✓ adds (3 ms)", "jest", "adds", TestStatus.PASSED),
        ("  ✕ subtracts", "jest", "subtracts", TestStatus.FAILED),
        ("[PASSED] math adds", "jest_json", "math adds", TestStatus.PASSED),
        (" ✓ test/a.test.ts > adds 3ms", "vitest", "test/a.test.ts > adds", TestStatus.PASSED),
        ("ok 1 - adds", "tap", "- adds", TestStatus.PASSED),
    ],
)
def test_parsers_when_one_line_is_given_then_name_and_status_are_read(
    line: str, parser: str, name: str, status: TestStatus
) -> None:
    assert PARSERS[parser](f"{line}\n") == {name: status}


def test_canonical_name_when_swebench_names_a_project_then_it_is_the_parser_it_shares() -> None:
    assert canonical_name("parse_log_sphinx") == "pytest_v2"
    assert canonical_name("parse_log_gotest") == "gotest"
    assert canonical_name("django") == "django"


@given(st.sampled_from(sorted(PARSERS)), st.text())
def test_parsers_when_the_log_is_anything_then_they_return_statuses_only(name: str, log: str) -> None:
    assert all(isinstance(status, TestStatus) for status in PARSERS[name](log).values())
