"""A second token whose push lets CI start for a draft: one empty commit for each result, and nobody's work but ours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ostro.agent.record.redact import Redactor
from ostro.forge.decide import Assignment, decide
from ostro.forge.job import read_job
from ostro.forge.publish import Publication, forge_policy, publish
from tests.forge.ci_job import CI_TOKEN
from tests.forge.conftest import PATCH, TOKEN, Scene, added
from tests.forge.fake import Fault

BRANCH = "ostro/issue-1"


@pytest.fixture
def seconded(scene: Scene) -> Scene:
    """The scene with a second token, of a person's own."""
    scene.forge.world.add_user("ci-starter")
    scene.forge.world.add_token(CI_TOKEN, "ci-starter")
    scene.repository.permissions["ci-starter"] = "write"
    scene.job = replace(scene.job, ci_token=CI_TOKEN)
    return scene


def pushes(scene: Scene) -> list[str]:
    """Who pushed, in order."""
    return [asked.login for asked in scene.forge.requests if asked.path.endswith("git-receive-pack")]


def commits(scene: Scene, branch: str = BRANCH) -> list[str]:
    return scene.repository.git("log", "--format=%s", f"main..{branch}").splitlines()


def test_publish_when_a_second_token_is_given_then_an_empty_commit_of_it_is_on_top(seconded: Scene) -> None:
    found = seconded.publish()

    assert commits(seconded)[0] == "ci: start the checks"
    assert len(commits(seconded)) == 2
    assert seconded.repository.git("diff", f"{BRANCH}^", BRANCH) == ""
    assert pushes(seconded) == ["github-actions[bot]", "ci-starter"]
    posted = [asked.path for asked in seconded.forge.requests if asked.method == "POST"]
    last_push = len(posted) - 1 - posted[::-1].index("/acme/widget.git/git-receive-pack")
    assert posted.index("/api/v3/repos/acme/widget/pulls") < last_push
    assert found.commit == seconded.repository.git("rev-parse", f"{BRANCH}^")
    assert not [notice for notice in found.notices if "CI" in notice]
    assert "no CI starts" not in seconded.comments()[0]


def test_publish_when_done_again_then_nothing_is_pushed_and_no_second_empty_commit_made(seconded: Scene) -> None:
    seconded.publish()
    head, before = seconded.repository.head_of(BRANCH), len(pushes(seconded))
    again = seconded.publish()
    without = replace(seconded.job, ci_token="")
    later = publish(without, seconded.github, seconded.evidence(), PATCH, forge_policy({}, Redactor([])))

    assert seconded.repository.head_of(BRANCH) == head
    assert len(pushes(seconded)) == before
    assert [notice for found in (again, later) for notice in found.notices if "CI" in notice] == []
    assert (len(seconded.repository.pulls), len(seconded.comments())) == (1, 1)


def test_publish_when_another_run_follows_then_our_own_empty_commit_is_nobody_elses(seconded: Scene) -> None:
    seconded.publish()
    found = seconded.publish(run_id="run-2", finished_at=1_800_000_100)

    assert (found.branch, len(commits(seconded))) == (BRANCH, 2)
    assert seconded.repository.branches() == ["main", BRANCH]


def test_publish_when_a_person_commits_on_top_then_their_branch_stays(seconded: Scene) -> None:
    seconded.publish()
    theirs = seconded.commit_by_hand(BRANCH)
    found = seconded.publish(run_id="run-2")

    assert seconded.repository.head_of(BRANCH) == theirs
    assert (found.branch, commits(seconded, found.branch)[0]) == (f"{BRANCH}-2", "ci: start the checks")


def test_publish_when_a_follow_up_then_it_goes_on_top_of_the_empty_commit_once(seconded: Scene) -> None:
    seconded.publish()
    head = seconded.repository.head_of(BRANCH)
    for _ in range(2):
        found = seconded.publish(added("more.txt"), run_id="run-2", follow_up=True, pull=2, base_commit=head)
        assert found.branch == BRANCH
    assert len(commits(seconded)) == 4
    assert seconded.repository.git("rev-parse", f"{BRANCH}~2") == head


@pytest.mark.parametrize("kind", ["cut", "lost"])
def test_publish_when_the_push_of_the_empty_commit_fails_then_the_next_one_makes_it(seconded: Scene, kind: Any) -> None:
    fault = Fault("POST", "git-receive-pack$", kind, skip=1, times=10)  # git tries again by itself
    seconded.forge.faults.append(fault)
    first = seconded.publish()
    fault.times = 0
    seconded.publish()

    assert first.status == "pull"
    assert len(commits(seconded)) == 2
    assert len(seconded.repository.pulls) == 1
    told = [notice for notice in first.notices if "No CI starts" in notice]
    assert len(told) == (1 if kind == "cut" else 0)


@pytest.mark.parametrize("token", ["github_pat_expired5Qw8Zr2Xm7", "read"])
def test_publish_when_the_second_token_may_not_push_then_the_draft_and_a_notice_are_there(
    seconded: Scene, token: str
) -> None:
    seconded.forge.world.add_token("read", "ci-starter", write=False)
    seconded.job = replace(seconded.job, ci_token=token)
    found = seconded.publish()

    assert (found.status, len(commits(seconded))) == ("pull", 1)
    (notice,) = [notice for notice in found.notices if "No CI starts" in notice]
    assert "No CI starts" in seconded.comments()[0]
    assert "pat_expired" not in notice + seconded.comments()[0]


def test_publish_when_both_tokens_are_the_same_then_no_empty_commit_is_made(scene: Scene) -> None:
    scene.job = replace(scene.job, ci_token=TOKEN)
    found = scene.publish()
    assert len(commits(scene)) == 1
    assert "no CI starts" in found.notices[-1]


def test_publish_when_the_run_failed_then_no_ci_is_started_for_what_is_left(seconded: Scene) -> None:
    seconded.publish(outcome="step_limit", proposal=None)
    assert commits(seconded, f"{BRANCH}-salvage")[0].startswith("fix: ")
    assert pushes(seconded) == ["github-actions[bot]"]


def test_checks_when_those_of_the_empty_commit_fail_then_they_are_those_of_the_draft(seconded: Scene) -> None:
    seconded.publish()
    head = seconded.repository.head_of(BRANCH)
    payload = (
        f'{{"action": "completed", "workflow_run": {{"conclusion": "failure", "head_branch": "{BRANCH}",'
        f' "head_sha": "{head}"}}}}'
    )
    found = decide(seconded.asking("workflow_run", payload.encode()), seconded.github)
    assert isinstance(found, Assignment)
    assert (found.follow_up, found.branch) == (True, BRANCH)


def test_publish_when_another_job_of_ours_was_quicker_then_there_is_still_one_branch(scene: Scene) -> None:
    first = scene.publish()
    quicker = scene.publish(run_id="run-2", finished_at=1_800_000_100).commit
    scene.repository.git("update-ref", f"refs/heads/{BRANCH}", first.commit)

    def hurry() -> None:
        scene.repository.git("update-ref", f"refs/heads/{BRANCH}", quicker)

    scene.forge.faults.append(Fault("GET", "/info/refs$", "none", skip=2, strike=hurry))
    found: Publication = scene.publish(run_id="run-3", finished_at=1_800_000_200)

    assert scene.forge.faults[-1].times == 0
    assert (found.branch, scene.repository.head_of(BRANCH)) == (BRANCH, found.commit)
    assert (scene.repository.branches(), len(scene.repository.pulls)) == (["main", BRANCH], 1)


def test_publish_when_a_person_was_quicker_then_their_work_stays(scene: Scene) -> None:
    scene.publish()
    scene.forge.faults.append(
        Fault("GET", "/info/refs$", "none", skip=2, strike=lambda: theirs.append(scene.commit_by_hand(BRANCH)))
    )
    theirs: list[str] = []
    found = scene.publish(run_id="run-2")

    assert scene.repository.head_of(BRANCH) == theirs[0]
    assert found.branch == f"{BRANCH}-2"


def test_read_job_when_the_second_token_is_in_the_environment_then_it_is_not_shown() -> None:
    job = read_job({"GITHUB_REPOSITORY": "o/r", "GITHUB_TOKEN": "a", "OSTRO_CI_TOKEN": CI_TOKEN})
    assert job.ci_token == CI_TOKEN
    assert CI_TOKEN not in repr(job)
