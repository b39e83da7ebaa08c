"""The fake forge itself: real git, state, faults, and shapes that fit GitHub's own description."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.driving import git, make_repository
from tests.forge.fake import FakeForge, Fault
from tests.forge.fake.description import github_description

TOKEN = "ghs_planted0123456789"
REPOSITORY = "/repos/acme/widget"


def ask(forge: FakeForge, method: str, path: str, body: object = None, token: str = TOKEN) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(forge.api_url + path, data, {"Authorization": f"Bearer {token}"}, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def push_branch(forge: FakeForge, folder: Path, branch: str, token: str = TOKEN) -> None:
    url = forge.url.replace("http://", f"http://x-access-token:{token}@") + "/acme/widget.git"
    git(folder, "clone", "-q", url, "clone")
    git(folder / "clone", "switch", "-q", "-c", branch)
    (folder / "clone" / "new.txt").write_text("new\n")
    git(folder / "clone", "add", ".")
    git(folder / "clone", "commit", "-qm", "new")
    git(folder / "clone", "push", "-q", "origin", branch)


def play(forge: FakeForge, tmp_path: Path) -> None:
    """Everything that a run asks for, once."""
    repository = forge.world.add_repository(make_repository(tmp_path / "source"))
    forge.world.add_token(TOKEN)
    issue = forge.world.add_issue(repository, "It breaks", "Steps ...")
    push_branch(forge, tmp_path, "fix")
    issue_path = f"{REPOSITORY}/issues/{issue.number}"
    assert ask(forge, "POST", f"{issue_path}/labels", {"labels": ["ostro"]})[0] == 200
    assert ask(forge, "GET", f"{issue_path}/events?per_page=100")[1][0]["label"]["name"] == "ostro"
    assert ask(forge, "GET", f"{REPOSITORY}/issues?labels=ostro&state=open")[1][0]["number"] == issue.number
    comment = ask(forge, "POST", f"{issue_path}/comments", {"body": "hello"})[1]
    assert ask(forge, "PATCH", f"{REPOSITORY}/issues/comments/{comment['id']}", {"body": "bye"})[0] == 200
    assert ask(forge, "GET", f"{issue_path}/comments")[1][0]["body"] == "bye"
    wanted = {"title": "fix", "head": "fix", "base": "main", "body": "b", "draft": True}
    status, pull = ask(forge, "POST", f"{REPOSITORY}/pulls", wanted)
    assert (status, pull["draft"], pull["head"]["sha"]) == (201, True, repository.head_of("fix"))
    status, said = ask(forge, "POST", f"{REPOSITORY}/pulls", wanted)
    assert (status, said["errors"][0]["message"]) == (422, "A pull request already exists for acme:fix.")
    assert ask(forge, "PATCH", f"{REPOSITORY}/pulls/{pull['number']}", {"title": "other"})[1]["title"] == "other"
    assert len(ask(forge, "GET", f"{REPOSITORY}/pulls?head=acme:fix&state=all")[1]) == 1
    assert ask(forge, "GET", f"{REPOSITORY}/collaborators/alice/permission")[1]["permission"] == "admin"
    assert ask(forge, "GET", f"{REPOSITORY}/commits/{pull['head']['sha']}/check-runs")[1]["total_count"] == 0
    assert ask(forge, "DELETE", f"{issue_path}/labels/ostro")[1] == []
    assert ask(forge, "GET", "/user")[0] == 403


def test_fake_when_a_run_is_played_then_state_and_git_fit_together(tmp_path: Path) -> None:
    with FakeForge(tmp_path / "forge") as forge:
        play(forge, tmp_path)


@pytest.mark.slow
def test_fake_when_compared_with_the_published_description_then_it_fits(tmp_path: Path) -> None:
    with FakeForge(tmp_path / "forge", description=github_description()) as forge:
        play(forge, tmp_path)
        ask(forge, "POST", f"{REPOSITORY}/issues/1/comments", {"text": "a field that nobody knows"} | {"body": "x"})
    route = "POST /repos/{owner}/{repo}/issues/{issue_number}/comments"
    assert forge.deviations == [f"{route}: text is not described"]


def test_fake_when_the_token_may_only_read_then_api_and_push_refuse(tmp_path: Path) -> None:
    with FakeForge(tmp_path / "forge") as forge:
        repository = forge.world.add_repository(make_repository(tmp_path / "source"))
        forge.world.add_issue(repository, "It breaks")
        forge.world.add_token("ghs_reading0123456789", write=False)
        status, _ = ask(forge, "POST", f"{REPOSITORY}/issues/1/comments", {"body": "x"}, token="ghs_reading0123456789")
        assert status == 403
        with pytest.raises(Exception, match="exit status 128"):
            push_branch(forge, tmp_path, "fix", token="ghs_reading0123456789")


def test_fake_when_a_fault_is_planned_then_it_strikes_as_often_as_asked(tmp_path: Path) -> None:
    with FakeForge(tmp_path / "forge") as forge:
        repository = forge.world.add_repository(make_repository(tmp_path / "source"))
        forge.world.add_issue(repository, "It breaks")
        forge.world.add_token(TOKEN)
        forge.faults += [Fault("POST", "/comments$", "rate"), Fault("POST", "/comments$", "lost")]
        path = f"{REPOSITORY}/issues/1/comments"
        assert ask(forge, "POST", path, {"body": "x"})[0] == 403
        with pytest.raises(Exception, match="closed"):
            ask(forge, "POST", path, {"body": "x"})
        assert [entry.body for entry in repository.comments] == ["x"]
        assert ask(forge, "POST", path, {"body": "y"})[0] == 201
