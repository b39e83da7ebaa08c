"""Whole runs: an issue in, a tested patch on a branch out, and every other ending."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest

from ostro.agent import checkpoints
from ostro.agent.outcome import Ending
from tests.driving import FIX, SOLVE, SUBMIT, bash, drive, git


def fingerprint(folder: Path) -> dict[str, str]:
    """Digest of every file of a work tree and its git directory, but what a new branch adds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "objects" not in path.parts and "ostro" not in path.parts
    }


def test_run_when_the_model_solves_the_issue_then_branch_commit_patch_and_green_tests(tmp_path: Path) -> None:
    run = drive(tmp_path, SOLVE)
    report = run.report
    assert (report.outcome, report.exit_code) == (Ending.SUBMITTED, 0)
    assert report.branch is not None
    assert report.branch.startswith("ostro/")
    assert git(run.repository, "rev-parse", report.branch) == report.commit
    assert git(run.repository, "rev-list", "--count", f"main..{report.branch}") == "1"
    assert report.files_changed == ("price.py",)
    assert "sum(prices)\n" in git(run.repository, "show", f"{report.branch}:price.py") + "\n"
    assert Path(report.patch or "").read_text().count("-    return sum(prices) + 1") == 1
    tests = report.tests
    assert (tests.before.status, tests.after.status, tests.verified) == ("red", "green", True)
    assert report.steps == len(SOLVE)
    assert report.sandbox in ("bubblewrap", "unshare")


def test_run_when_it_ends_then_the_work_tree_index_and_branch_are_untouched(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    run = drive(tmp_path, SOLVE)
    before = fingerprint(repository)
    (repository / "price.py").write_text("dirty\n")
    assert git(run.repository, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(run.repository, "status", "--porcelain") == "M price.py"
    assert before["price.py"] == hashlib.sha256(b"def total(prices):\n    return sum(prices) + 1\n").hexdigest()


def test_run_when_the_model_never_edits_then_no_action_and_nothing_changed(tmp_path: Path) -> None:
    run = drive(tmp_path, [bash("ls"), SUBMIT, SUBMIT])
    assert (run.report.outcome, run.report.exit_code) == (Ending.NO_ACTION, 1)
    assert run.report.branch is None
    assert git(run.repository, "branch", "--list", "ostro/*") == ""


def test_run_when_the_model_gives_up_with_a_reason_then_gave_up(tmp_path: Path) -> None:
    give_up = {"calls": [{"name": "submit", "arguments": {"summary": "works as documented", "give_up": True}}]}
    run = drive(tmp_path, [bash("ls"), give_up, give_up])
    assert (run.report.outcome, run.report.exit_code) == (Ending.GAVE_UP, 1)
    assert run.report.reason == "works as documented"


def test_run_when_the_steps_are_used_up_then_the_patch_is_salvaged(tmp_path: Path) -> None:
    run = drive(tmp_path, [FIX, *[bash(f"echo {n}") for n in range(9)]], steps=4)
    assert (run.report.outcome, run.report.exit_code) == (Ending.STEP_LIMIT, 3)
    assert run.report.branch is not None
    assert run.report.tests.verified


def test_run_when_a_slow_checkpoint_is_under_way_at_the_end_then_the_whole_patch_and_the_true_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "PATIENCE_S", 0.001)
    run = drive(tmp_path, [bash("sed -i 's/ + 1//' price.py")], steps=1)
    assert (run.report.outcome, run.report.error) == (Ending.STEP_LIMIT, None)
    assert run.report.files_changed == ("price.py",)


def test_run_when_the_model_loops_then_one_nudge_and_loop_detected(tmp_path: Path) -> None:
    run = drive(tmp_path, [bash("cat price.py")] * 12)
    assert (run.report.outcome, run.report.exit_code) == (Ending.LOOP_DETECTED, 3)
    assert [nudge.kind for nudge in run.of("nudged")] == ["loop"]


def test_run_when_the_endpoint_refuses_the_key_then_model_error_and_the_patch_is_kept(tmp_path: Path) -> None:
    run = drive(tmp_path, [FIX, {"fault": "A06", "fault_times": 0}])
    assert (run.report.outcome, run.report.exit_code) == (Ending.MODEL_ERROR, 4)
    assert run.report.error is not None
    assert run.report.error.kind == "auth"
    assert run.report.branch is not None


def test_run_when_it_ends_then_every_request_extends_the_one_before(tmp_path: Path) -> None:
    run = drive(tmp_path, SOLVE)
    prompts = [request.body["messages"] for request in run.requests]
    assert len(prompts) == len(SOLVE)
    for earlier, later in pairwise(prompts):
        assert later[: len(earlier)] == earlier
    assert len({str(request.body["tools"]) for request in run.requests}) == 1
    assert len({request.connection for request in run.requests}) == 1


def test_run_when_it_ends_then_the_trajectory_tells_the_whole_story(tmp_path: Path) -> None:
    run = drive(tmp_path, SOLVE)
    kinds = [event.type for event in run.events]
    assert kinds[0] == "run_started"
    assert kinds.count("planned") == kinds.count("called") == kinds.count("observed") == len(SOLVE)
    assert "ended" in kinds
    assert [event.phase for event in run.of("tested")] == ["before", "after"]
    assert run.report.cost_usd == sum(event.cost_usd for event in run.of("planned"))
