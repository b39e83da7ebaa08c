"""GitHub's REST API over the fake's world: the routes that Ostro uses, with the fields that it may read and no others.

Shapes and messages from docs.github.com/en/rest; description.py compares them with GitHub's own description.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.forge.fake.answer import Answer, Ask
from tests.forge.fake.world import BOT, STAMP, Comment, Issue, LabelEvent, Pull, Repository, World

Json = dict[str, Any]


class Refused(Exception):  # noqa: N818  # an answer, not a failure
    def __init__(self, status: int, message: str, *errors: Json) -> None:
        super().__init__(message)
        self.status = status
        self.value: Json = {"message": message, "documentation_url": "https://docs.github.com/rest"}
        if errors:
            self.value["errors"] = list(errors)


class Moved(Refused):
    def __init__(self, url: str) -> None:
        super().__init__(301, "Moved Permanently")
        self.value["url"] = url


@dataclass(frozen=True)
class View:
    """One request within its repository."""

    world: World
    repository: Repository
    ask: Ask
    base_url: str
    parts: dict[str, str]

    @property
    def login(self) -> str:
        assert self.ask.token is not None
        return self.ask.token.login

    def number(self, name: str) -> int:
        return int(self.parts[name])

    def issue(self) -> Issue:
        found = self.repository.issues.get(self.number("issue_number"))
        if found is None:
            raise Refused(404, "Not Found")
        if found.moved_to:
            raise Moved(self.base_url + found.moved_to)
        return found


Handler = Callable[[View], tuple[int, Any]]
Routes = list[tuple[str, str, re.Pattern[str], Handler]]
ROUTES: Routes = []


def route(method: str, template: str, routes: Routes = ROUTES) -> Callable[[Handler], Handler]:
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))

    def add(handler: Handler) -> Handler:
        routes.append((method, template, pattern, handler))
        return handler

    return add


def answer(world: World, ask: Ask, *, base_url: str) -> Answer:
    """Answer as GitHub does."""
    if ask.refused:
        return Answer(401, {"message": "Bad credentials"})
    if ask.method == "GET" and ask.path == "/user":
        return _user(world, ask)
    return answer_of(ROUTES, world, ask, base_url=base_url)


def answer_of(routes: Routes, world: World, ask: Ask, *, base_url: str) -> Answer:
    """Find the route and answer; what nobody knows is a 404."""
    for method, template, pattern, handler in routes:
        match = pattern.fullmatch(ask.path)
        if method != ask.method or match is None:
            continue
        repository = world.repositories.get(f"{match['owner']}/{match['repo']}")
        try:
            _admit(ask, repository)
            assert repository is not None
            status, value = handler(View(world, repository, ask, base_url, match.groupdict()))
        except Refused as refusal:
            headers = {"Location": refusal.value["url"]} if isinstance(refusal, Moved) else {}
            return Answer(refusal.status, refusal.value, template, headers)
        return Answer(status, value, template)
    return Answer(404, {"message": "Not Found"})


def _admit(ask: Ask, repository: Repository | None) -> None:
    if repository is None or (repository.private and ask.token is None):
        raise Refused(404, "Not Found")
    if ask.method != "GET" and ask.token is None:
        raise Refused(401, "Requires authentication")
    if ask.method != "GET" and ask.token is not None and not ask.token.write:
        raise Refused(403, NOT_ACCESSIBLE)


NOT_ACCESSIBLE = "Resource not accessible by integration"


def _user(world: World, ask: Ask) -> Answer:
    if ask.token is None:
        return Answer(401, {"message": "Requires authentication"}, "/user")
    if ask.token.login.endswith("[bot]"):
        return Answer(403, {"message": NOT_ACCESSIBLE}, "/user")
    user = world.users[ask.token.login]
    return Answer(200, {"login": user.login, "id": user.id, "type": user.type}, "/user")


@route("GET", "/repos/{owner}/{repo}")
def get_repository(view: View) -> tuple[int, Any]:
    return 200, _repository(view.repository, view.base_url)


@route("GET", "/repos/{owner}/{repo}/collaborators/{username}/permission")
def get_permission(view: View) -> tuple[int, Any]:
    if view.ask.token is None:
        raise Refused(401, "Requires authentication")
    login = view.parts["username"]
    if login not in view.world.users:
        raise Refused(404, f"{login} is not a user")
    permission = view.repository.permission_of(login)
    return 200, {"permission": permission, "role_name": permission, "user": _person(view.world, login)}


@route("GET", "/repos/{owner}/{repo}/issues")
def list_issues(view: View) -> tuple[int, Any]:
    query = view.ask.query
    state, label = query.get("state", "open"), query.get("labels", "")
    found = [
        _issue(view, issue)
        for issue in sorted(view.repository.issues.values(), key=lambda entry: entry.number)
        if state in ("all", issue.state) and (not label or label in issue.labels)
    ]
    return 200, _page(view, found if query.get("direction") == "asc" else found[::-1])


@route("GET", "/repos/{owner}/{repo}/issues/{issue_number}")
def get_issue(view: View) -> tuple[int, Any]:
    return 200, _issue(view, view.issue())


@route("GET", "/repos/{owner}/{repo}/issues/{issue_number}/events")
def list_events(view: View) -> tuple[int, Any]:
    events = [event for event in view.repository.label_events if event.issue == view.issue().number]
    return 200, _page(view, [_label_event(view, event) for event in events])


@route("GET", "/repos/{owner}/{repo}/issues/{issue_number}/comments")
def list_comments(view: View) -> tuple[int, Any]:
    found = [entry for entry in view.repository.comments if entry.issue == view.issue().number]
    return 200, _page(view, [_comment(view, entry) for entry in found])


@route("POST", "/repos/{owner}/{repo}/issues/{issue_number}/comments")
def create_comment(view: View) -> tuple[int, Any]:
    issue = view.issue()
    if issue.locked:
        raise Refused(403, "Unable to create comment because issue is locked.")
    _text(view.ask.body["body"])
    entry = Comment(next(view.world.ids), issue.number, view.login, view.ask.body["body"])
    view.repository.comments.append(entry)
    return 201, _comment(view, entry)


@route("PATCH", "/repos/{owner}/{repo}/issues/comments/{comment_id}")
def update_comment(view: View) -> tuple[int, Any]:
    entry = next((found for found in view.repository.comments if found.id == view.number("comment_id")), None)
    if entry is None:
        raise Refused(404, "Not Found")
    _text(view.ask.body["body"])
    entry.body = view.ask.body["body"]
    return 200, _comment(view, entry)


@route("DELETE", "/repos/{owner}/{repo}/issues/comments/{comment_id}")
def delete_comment(view: View) -> tuple[int, Any]:
    entry = next((found for found in view.repository.comments if found.id == view.number("comment_id")), None)
    if entry is None:
        raise Refused(404, "Not Found")
    view.repository.comments.remove(entry)
    return 204, None


@route("POST", "/repos/{owner}/{repo}/issues/{issue_number}/labels")
def add_labels(view: View) -> tuple[int, Any]:
    issue = view.issue()
    for name in view.ask.body["labels"]:
        view.world.add_label(view.repository, issue.number, name, actor=view.login)
    return 200, [_label(name) for name in issue.labels]


@route("DELETE", "/repos/{owner}/{repo}/issues/{issue_number}/labels/{name}")
def remove_label(view: View) -> tuple[int, Any]:
    issue = view.issue()
    if view.parts["name"] not in issue.labels:
        raise Refused(404, "Label does not exist")
    issue.labels.remove(view.parts["name"])
    return 200, [_label(name) for name in issue.labels]


@route("GET", "/repos/{owner}/{repo}/pulls")
def list_pulls(view: View) -> tuple[int, Any]:
    query = view.ask.query
    owner, _, head = query.get("head", "").partition(":")
    found = [
        _pull(view, pull)
        for pull in view.repository.pulls.values()
        if query.get("state", "open") in ("all", view.repository.issues[pull.number].state)
        and (not head or (pull.head == head and pull.head_repository.split("/")[0] == owner))
    ]
    return 200, _page(view, found[::-1])


@route("GET", "/repos/{owner}/{repo}/pulls/{pull_number}")
def get_pull(view: View) -> tuple[int, Any]:
    pull = view.repository.pulls.get(view.number("pull_number"))
    if pull is None:
        raise Refused(404, "Not Found")
    return 200, _pull(view, pull) | {"merged": pull.merged}


@route("POST", "/repos/{owner}/{repo}/pulls")
def create_pull(view: View) -> tuple[int, Any]:
    body, repository = view.ask.body, view.repository
    head, base = str(body["head"]).split(":")[-1], body["base"]
    if view.login == BOT and not repository.actions_may_open_pulls:
        raise Refused(403, "GitHub Actions is not permitted to create or approve pull requests.")
    _text(body.get("body", ""))
    for name, branch in (("head", head), ("base", base)):
        if repository.head_of(branch) is None:
            raise Refused(422, "Validation Failed", {"resource": "PullRequest", "field": name, "code": "invalid"})
    if any(pull.head == head and repository.issues[pull.number].state == "open" for pull in repository.pulls.values()):
        said = f"A pull request already exists for {repository.owner}:{head}."
        raise Refused(422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": said})
    if not repository.git("rev-list", "-1", f"{base}..{head}"):
        said = f"No commits between {base} and {head}"
        raise Refused(422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": said})
    issue = view.world.add_issue(repository, body["title"], body.get("body", ""), author=view.login)
    pull = Pull(issue.number, head, base, bool(body.get("draft")), repository.full_name)
    repository.pulls[issue.number] = pull
    return 201, _pull(view, pull) | {"merged": False}


@route("PATCH", "/repos/{owner}/{repo}/pulls/{pull_number}")
def update_pull(view: View) -> tuple[int, Any]:
    pull = view.repository.pulls.get(view.number("pull_number"))
    if pull is None:
        raise Refused(404, "Not Found")
    issue, body = view.repository.issues[pull.number], view.ask.body
    _text(body.get("body", ""))
    issue.title, issue.body = body.get("title", issue.title), body.get("body", issue.body)
    issue.state = body.get("state", issue.state)
    return 200, _pull(view, pull) | {"merged": pull.merged}


@route("GET", "/repos/{owner}/{repo}/commits/{ref}/check-runs")
def list_checks(view: View) -> tuple[int, Any]:
    runs = view.repository.checks.get(view.parts["ref"], [])
    shown = [
        {"id": index, "name": run.name, "status": "completed", "conclusion": run.conclusion,
         "output": {"title": run.name, "summary": run.summary, "text": None}}
        for index, run in enumerate(runs, 1)
    ]  # fmt: skip
    return 200, {"total_count": len(shown), "check_runs": shown}


MAX_BODY_CHARS = 65536


def _text(text: str) -> None:
    if len(text) > MAX_BODY_CHARS:
        said = f"body is too long (maximum is {MAX_BODY_CHARS} characters)"
        raise Refused(422, "Validation Failed", {"resource": "Issue", "code": "custom", "message": said})


def _page(view: View, found: list[Json]) -> list[Json]:
    size, number = int(view.ask.query.get("per_page", "30")), int(view.ask.query.get("page", "1"))
    return found[(number - 1) * size : number * size]


def _person(world: World, login: str) -> Json:
    user = world.users[login]
    return {"login": user.login, "id": user.id, "type": user.type}


def _label(name: str) -> Json:
    return {"name": name}


def _repository(repository: Repository, base_url: str) -> Json:
    return {
        "id": repository.id,
        "name": repository.name,
        "full_name": repository.full_name,
        "private": repository.private,
        "html_url": f"{base_url}/{repository.full_name}",
        "default_branch": repository.default_branch,
    }


def _issue(view: View, issue: Issue) -> Json:
    kind = "pull" if issue.number in view.repository.pulls else "issues"
    shown: Json = {
        "number": issue.number,
        "title": issue.title,
        "body": issue.body,
        "state": issue.state,
        "locked": issue.locked,
        "html_url": f"{view.base_url}/{view.repository.full_name}/{kind}/{issue.number}",
        "user": _person(view.world, issue.author),
        "author_association": view.repository.association_of(issue.author),
        "comments": sum(1 for entry in view.repository.comments if entry.issue == issue.number),
        "labels": [_label(name) for name in issue.labels],
        "assignees": [_person(view.world, login) for login in issue.assignees],
        "created_at": STAMP,
    }
    if kind == "pull":
        shown["pull_request"] = {"html_url": shown["html_url"], "diff_url": "", "patch_url": "", "url": ""}
    return shown


def _label_event(view: View, event: LabelEvent) -> Json:
    return {
        "id": event.id,
        "event": "labeled",
        "actor": _person(view.world, event.actor),
        "label": {"name": event.label, "color": "ededed"},
        "created_at": event.made,
    }


def _comment(view: View, entry: Comment) -> Json:
    return {
        "id": entry.id,
        "body": entry.body,
        "user": _person(view.world, entry.author),
        "author_association": "NONE" if entry.author == BOT else view.repository.association_of(entry.author),
        "html_url": f"{view.base_url}/{view.repository.full_name}/issues/{entry.issue}#issuecomment-{entry.id}",
        "created_at": entry.written,
    }


def _pull(view: View, pull: Pull) -> Json:
    issue, repository = view.repository.issues[pull.number], view.repository
    head_repository = view.world.repositories.get(pull.head_repository, repository)
    head_sha = head_repository.head_of(pull.head) or "0" * 40
    return {
        "number": pull.number,
        "title": issue.title,
        "body": issue.body,
        "state": issue.state,
        "draft": pull.draft,
        "locked": issue.locked,
        "html_url": f"{view.base_url}/{repository.full_name}/pull/{pull.number}",
        "user": _person(view.world, issue.author),
        "head": {"ref": pull.head, "sha": head_sha, "label": f"{head_repository.owner}:{pull.head}",
                 "repo": {"full_name": pull.head_repository}},
        "base": {"ref": pull.base, "sha": repository.head_of(pull.base) or "",
                 "label": f"{repository.owner}:{pull.base}", "repo": {"full_name": repository.full_name}},
        "merged_at": STAMP if pull.merged else None,
    }  # fmt: skip
