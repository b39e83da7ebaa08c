"""A run that fails leaves what it had done on a branch, and a comment that says what a maintainer can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.driving import FIX, SOLVE, Turn, bash, git
from tests.forge.ci_job import ci_job

REFUSED: Turn = {"fault": "401", "fault_times": 0}
BUSY = bash("echo again; sleep 0.1")

FAILURES: dict[str, tuple[tuple[Turn, ...], dict[str, str], str, str]] = {
    "model error": ((FIX, REFUSED), {}, "model_error", "Check the model's key"),
    "step limit": ((FIX, BUSY), {"OSTRO_STEPS": "2"}, "step_limit", "Raise the limit (`OSTRO_STEPS`)"),
    "budget": ((FIX, BUSY), {"OSTRO_PRICE": "100000,100000", "OSTRO_BUDGET": "0.01"}, "cost_limit", "Raise the budget"),
}

LIMITS = ("step limit", "budget")


@pytest.mark.parametrize("name", ["model error", *(pytest.param(name, marks=pytest.mark.slow) for name in LIMITS)])
def test_pr_when_the_run_fails_then_branch_and_next_step_are_left(name: str, tmp_path: Path) -> None:
    turns, settings, outcome, mend = FAILURES[name]
    with ci_job(tmp_path, turns) as job:
        job.settings |= settings
        event = job.labelled()
        done = job.run("pr", event=event)

        assert done.returncode == 0, done.stdout + done.stderr
        (comment,) = job.comments()
        assert f"\n`{outcome}`: " in comment
        assert f"**Next step:** {mend}" in comment
        assert "/ostro retry" in comment
        assert job.outputs["outcome"] == outcome
        assert "ostro-failed" in job.issue.labels
        assert job.repository.pulls == {}
        assert job.repository.branches() == ["main", "ostro/issue-1-salvage"]
        assert "`ostro/issue-1-salvage`" in comment
        assert job.repository.git("show", "ostro/issue-1-salvage:price.py").endswith("return sum(prices)")
        assert "::error" not in done.stdout
        assert done.stdout.count(f"no result ({outcome.replace('_', ' ')}): ") == 2  # the annotation and the log


def test_pr_when_retried_after_a_failure_then_the_label_and_the_comment_follow(tmp_path: Path) -> None:
    with ci_job(tmp_path, (FIX, REFUSED)) as job:
        failed = job.run("pr", event=job.labelled())
        assert (failed.returncode, "ostro-failed" in job.issue.labels) == (0, True), failed.stderr
        job.endpoint.turns = list(SOLVE)
        done = job.run("pr", event=job.commented("/ostro retry"))

        assert done.returncode == 0, done.stdout + done.stderr
        assert job.issue.labels == ["ostro"]
        (comment,) = job.comments()
        assert "draft #2" in comment
        assert sorted(job.repository.branches()) == ["main", "ostro/issue-1", "ostro/issue-1-salvage"]


def test_pr_when_the_configuration_is_broken_then_the_issue_says_what_to_mend(tmp_path: Path) -> None:
    with ci_job(tmp_path, sandbox="none") as job:
        done = job.run("pr", event=job.labelled())
        assert done.returncode == 2
        (comment,) = job.comments()
        for shown in (comment, job.summary, done.stderr):
            assert "--sandbox none" in shown
            assert "Use docker, local or auto" in shown
        assert "::error title=Ostro::--sandbox none" in done.stderr
        assert "ostro-failed" in job.issue.labels


def test_pr_when_ostro_toml_is_broken_then_the_comment_names_the_file_and_no_folder_of_the_job(tmp_path: Path) -> None:
    with ci_job(tmp_path) as job:
        clone = tmp_path / "clone"
        git(tmp_path, "clone", "-q", str(job.repository.git_dir), str(clone))
        (clone / "ostro.toml").write_text('setup = ["x"\ntest = "y"\n')
        git(clone, "add", ".")
        git(clone, "commit", "-qm", "typo")
        git(clone, "push", "-q", "origin", "main")
        done = job.run("pr", event=job.labelled())

        assert done.returncode == 2
        (comment,) = job.comments()
        assert ": ostro.toml cannot be read: Unclosed array" in comment
        assert str(tmp_path) not in comment
