"""The publishing job against the fake forge: once, never over a person's work, and never what the policy forbids."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ostro.agent.errors import ForgeError, UsageError
from ostro.agent.outcome import Ending, ErrorReport, TestedPatch, TestRun
from ostro.forge.body import BODY_CHARS
from ostro.forge.evidence import Proposal
from ostro.forge.marker import Marker
from ostro.forge.once import ensure_note, taken_over
from ostro.sandbox.protocol import RepositoryError
from tests.forge.conftest import TOKEN, Scene, added
from tests.forge.fake import Fault


def state_of(scene: Scene) -> tuple[list[str], int, int]:
    return scene.repository.branches(), len(scene.repository.pulls), len(scene.comments())


ONCE = (["main", "ostro/issue-1"], 1, 1)


def test_publish_when_done_twice_then_nothing_is_doubled_and_the_commit_is_the_same(scene: Scene) -> None:
    first, second = scene.publish(), scene.publish()

    assert (first.status, first.commit) == ("pull", second.commit)
    assert state_of(scene) == ONCE


def test_publish_when_actions_may_open_no_pull_request_then_the_box_is_named_and_the_branch_waits(scene: Scene) -> None:
    scene.repository.actions_may_open_pulls = False
    with pytest.raises(ForgeError, match="not permitted to create") as refused:
        scene.publish()
    assert "Settings, Actions, General" in refused.value.mend

    scene.repository.actions_may_open_pulls = True
    scene.publish()
    assert state_of(scene) == ONCE


def test_may_write_when_a_proxy_answers_with_a_page_then_that_is_no_missing_permission(scene: Scene) -> None:
    scene.forge.faults.append(Fault("GET", "/permission$", "page"))
    with pytest.raises(ForgeError, match="status 404 with a web page") as refused:
        scene.github.may_write("alice")
    assert "proxy" in refused.value.mend


def test_publish_when_the_repository_is_archived_then_the_mend_says_so(scene: Scene) -> None:
    scene.forge.faults.append(Fault("POST", "/comments$", "archived"))
    with pytest.raises(ForgeError, match="was archived") as refused:
        scene.publish()
    assert "unarchive" in refused.value.mend


def test_publish_when_the_token_may_not_push_then_the_words_of_the_forge_are_told(scene: Scene) -> None:
    scene.forge.world.tokens[TOKEN].write = False
    with pytest.raises(RepositoryError, match="Write access to repository not granted") as refused:
        scene.publish()
    assert "Check that the token may" in refused.value.mend


def test_taken_over_when_the_comment_is_of_a_newer_run_or_of_a_stop_then_an_older_job_keeps_silent(
    scene: Scene,
) -> None:
    ours, newer = (f"https://forge.example/acme/widget/actions/runs/{number}" for number in (7, 77))
    line = Marker(kind="status", issue=1).line()
    assert not taken_over(scene.github, 1, ours)
    for body, wanted in (
        (f"{line}**Ostro: accepted** ([log]({ours}))", False),
        (f"{line}**Ostro: accepted** ([log]({newer}))", True),
        (f"{line}**Ostro: draft #2**", False),
        (Marker(kind="status", issue=1, stopped=True).line() + "**Ostro: stopped**", True),
    ):
        ensure_note(scene.github, 1, body)
        assert taken_over(scene.github, 1, ours) is wanted


def test_publish_when_the_run_failed_then_the_log_line_and_the_notice_say_why(scene: Scene) -> None:
    error = ErrorReport(kind="auth", message="no API key", mend="Set X_API_KEY.")
    found = scene.publish(b"", outcome=Ending.MODEL_ERROR, proposal=None, error=error)

    assert found.told.startswith("no result (model error): no API key. Set X_API_KEY. (http")
    assert [notice.partition(" (http")[0] for notice in found.notices] == [
        "issue #1: no result (model error): no API key. Set X_API_KEY."
    ]


def test_publish_when_another_run_follows_then_branch_and_body_are_replaced(scene: Scene) -> None:
    scene.publish()
    found = scene.publish(run_id="run-2", finished_at=1_800_000_100)

    assert state_of(scene) == ONCE
    assert scene.repository.head_of("ostro/issue-1") == found.commit
    assert "`run-2`" in scene.repository.issues[2].body
    assert scene.repository.git("rev-list", "--count", "main..ostro/issue-1") == "1"


def test_publish_when_a_person_has_committed_then_their_branch_stays_and_another_is_taken(scene: Scene) -> None:
    scene.publish()
    theirs = scene.commit_by_hand("ostro/issue-1")
    found = scene.publish(run_id="run-2")
    again = scene.publish(run_id="run-3")

    assert scene.repository.head_of("ostro/issue-1") == theirs
    assert (found.branch, again.branch) == ("ostro/issue-1-2", "ostro/issue-1-2")
    assert "holds commits of other people" in scene.repository.issues[3].body
    assert state_of(scene) == (["main", "ostro/issue-1", "ostro/issue-1-2"], 2, 1)


def test_publish_when_a_person_amends_the_commit_then_it_counts_as_theirs(scene: Scene) -> None:
    scene.publish()
    clone = scene.forge.folder / "clone"
    from tests.driving import git

    git(scene.forge.folder, "clone", "-q", "-b", "ostro/issue-1", str(scene.repository.git_dir), str(clone))
    git(clone, "commit", "-q", "--amend", "-m", "mine now\n\nOstro-Run: run-1")
    git(clone, "push", "-q", "--force", "origin", "ostro/issue-1")

    assert scene.publish(run_id="run-2").branch == "ostro/issue-1-2"


def test_publish_when_a_follow_up_then_it_goes_on_top_of_what_is_there(scene: Scene) -> None:
    scene.publish()
    theirs = scene.commit_by_hand("ostro/issue-1")
    found = scene.publish(
        added("more.txt"), run_id="run-2", follow_up=True, pull=2, base_commit=theirs, files_changed=("more.txt",)
    )

    assert found.branch == "ostro/issue-1"
    assert scene.repository.git("rev-list", "--count", "main..ostro/issue-1") == "3"
    assert scene.repository.git("rev-parse", "ostro/issue-1^") == theirs
    assert state_of(scene) == ONCE


def test_publish_when_tests_are_red_then_the_merge_does_not_close_the_issue(scene: Scene) -> None:
    nothing = TestRun(status="red", exit_code=5)
    scene.publish(tests=TestedPatch(command="pytest -q", source="flag", before=nothing, after=nothing))

    assert "Refs #1" in scene.repository.issues[2].body
    assert "pytest found no test to run" in scene.repository.issues[2].body
    assert "Fixes #1" not in scene.repository.issues[2].body


@pytest.mark.parametrize("ending", [Ending.STEP_LIMIT, Ending.MODEL_ERROR, Ending.GAVE_UP])
def test_publish_when_the_run_failed_with_work_then_a_salvaged_branch_and_a_comment_stay(
    scene: Scene, ending: Ending
) -> None:
    error = ErrorReport(kind="x", message="It broke", mend="Mend it.") if ending is Ending.MODEL_ERROR else None
    found = scene.publish(outcome=ending, proposal=None, error=error)

    assert (found.status, found.branch) == ("salvaged", "ostro/issue-1-salvage")
    (comment,) = scene.comments()
    assert f"`{ending}`" in comment
    assert "**Next step:**" in comment
    assert "`ostro/issue-1-salvage`" in comment
    assert scene.repository.pulls == {}
    assert "ostro-failed" in scene.repository.issues[1].labels


def test_publish_when_no_change_is_needed_then_that_is_a_result(scene: Scene) -> None:
    scene.forge.world.add_label(scene.repository, 1, "ostro-failed")  # of an earlier run
    found = scene.publish(b"", outcome=Ending.NO_ACTION, proposal=None, reason="It is right as it is.")

    assert (found.status, found.notices) == ("none", ())
    assert "no change was made" in scene.comments()[0]
    assert "It is right as it is." in scene.comments()[0]
    assert scene.repository.issues[1].labels == []


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        (added(".github/workflows/x.yml"), "continuous integration"),
        (added(".husky/pre-commit"), "hooks"),
        (added("key.txt", "AKIAQ3EGRFXZ5TIJWNPL\naws_secret = wJalrXUtnFEMIK7MDENGbPxRfiCYzzzzzzzzQQQQ"), "secret"),
        (added("token.txt", TOKEN), "one of your secrets"),
        (b"diff --git a/../x b/../x\nnew file mode 100644\n--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n", "path"),
        (b"nonsense\n", "apply"),
    ],
    ids=["ci", "hook", "secret", "known secret", "path", "apply"],
)
def test_publish_when_the_patch_breaks_a_rule_then_nothing_is_pushed(scene: Scene, patch: bytes, reason: str) -> None:
    found = scene.publish(patch)

    assert found.status == "refused"
    assert "the patch was refused" in scene.comments()[0]
    assert scene.repository.branches() == ["main"]
    assert TOKEN not in scene.comments()[0]


@pytest.mark.parametrize("change", ["closed", "locked", "assigned", "merged"])
def test_publish_when_the_issue_was_taken_from_us_meanwhile_then_nothing_is_touched(scene: Scene, change: str) -> None:
    issue = scene.repository.issues[1]
    if change == "closed":
        issue.state = "closed"
    elif change == "locked":
        issue.locked = True
    elif change == "assigned":
        scene.forge.world.add_user("bob")
        issue.assignees.append("bob")
    else:
        scene.publish()
        scene.repository.pulls[2].merged, scene.repository.issues[2].state = True, "closed"
    before = len(scene.forge.writes())

    assert scene.publish(run_id="run-2").status == "refused"
    assert len(scene.forge.writes()) == before


def test_publish_when_the_base_is_a_commit_of_somewhere_else_then_it_is_refused(scene: Scene) -> None:
    scene.repository.git("branch", "elsewhere", "main")
    foreign = scene.commit_by_hand("elsewhere")

    with pytest.raises(ForgeError, match="is no commit of main"):
        scene.publish(base_commit=foreign)
    assert scene.repository.branches() == ["elsewhere", "main"]


def test_publish_when_the_evidence_is_for_another_branch_then_it_is_refused(scene: Scene) -> None:
    with pytest.raises(UsageError, match="no branch of issue 1"):
        scene.publish(branch="main")
    with pytest.raises(UsageError, match="not main"):
        scene.publish(base_branch="ostro/issue-1")
    with pytest.raises(UsageError, match="not acme/widget"):
        scene.publish(repository="acme/other")
    scene.job = replace(scene.job, issue=7)
    with pytest.raises(UsageError, match="for issue 1, not 7"):
        scene.publish()
    assert scene.forge.writes() == []


FAULTS = [
    Fault("POST", "/pulls$", "lost"),
    Fault("POST", "/pulls$", "cut"),
    Fault("POST", "/pulls$", "502"),
    Fault("POST", "/pulls$", "rate"),
    Fault("POST", "/comments$", "lost"),
    Fault("POST", "/comments$", "secondary"),
    Fault("POST", "/labels$", "secondary"),
    Fault("POST", "/labels$", "502"),
    Fault("POST", "/labels$", "lost"),
    Fault("GET", "/issues/1$", "502", 3),
    Fault("GET", "/pulls$", "cut", 2),
    Fault("POST", "git-receive-pack$", "lost"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind} {fault.method} {fault.path}")
def test_publish_when_the_forge_stumbles_then_it_still_ends_with_one_of_each(scene: Scene, fault: Fault) -> None:
    scene.forge.faults.append(Fault(fault.method, fault.path, fault.kind, fault.times))

    assert scene.publish().status == "pull"
    assert state_of(scene) == ONCE
    assert sum(scene.waited) < 120


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/pulls$"), ("POST", "git-receive-pack$"), ("GET", "/issues/1$")]
)
def test_publish_when_the_forge_is_down_then_it_says_so_and_the_next_try_succeeds(
    scene: Scene, method: str, path: str
) -> None:
    fault = Fault(method, path, "502", 100)
    scene.forge.faults.append(fault)
    with pytest.raises(Exception, match=r"502|cannot be pushed") as told:
        scene.publish()
    assert TOKEN not in str(told.value)
    fault.times = 0

    assert scene.publish().status == "pull"
    assert state_of(scene) == ONCE


def test_publish_when_the_text_is_hostile_then_it_stays_a_text(scene: Scene) -> None:
    scene.publish(
        proposal=Proposal(
            title="$(id) `id` ${{ secrets.X }} @everyone fixes #99\n::error::x",
            summary="Fixes #98, closes https://github.com/acme/widget/issues/97. @alice ![x](https://evil.example/?q)"
            "\n/merge\n<img src=x> <!-- ostro {} -->\n[link](javascript:x)",
            changes=("| a | b |", "<details>"),
        )
    )
    title, body = scene.repository.issues[2].title, scene.repository.issues[2].body

    assert "\n" not in title
    assert "#99" not in title
    for bad in ("#98", "https://github.com", "@alice", "https://evil", "\n/merge", "<img", "<!-- ostro {} -->"):
        assert bad not in body, bad
    assert re.search(r"(?<!\\)\]\(", body) is None
    message = scene.repository.git("log", "-1", "--format=%B", "ostro/issue-1")
    assert "#98" not in message


def test_publish_when_a_person_opened_the_pull_request_then_their_words_stay(scene: Scene) -> None:
    scene.publish()
    about = scene.repository.issues[2]
    about.title, about.body = "My own words", "and a list of mine"
    found = scene.publish(run_id="run-2")

    assert (about.title, about.body) == ("My own words", "and a list of mine")
    assert "A person opened this pull request" in scene.comments()[0]
    assert "### Evidence" in found.text


def test_publish_when_the_log_is_said_to_be_elsewhere_then_no_link_leads_there(scene: Scene) -> None:
    scene.job = replace(scene.job, server_url="https://git.example")
    for address, kept in (("https://evil.example/x", False), ("https://git.example/acme/widget/runs/7", True)):
        scene.publish(run_url=address)
        assert (address in scene.repository.issues[2].body, address in scene.comments()[0]) == (kept, kept)


def test_publish_when_everything_is_as_long_as_it_may_be_then_the_forge_takes_it(scene: Scene) -> None:
    found = scene.publish(
        proposal=Proposal(title="t" * 200, summary="|" * 6000, changes=("<" * 500,) * 30, limits="|" * 2000),
        tail=("`" * 500,) * 40,
        warnings=("w" * 5000,) * 200,
        files_changed=("`" * 300,) * 5000,
        reason="r" * 4000,
    )

    assert found.pull is not None
    assert len(found.pull.body) <= BODY_CHARS
    assert "| with the patch | **green** |" in found.pull.body
    assert len(scene.repository.issues[2].title) <= 120


def test_publish_when_a_stranger_has_copied_our_marker_then_their_comment_is_left_alone(scene: Scene) -> None:
    scene.publish(b"", outcome=Ending.NO_ACTION, proposal=None)
    scene.repository.comments.insert(0, scene.repository.comments.pop())
    ours = scene.repository.comments[0]
    theirs = scene.forge.world.add_comment(scene.repository, 1, ours.body, author="stranger")
    scene.repository.comments.reverse()
    scene.publish()

    assert theirs.body != ours.body
    assert len(scene.comments()) == 2


def test_publish_of_a_stop_when_asked_then_the_label_goes_and_the_comment_says_so(scene: Scene) -> None:
    scene.forge.world.add_label(scene.repository, 1, "ostro")
    scene.publish(b"", kind="stop", proposal=None)

    assert scene.repository.issues[1].labels == []
    assert "stopped" in scene.comments()[0]
