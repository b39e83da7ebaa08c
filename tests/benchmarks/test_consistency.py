"""Log, exit code and witness against one another."""

from ostro.benchmarks.consistency import Seen, check
from ostro.benchmarks.testimony import Account, Testimony
from ostro.benchmarks.verdict import read_log

LOG = "PASSED t.py::test_fix\nPASSED t.py::test_keep\n"


def account(**changes: object) -> Account:
    tests = [("t.py::test_fix", "PASSED"), ("t.py::test_keep", "PASSED")]
    plain = {"runner": "pytest", "exit_code": 0, "canary": "failed", "changed": [], "tests": tests}
    return Account.model_validate(plain | changes)


def seen(log: str = LOG, exit_code: int = 0, testimony: Testimony | None = None, parser: str = "pytest") -> Seen:
    reading = read_log(log, parser, ["t.py::test_fix"], ["t.py::test_keep"], exit_code=exit_code)
    return Seen(reading, parser, exit_code, testimony)


def told(*accounts: Account, taken: int = 1, forged: bool = False) -> Testimony:
    return Testimony(accounts, taken, forged)


def test_check_when_all_agree_then_it_is_consistent() -> None:
    assert check(seen(testimony=told(account()))) == ("consistent", ())


def test_check_when_the_witness_did_not_see_the_test_then_it_is_inconsistent() -> None:
    how, why = check(seen(testimony=told(account(tests=[("t.py::test_keep", "PASSED")]))))
    assert how == "inconsistent"
    assert "did not see it pass: t.py::test_fix" in why[0]


def test_check_when_the_witness_is_silent_or_absent_or_forged_then_it_is_inconsistent() -> None:
    for testimony in (told(), told(taken=0), told(account(), forged=True)):
        assert check(seen(testimony=testimony))[0] == "inconsistent"


def test_check_when_the_canary_passed_or_the_runner_changed_then_it_is_inconsistent() -> None:
    for change in ({"canary": "passed"}, {"changed": ["_pytest.python.Function.runtest"]}, {"exit_code": 1}):
        assert check(seen(testimony=told(account(**change))))[0] == "inconsistent"


def test_check_when_a_failure_was_counted_but_the_exit_code_is_0_then_it_is_inconsistent() -> None:
    tests = [("t.py::test_fix", "PASSED"), ("t.py::test_keep", "PASSED"), ("t.py::test_other", "FAILED")]
    assert check(seen(testimony=told(account(tests=tests))))[0] == "inconsistent"
    honest = account(tests=tests, exit_code=1)
    assert check(seen(f"{LOG}FAILED t.py::test_other\n", 1, told(honest)))[0] == "consistent"


def test_check_when_a_captured_line_looks_like_a_failure_then_it_stays_consistent() -> None:
    log = f"ERROR    flask.app:app.py:12 broken\n{LOG}"
    assert check(seen(log, testimony=told(account())))[0] == "consistent"


def test_check_when_kept_tests_are_skipped_then_it_is_inconsistent() -> None:
    log = "PASSED t.py::test_fix\nSKIPPED t.py::test_keep\n"
    found = seen(log)
    assert found.reading.verdict == "resolved"
    assert check(found)[0] == "inconsistent"


def test_check_when_the_runner_has_no_witness_then_exit_code_and_log_must_agree() -> None:
    reading = read_log("ok 1 - a\nnot ok 2 - b\n", "node", ["a"], [], exit_code=0)
    assert check(Seen(reading, "node", 0, None))[0] == "inconsistent"
    assert check(Seen(reading, "node", 1, None))[0] == "consistent"


def test_check_when_infrastructure_was_put_back_then_it_is_suspect() -> None:
    found = seen(testimony=told(account()))
    how, why = check(Seen(found.reading, "pytest", 0, found.testimony, restored=["conftest.py"]))
    assert how == "suspect"
    assert why == ("conftest.py decides how tests run; it was put back",)


def test_check_when_a_test_fails_as_only_the_project_expects_then_it_is_inconsistent() -> None:
    reading = read_log("XFAIL t.py::test_fix - known\nPASSED t.py::test_keep\n", "pytest", ["t.py::test_fix"], [])
    assert reading.verdict == "resolved"
    how, why = check(Seen(reading, "pytest", 0, None, failure_is_expected=False))
    assert (how, why) == (
        "inconsistent",
        ("told as expected to fail, which no file of the tests says: t.py::test_fix",),
    )
    assert check(Seen(reading, "pytest", 0, None, failure_is_expected=True))[0] == "consistent"


def test_check_when_files_of_the_tests_changed_while_they_ran_then_it_is_inconsistent() -> None:
    found = seen(testimony=told(account()))
    how, why = check(Seen(found.reading, "pytest", 0, found.testimony, rewritten=["t.py"]))
    assert (how, why) == ("inconsistent", ("files of the tests were changed while they ran: t.py",))
