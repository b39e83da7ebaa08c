"""Which events start a run, and for whom: every trigger is checked against the API of the (fake) forge."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.agent.errors import ForgeError, UsageError
from ostro.forge.decide import Assignment, decide
from ostro.forge.event import EVENTS, Skip, issue_of_branch, parse_command, read_event
from ostro.forge.gathered import first_evidence
from ostro.forge.job import read_job
from ostro.forge.marker import Marker, read_marker
from tests.forge.conftest import Scene, added
from tests.forge.fake import Fault

ALICE = {"login": "alice", "id": 7, "type": "User"}
HERE = {"full_name": "acme/widget"}


def event(scene: Scene, name: str, **payload: Any) -> Assignment | Skip:
    told = {"sender": ALICE, "repository": HERE, **payload}
    return decide(scene.asking(name, json.dumps(told).encode()), scene.github)


def label(scene: Scene, **more: Any) -> Assignment | Skip:
    scene.repository.issues[1].labels = ["ostro"]  # who put it there is what the event says
    return event(scene, "issues", **{"action": "labeled", "label": {"name": "ostro"}, "issue": {"number": 1}, **more})


def comment(scene: Scene, body: str, *, number: int = 1, pull: bool = False, **more: Any) -> Assignment | Skip:
    about: dict[str, Any] = {"number": number, **({"pull_request": {}} if pull else {})}
    told: dict[str, Any] = {"action": "created", "comment": {"body": body}, "issue": about}
    return event(scene, "issue_comment", **(told | more))


def checks(scene: Scene, commit: str | None = None, **more: Any) -> Assignment | Skip:
    run = {"conclusion": "failure", "head_branch": "ostro/issue-1", "head_repository": HERE,
           "head_sha": commit or scene.repository.head_of("ostro/issue-1")}  # fmt: skip
    return event(scene, "workflow_run", action="completed", workflow_run={**run, **more})


def reason(found: Assignment | Skip) -> str:
    assert isinstance(found, Skip), found
    assert "\n" not in found.reason
    return found.reason


def assigned(found: Assignment | Skip) -> Assignment:
    assert isinstance(found, Assignment), found
    return found


def test_label_when_put_on_by_a_maintainer_then_the_issue_is_taken(scene: Scene) -> None:
    found = assigned(label(scene))
    assert (found.issue.number, found.actor, found.branch, found.base_branch) == (1, "alice", "ostro/issue-1", "main")
    assert scene.forge.writes() == []


@pytest.mark.parametrize(
    ("sender", "said"),
    [
        ({"login": "stranger", "id": 8, "type": "User"}, "has no write permission"),
        ({"login": "nobody-at-all", "id": 9, "type": "User"}, "has no write permission"),
        ({"login": "renovate[bot]", "id": 10, "type": "Bot"}, "is a bot"),
        ({"login": "github-actions[bot]", "id": 11, "type": "User"}, "is a bot"),
        ({}, "nobody is known"),
    ],
)
def test_label_when_somebody_else_puts_it_on_then_it_is_skipped(
    scene: Scene, sender: Mapping[str, Any], said: str
) -> None:
    scene.forge.world.add_user("stranger")
    assert said in reason(label(scene, sender=sender))


def test_label_when_the_token_does_not_see_the_repository_then_nobodys_permission_is_blamed(scene: Scene) -> None:
    scene.forge.faults.append(Fault("GET", "/repos/", "missing", times=10))
    with pytest.raises(ForgeError, match="status 404") as refused:
        label(scene)
    assert "the token may see the repository" in refused.value.mend


def test_order_when_a_name_is_none_that_the_evidence_can_hold_then_that_is_said_before_the_run(scene: Scene) -> None:
    found = replace(assigned(label(scene)), base_branch="x" * 300)
    with pytest.raises(UsageError, match="a name of this job: base_branch"):
        first_evidence(scene.job, found, "0" * 64, base_commit="0" * 40)


def test_label_when_it_is_another_or_comes_off_then_it_is_skipped(scene: Scene) -> None:
    assert "only the label" in reason(label(scene, label={"name": "bug"}))
    assert "only the label" in reason(label(scene, action="unlabeled"))


@pytest.mark.parametrize("verb", ["fix", "retry", "stop"])
def test_comment_when_it_is_a_command_then_it_is_an_order(scene: Scene, verb: str) -> None:
    found = assigned(comment(scene, f"/ostro {verb} but keep the name\nand the tests"))
    assert (found.order.command, found.order.wishes) == (verb, "but keep the name\nand the tests")


@pytest.mark.parametrize(
    "body", ["please /ostro fix", "/ostro", "/ostro fixme", "/ostro deploy", "> /ostro fix", "<!-- /ostro fix -->", ""]
)
def test_comment_when_it_does_not_begin_with_a_command_then_it_is_skipped(scene: Scene, body: str) -> None:
    assert "begins with no command" in reason(comment(scene, body))


def test_comment_when_it_was_edited_or_is_by_a_stranger_then_it_is_skipped(scene: Scene) -> None:
    stranger = {"login": scene.forge.world.add_user("stranger").login, "id": 8, "type": "User"}
    assert "no command" in reason(comment(scene, "/ostro fix", action="edited"))
    assert "no write permission" in reason(comment(scene, "/ostro fix", sender=stranger))


@pytest.mark.parametrize("state", ["closed", "locked", "assigned", "pull"])
def test_order_when_the_issue_is_not_ours_to_take_then_it_is_skipped(scene: Scene, state: str) -> None:
    issue = scene.repository.issues[1]
    scene.forge.world.add_user("bob")
    if state == "closed":
        issue.state = "closed"
    elif state == "locked":
        issue.locked = True
    elif state == "assigned":
        issue.assignees += ["alice", "bob"]
    else:
        scene.publish()
        assert "pull request" in reason(label(scene, issue={"number": 2}))
        return
    assert "issue #1 is" in reason(label(scene))


def test_order_when_the_issue_is_assigned_to_who_asks_then_it_is_taken(scene: Scene) -> None:
    scene.repository.issues[1].assignees.append("alice")
    assert assigned(label(scene)).actor == "alice"


def test_order_when_our_draft_was_merged_or_closed_then_only_a_closed_one_can_be_retried(scene: Scene) -> None:
    scene.publish()
    assert assigned(label(scene)).pull is not None
    scene.repository.issues[2].state = "closed"
    assert "was closed" in reason(label(scene))
    assert assigned(comment(scene, "/ostro retry")).pull is None
    scene.repository.pulls[2].merged = True
    assert "is merged already" in reason(comment(scene, "/ostro retry"))


def test_comment_on_our_draft_when_it_asks_for_changes_then_the_run_goes_on_with_its_branch(scene: Scene) -> None:
    scene.publish()
    found = assigned(comment(scene, "/ostro fix use a loop", number=2, pull=True))
    assert (found.follow_up, found.branch, found.issue.number, found.order.wishes) == (
        True,
        "ostro/issue-1",
        1,
        "use a loop",
    )
    anew = assigned(comment(scene, "/ostro retry", number=2, pull=True))
    assert (anew.follow_up, anew.issue.number) == (False, 1)


def test_comment_on_a_pull_request_when_it_is_of_a_fork_or_of_others_then_it_is_skipped(scene: Scene) -> None:
    scene.publish()
    scene.repository.issues[2].body = "by hand"
    assert "no draft of Ostro" in reason(comment(scene, "/ostro fix", number=2, pull=True)).replace("not a", "no")
    scene.repository.pulls[2].head_repository = "stranger/widget"
    assert "comes from a fork" in reason(comment(scene, "/ostro fix", number=2, pull=True))


def test_review_when_it_is_of_a_fork_then_it_is_skipped_in_one_line(scene: Scene) -> None:
    head = {"ref": "ostro/issue-1", "repo": {"full_name": "stranger/widget"}}
    found = event(scene, "pull_request_review", action="submitted", review={"body": "/ostro fix"},
                  pull_request={"number": 2, "head": head})  # fmt: skip
    assert "comes from a fork" in reason(found)


def test_dispatch_when_it_names_an_issue_then_the_actor_is_checked(scene: Scene) -> None:
    assert assigned(event(scene, "workflow_dispatch", inputs={"issue": "1"})).issue.number == 1
    assert "no number" in reason(event(scene, "workflow_dispatch", inputs={"issue": "1; rm -rf /"}))
    assert "no number" in reason(event(scene, "workflow_dispatch", inputs=None))


def test_schedule_when_an_issue_waits_then_who_labelled_it_counts(scene: Scene) -> None:
    world, repository = scene.forge.world, scene.repository
    second = world.add_issue(repository, "Another")
    world.add_label(repository, 1, "ostro", actor="stranger")
    assert "waits for a run" in reason(event(scene, "schedule", sender={}))
    world.add_label(repository, second.number, "ostro", actor="alice")
    found = assigned(event(scene, "schedule", sender={}))
    assert (found.issue.number, found.actor) == (2, "alice")


def test_schedule_when_the_issue_was_worked_on_then_it_is_not_taken_again(scene: Scene) -> None:
    scene.forge.world.add_label(scene.repository, 1, "ostro")
    scene.publish(b"")
    assert "waits for a run" in reason(event(scene, "schedule", sender={}))
    again = decide(replace(scene.asking("schedule"), issue=1), scene.github)
    assert assigned(again).actor == "alice"


def test_checks_when_those_of_our_draft_fail_then_it_is_followed_up_twice_at_most(scene: Scene) -> None:
    scene.publish()
    found = assigned(checks(scene))
    assert (found.follow_up, found.actor, found.rounds) == (True, "alice", 1)
    for number in (1, 2):
        head = scene.repository.head_of("ostro/issue-1")
        scene.publish(added(f"{number}.txt"), follow_up=True, pull=2, base_commit=head, rounds=number)
    assert "a person should look" in reason(checks(scene))


def test_checks_when_they_are_old_or_of_others_then_they_are_skipped(scene: Scene) -> None:
    assert "no open pull request" in reason(checks(scene, "0" * 40))
    scene.publish()
    assert "not those of the newest commit" in reason(checks(scene, "0" * 40))
    assert "those of a fork" in reason(checks(scene, head_repository={"full_name": "stranger/widget"}))
    assert "not those of a draft" in reason(checks(scene, head_branch="main"))
    assert "no check has failed" in reason(checks(scene, conclusion="success"))
    scene.repository.permissions["alice"] = "read"
    assert "alice has no write permission" in reason(checks(scene))


def test_checks_when_the_last_command_was_stop_then_they_start_nothing(scene: Scene) -> None:
    scene.publish()
    scene.publish(b"", kind="stop", proposal=None)
    assert "/ostro stop" in reason(checks(scene))


def test_event_when_its_texts_are_hostile_then_nothing_of_them_is_in_the_reason(scene: Scene) -> None:
    found = label(scene, label={"name": "x\n::set-output name=a::b"}, issue={"number": 1, "title": "$(touch /tmp/x)"})
    assert "::" not in reason(found)
    big = comment(scene, "/ostro fix " + "a" * 1_000_000)
    assert len(assigned(big).order.wishes) == 16_000


@pytest.mark.parametrize("payload", [b"[]", b"{", b'{"issue": 5}', b'{"sender": "me"}', b"\xff"])
def test_event_when_it_is_none_then_one_line_says_so(payload: bytes) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_event("issues", payload, label="ostro")


KEYS = ["action", "label", "issue", "comment", "sender", "inputs", "workflow_run", "review", "pull_request"]
INNER = st.sampled_from(["name", "number", "body", "login", "head", "repo"])
VALUES = st.recursive(
    st.none() | st.text(max_size=20) | st.integers(), lambda inner: st.dictionaries(INNER, inner), max_leaves=5
)


@given(st.sampled_from(sorted(EVENTS)), st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_read_event_when_given_anything_then_it_answers_or_complains(name: str, payload: dict[str, Any]) -> None:
    with contextlib.suppress(UsageError):
        assert read_event(name, json.dumps(payload).encode(), label="ostro") is not None


def test_read_job_when_something_is_missing_then_the_variable_is_named() -> None:
    with pytest.raises(UsageError, match="which repository"):
        read_job({})
    with pytest.raises(UsageError, match="GITHUB_EVENT_PATH"):
        read_job({"GITHUB_REPOSITORY": "o/r", "GITHUB_EVENT_NAME": "issues"})


@given(st.text())
def test_parse_command_when_text_stands_before_it_then_it_is_none(text: str) -> None:
    found = parse_command(f"x{text} /ostro fix")
    assert found is None


BRANCHES = [("ostro/issue-7", 7), ("ostro/issue-7-2", 7), ("ostro/issue-7-salvage", None), ("ostro/issue-", None),
            ("main", None), ("x/ostro/issue-7", None)]  # fmt: skip


@pytest.mark.parametrize(("branch", "issue"), BRANCHES)
def test_issue_of_branch_when_it_is_ours_then_the_number(branch: str, issue: int | None) -> None:
    assert issue_of_branch(branch) == issue


SHORT = st.text(max_size=100)
MARKERS = st.builds(
    Marker,
    kind=st.sampled_from(["status", "pull"]),
    issue=st.integers(1, 10**9),
    run=SHORT,
    ordered_by=SHORT,
    rounds=st.integers(0, 9),
    stopped=st.booleans(),
)


@given(MARKERS, st.text())
def test_marker_when_written_then_it_is_read_again_and_ends_with_its_line(marker: Marker, text: str) -> None:
    line = marker.line()
    assert read_marker(line + text) == marker
    assert line.count("-->") == 1
    assert read_marker(f"> {line}") is None
