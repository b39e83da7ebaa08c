"""Several attempts: early agreement, and the choice by running every attempt's tests on every patch."""

from __future__ import annotations

from pathlib import Path

from ostro.agent.attempt import AttemptResult
from ostro.agent.outcome import Ending, Outcome, Tokens
from ostro.agent.selection import best_index, own_tests, select, split
from ostro.sandbox.host_git import prepare_base
from ostro.sandbox.open import open_sandbox
from ostro.sandbox.protocol import Sandbox, SandboxSpec
from ostro.sandbox.repository import inspect_repository
from tests.driving import SOLVE, drive, make_repository

RIGHT = b"""diff --git a/price.py b/price.py
--- a/price.py
+++ b/price.py
@@ -1,2 +1,2 @@
 def total(prices):
-    return sum(prices) + 1
+    return sum(prices)
"""
WRONG = RIGHT.replace(b"+    return sum(prices)\n", b"+    return 3\n")
TEST = b"""diff --git a/tests/test_price.py b/tests/test_price.py
new file mode 100644
--- /dev/null
+++ b/tests/test_price.py
@@ -0,0 +1,2 @@
+from price import total
+assert total([4]) == 4
"""


def attempt(patch: bytes, ending: Ending = Ending.SUBMITTED) -> AttemptResult:
    return AttemptResult(
        outcome=Outcome(ending=ending),
        patch=patch,
        folder=Path(),
        steps=2,
        tokens=Tokens(input=10, output=1),
        cost_usd=0.1,
        cost_source="reported",
        repairs={"tool_name": 1},
    )


def test_split_when_a_patch_holds_tests_then_they_are_told_apart() -> None:
    candidate = split(attempt(RIGHT + TEST))
    assert (candidate.source, candidate.tests, candidate.test_files) == (RIGHT, TEST, ("tests/test_price.py",))


def test_own_tests_of_an_attempt_when_their_names_are_odd_then_the_shell_sees_names_alone() -> None:
    odd = TEST.replace(b"test_price.py", b"test_$(id) a.py")
    assert own_tests(split(attempt(odd))) == "python -m pytest -q -- 'tests/test_$(id) a.py'"


def test_best_index_when_scores_tie_then_agreement_then_the_shorter_patch() -> None:
    candidates = [split(attempt(patch)) for patch in (WRONG, RIGHT + TEST, RIGHT)]
    assert best_index(candidates, [1.0, 1.0, 1.0]) == 2
    assert best_index(candidates, [1.0, 0.0, 0.0]) == 0


def test_select_when_only_one_patch_passes_the_tests_then_that_one_with_the_totals_of_all(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    base = prepare_base(inspect_repository(repository), tmp_path / "base.git")

    def fresh(label: str) -> Sandbox:
        state = tmp_path / "state" / label
        return open_sandbox(
            "local", SandboxSpec(run_id=label, state_dir=state, base_git=base.git_dir, base_commit=base.commit)
        )

    chosen = select([attempt(WRONG), attempt(RIGHT)], fresh, "python3 check.py && grep -q 'sum(prices)$' price.py")
    assert chosen.patch == RIGHT
    assert (chosen.steps, chosen.tokens.input, chosen.repairs) == (4, 20, {"tool_name": 2})


def test_select_when_a_limit_ended_one_then_the_submitted_one_is_kept(tmp_path: Path) -> None:
    def never(label: str) -> Sandbox:
        raise AssertionError(label)

    results = [attempt(WRONG, Ending.STEP_LIMIT), attempt(RIGHT), attempt(b"", Ending.NO_ACTION)]
    assert select(results, never, "make test").patch == RIGHT


def test_run_when_two_attempts_agree_then_no_third_is_made(tmp_path: Path) -> None:
    run = drive(tmp_path, SOLVE, attempts=3)
    assert run.report.outcome is Ending.SUBMITTED
    assert run.report.steps == 2 * len(SOLVE)
    assert (tmp_path / "run" / "attempt-2" / "trajectory.jsonl").exists()
    assert not (tmp_path / "run" / "attempt-3").exists()
    temperatures = [request.body["temperature"] for request in run.requests]
    assert sorted(set(temperatures)) == [0.15, 0.4]
