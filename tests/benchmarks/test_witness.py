"""The witness: that any Python of a task can read it, and what it says of a run."""

import ast
from importlib.resources import files
from pathlib import Path

import pytest

from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.grading import specification
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.instance_files import SUITE, read_instances
from ostro.benchmarks.statuses import TestStatus
from ostro.benchmarks.testimony import PythonStand, Testimony, statuses_of
from ostro.sandbox.open import open_sandbox


def hear(instance: Instance, home: Path, scratch: Path, command: str) -> Testimony:
    environment = build_environment(instance, "local", home)
    with open_sandbox("local", specification(instance, environment, scratch)) as box:
        stand = PythonStand(command)
        box.run(f"{stand.prepare(box)}{command}", timeout_s=120)
        return stand.heard(box)


@pytest.fixture(scope="module")
def suite() -> dict[str, Instance]:
    return {one.instance_id: one for one in read_instances(SUITE)}


def test_witness_when_read_by_an_old_python_then_its_syntax_is_known() -> None:
    ast.parse(files("ostro.benchmarks").joinpath("witness.py").read_text(), feature_version=(3, 6))


def test_witness_when_pytest_runs_then_names_statuses_and_canary_are_told(
    suite: dict[str, Instance], instances_home: Path, tmp_path: Path
) -> None:
    told = hear(suite["ostro__ledger"], instances_home, tmp_path, "python -m pytest -q tests")
    (account,) = told.accounts
    assert (account.runner, account.exit_code, account.canary, account.changed) == ("pytest", 0, "failed", ())
    assert ("tests/test_accounts.py::test_one_entry[1]", "PASSED") in account.tests
    assert statuses_of(told.accounts, "pytest")["tests/test_accounts.py::test_empty_account"] == {TestStatus.PASSED}


def test_witness_when_two_runners_are_started_then_each_has_its_own(
    suite: dict[str, Instance], instances_home: Path, tmp_path: Path
) -> None:
    command = "python3 -m unittest -v tests.test_calendar_day.TestFree; python3 -m unittest tests.test_calendar_day"
    told = hear(suite["ostro__slots"], instances_home, tmp_path, command)
    assert told.taken == 2
    assert [len(one.tests) for one in told.accounts] == [2, 4]
    named = statuses_of(told.accounts, "unittest")
    assert named["Spans with a gap stay two."] == {TestStatus.PASSED}


@pytest.mark.parametrize(
    ("command", "taken"),
    [("python3 -c 'import os; os._exit(0)  # pytest'", 1), ("python3 -I -m unittest", 0), ("true", 0)],
)
def test_witness_when_it_cannot_speak_or_come_in_then_there_is_no_account(
    suite: dict[str, Instance], instances_home: Path, tmp_path: Path, command: str, taken: int
) -> None:
    told = hear(suite["ostro__slots"], instances_home, tmp_path, command)
    assert (told.accounts, told.taken, told.forged) == ((), taken, False)
