"""What GitLab's webhooks ask for; the payloads have the shapes of its documentation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ostro.agent.errors import UsageError
from ostro.forge.event import Order, Skip
from ostro.forge.gitlab_event import read_gitlab_event
from ostro.forge.job import read_job

USER = {"id": 1, "name": "Alice", "username": "alice"}
PROJECT = {"path_with_namespace": "acme/widget"}


def read(**payload: Any) -> Order | Skip:
    return read_gitlab_event(json.dumps({"user": USER, "project": PROJECT, **payload}).encode(), label="ostro")


def labelled(before: list[str], after: list[str]) -> Order | Skip:
    change = {"previous": [{"title": name} for name in before], "current": [{"title": name} for name in after]}
    return read(object_kind="issue", object_attributes={"iid": 4, "action": "update"}, changes={"labels": change})


def noted(text: str, **more: Any) -> Order | Skip:
    return read(object_kind="note", object_attributes={"id": 31, "note": text, "action": "create"}, **more)


def test_issue_hook_when_the_label_is_put_on_then_it_is_an_order() -> None:
    assert labelled(["bug"], ["bug", "ostro"]) == Order("label", issue=4, actor="alice")
    assert isinstance(labelled(["ostro"], ["ostro", "bug"]), Skip)
    assert isinstance(labelled(["ostro"], []), Skip)


def test_note_hook_when_it_is_a_command_then_it_is_an_order_for_issue_or_draft() -> None:
    ours = {"iid": 9, "source": PROJECT, "target": PROJECT}
    assert noted("/ostro fix it", issue={"iid": 4}) == Order("comment", wishes="it", issue=4, actor="alice", note=31)
    assert noted("/ostro retry", merge_request=ours) == Order(
        "comment", command="retry", pull=9, actor="alice", note=31
    )
    fork = ours | {"source": {"path_with_namespace": "stranger/widget"}}
    assert noted("/ostro fix", merge_request=fork) == Skip(
        "merge request !9 comes from a fork; Ostro works on its own drafts only"
    )
    assert isinstance(noted("hello", issue={"iid": 4}), Skip)


def test_pipeline_hook_when_one_of_our_branch_fails_then_it_is_an_order() -> None:
    failed = {"ref": "ostro/issue-4", "sha": "a" * 40, "status": "failed"}
    assert read(object_kind="pipeline", object_attributes=failed) == Order(
        "checks", issue=4, branch="ostro/issue-4", failed_commit="a" * 40
    )
    assert isinstance(read(object_kind="pipeline", object_attributes=failed | {"ref": "main"}), Skip)


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"user": 1}', b"\xff"])
def test_webhook_when_it_is_none_then_one_line_says_so(payload: bytes) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_gitlab_event(payload, label="ostro")


def test_read_job_when_in_gitlab_then_its_variables_are_taken() -> None:
    job = read_job({"GITLAB_CI": "true", "CI_PROJECT_PATH": "a/b/c", "OSTRO_ISSUE": "5", "GITLAB_USER_LOGIN": "alice",
                    "CI_SERVER_URL": "https://git.example", "OSTRO_FORGE_TOKEN": "x"})  # fmt: skip
    assert (job.kind, job.repository, job.issue, job.actor) == ("gitlab", "a/b/c", 5, "alice")
    assert job.api_url == "https://git.example/api/v4"
    with pytest.raises(UsageError, match="OSTRO_ISSUE"):
        read_job({"GITLAB_CI": "true", "CI_PROJECT_PATH": "a/b", "OSTRO_ISSUE": "5; x"})
