"""GitLab and Gitea behind the protocol: what is asked of them, and what is read of their documented answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ostro.agent.errors import ForgeError
from ostro.forge.gitea import GiteaRepository, gitea_api
from ostro.forge.gitlab import GitLabProject, gitlab_api
from ostro.forge.marker import Marker
from ostro.forge.once import ensure_note, ensure_pull
from ostro.forge.protocol import FailedCheck, Forge

OURS = Marker(kind="status", issue=4).line() + "text"


@dataclass
class Canned:
    """Answers by method and path (without its query); what is not there is a 404."""

    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    asked: list[tuple[str, str, Any]] = field(default_factory=list[tuple[str, str, Any]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    url: str = ""

    def bodies(self, method: str) -> list[tuple[str, Any]]:
        return [(path, body) for verb, path, body in self.asked if verb == method]


@pytest.fixture
def canned() -> Iterator[Canned]:
    state = Canned()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", "0")))
            path = self.path.partition("?")[0]
            state.asked.append((self.command, self.path, json.loads(raw) if raw else None))
            state.headers.append({name.lower(): value for name, value in self.headers.items()})
            value = state.answers.get(f"{self.command} {path}")
            content = json.dumps({"message": "404 Not found"} if value is None else value).encode()
            self.send_response(404 if value is None else 201 if self.command == "POST" else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  # names of the base class

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the signature of the base class
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def gitlab(canned: Canned) -> Iterator[Forge]:
    root = "/api/v4/projects/acme%2Fsub%2Fwidget"
    merge = {"iid": 9, "title": "Draft: fix: x (#4)", "description": "b", "state": "opened", "draft": True,
             "sha": "a" * 40,
             "source_branch": "ostro/issue-4", "target_branch": "main", "source_project_id": 3, "target_project_id": 3,
             "author": {"username": "ostro-bot"}, "web_url": "https://x/9"}  # fmt: skip
    note = {"id": 70, "body": OURS, "author": {"username": "alice"}, "system": False}
    canned.answers |= {
        f"GET {root}": {"id": 3, "default_branch": "trunk"},
        "GET /api/v4/users": [{"id": 11, "username": "alice"}],
        f"GET {root}/members/all/11": {"access_level": 30},
        f"GET {root}/issues/4": {"iid": 4, "title": "t", "description": "d", "state": "opened",
                                 "discussion_locked": None,
                                 "assignees": [{"username": "bob"}], "labels": ["ostro"], "web_url": "https://x/4",
                                 "author": {"username": "carol"}},
        f"GET {root}/issues": [{"iid": 4, "title": "t"}],
        f"GET {root}/issues/4/resource_label_events": [
            {"user": {"username": "alice"}, "label": {"name": "ostro"}, "action": "add"},
            {"user": {"username": "bob"}, "label": {"name": "ostro"}, "action": "remove"}],
        f"GET {root}/issues/4/notes": [{"id": 69, "body": "assigned", "system": True}, note],
        f"POST {root}/issues/4/notes": note, f"PUT {root}/issues/4/notes/70": note | {"body": "new"},
        f"GET {root}/merge_requests": [merge], f"POST {root}/merge_requests": merge,
        f"PUT {root}/merge_requests/9": merge, f"PUT {root}/issues/4": {"iid": 4, "title": "t"},
        f"GET {root}/repository/commits/{'a' * 40}/statuses": [
            {"name": "unit", "status": "failed", "description": "2 red"}, {"name": "lint", "status": "success"}],
    }  # fmt: skip
    with gitlab_api(f"{canned.url}/api/v4", "glpat-x", wait=lambda _: None) as api:
        yield GitLabProject("acme/sub/widget", "glpat-x", api, server_url="https://gitlab.example")


@pytest.fixture
def gitea(canned: Canned) -> Iterator[Forge]:
    root = "/api/v1/repos/acme/widget"
    side = {"repo": {"full_name": "acme/widget"}}
    pull = {"number": 9, "title": "WIP: fix: x (#4)", "body": "b", "state": "open", "draft": True, "merged": False,
            "html_url": "https://x/9", "user": {"login": "gitea-actions"},
            "head": {"ref": "ostro/issue-4", "sha": "a" * 40, **side},
            "base": {"ref": "main", "sha": "b" * 40, **side}}  # fmt: skip
    note = {"id": 70, "body": OURS, "user": {"login": "gitea-actions"}, "html_url": "https://x/4#70"}
    canned.answers |= {
        f"GET {root}": {"full_name": "acme/widget", "default_branch": "trunk"},
        f"GET {root}/collaborators/alice/permission": {"permission": "owner", "role_name": "owner"},
        f"GET {root}/issues/4": {"number": 4, "title": "t", "body": "d", "state": "open", "is_locked": False,
                                 "html_url": "https://x/4",
                                 "user": {"login": "carol"}, "assignees": [{"login": "bob"}],
                                 "labels": [{"id": 5, "name": "ostro"}], "pull_request": None},
        f"GET {root}/issues": [{"number": 4, "title": "t", "pull_request": None}],
        f"GET {root}/issues/4/timeline": [
            {"type": "label", "body": "1", "label": {"id": 5, "name": "ostro"}, "user": {"login": "alice"}},
            {"type": "label", "body": "", "label": {"id": 5, "name": "ostro"}, "user": {"login": "bob"}}],
        f"GET {root}/issues/4/comments": [note], f"POST {root}/issues/4/comments": note,
        f"PATCH {root}/issues/comments/70": note | {"body": "new"},
        f"GET {root}/pulls": [pull, pull | {"number": 8, "head": {"ref": "other", **side}}], f"POST {root}/pulls": pull,
        f"PATCH {root}/pulls/9": pull, f"GET {root}/labels": [{"id": 6, "name": "bug"}],
        f"POST {root}/labels": {"id": 7, "name": "ostro-draft"}, f"POST {root}/issues/9/labels": [],
        f"DELETE {root}/issues/4/labels/5": {},
        f"GET {root}/commits/{'a' * 40}/statuses": [
            {"context": "unit", "status": "failure", "description": "2 red"}, {"context": "lint", "status": "success"}],
    }  # fmt: skip
    with gitea_api(f"{canned.url}/api/v1", "gta-x", wait=lambda _: None) as api:
        yield GiteaRepository("acme/widget", "gta-x", api, server_url="https://gitea.example")


@pytest.fixture(params=["gitlab", "gitea"])
def forge(request: pytest.FixtureRequest) -> Forge:
    found: Forge = request.getfixturevalue(request.param)
    return found


def test_forge_when_read_then_issue_people_and_labels_are_understood(forge: Forge) -> None:
    state = forge.issue_state(4)
    issue = forge.get_issue(forge.issue_ref(4))

    assert forge.default_branch() == "trunk"
    assert (forge.may_write("alice"), forge.may_write("stranger")) == (True, False)
    assert (state.open, state.locked, state.is_pull, state.assignees, state.labels) == (
        True,
        False,
        False,
        ("bob",),
        ("ostro",),
    )
    assert (forge.labelled("ostro"), forge.who_labelled(4, "ostro")) == ((4,), "alice")
    assert (issue.title, issue.body, issue.author, issue.comments) == ("t", "d", "carol", ())
    assert forge.failed_checks("a" * 40) == (FailedCheck("unit", "2 red"),)


def test_forge_when_a_comment_is_there_then_it_is_changed_and_not_doubled(forge: Forge, canned: Canned) -> None:
    assert ensure_note(forge, 4, "new").body == "new"
    assert canned.bodies("POST") == []
    assert [body for _, body in canned.bodies("PUT") + canned.bodies("PATCH")] == [{"body": "new"}]


def test_forge_when_a_draft_is_there_then_only_its_text_is_changed(forge: Forge, canned: Canned) -> None:
    pull = ensure_pull(forge, branch="ostro/issue-4", base="main", title="fix: y (#4)", body="new")
    ((_, changes),) = canned.bodies("PUT") + canned.bodies("PATCH")

    assert (pull.number, pull.open, pull.merged, pull.from_here, pull.head_commit) == (9, True, False, True, "a" * 40)
    assert changes["title"].endswith("fix: x (#4)")
    assert "new" in changes.values()
    assert canned.bodies("POST") == []


def test_forge_when_a_draft_is_made_then_its_title_says_so(forge: Forge, canned: Canned) -> None:
    forge.create_pull(branch="ostro/issue-4", base="main", title="fix: x (#4)", body="b")
    ((_, wanted),) = canned.bodies("POST")
    assert wanted["title"] in ("Draft: fix: x (#4)", "WIP: fix: x (#4)")


def test_forge_when_labels_change_then_in_its_own_words(forge: Forge, canned: Canned) -> None:
    forge.label_pull(9, "ostro-draft")
    forge.remove_label(4, "ostro")
    sent = [(method, path.rpartition("/v")[2][1:], body) for method, path, body in canned.asked if method != "GET"]
    assert sent in (
        [("PUT", "/projects/acme%2Fsub%2Fwidget/merge_requests/9", {"add_labels": "ostro-draft"}),
         ("PUT", "/projects/acme%2Fsub%2Fwidget/issues/4", {"remove_labels": "ostro"})],
        [("POST", "/repos/acme/widget/labels", {"name": "ostro-draft", "color": "#5319e7"}),
         ("POST", "/repos/acme/widget/issues/9/labels", {"labels": [7]}),
         ("DELETE", "/repos/acme/widget/issues/4/labels/5", None)],
    )  # fmt: skip


def test_forge_when_something_is_missing_then_the_error_names_it_and_no_token(forge: Forge, canned: Canned) -> None:
    with pytest.raises(ForgeError, match="404 Not found") as told:
        forge.issue_state(5)
    assert told.value.forge_kind == "missing"
    assert all(token not in str(told.value) for token in ("glpat-x", "gta-x"))
    assert {"private-token", "authorization"} & set(canned.headers[0])
