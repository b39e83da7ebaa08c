"""GitLab's REST API, version 4, over the fake's world: the routes and fields that Ostro uses and no others.

Shapes and messages from docs.gitlab.com/api; no package of a registry was found that carries GitLab's own description.
A merge request goes by a number of its own row here: the first of a project is !1, whatever issues there are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.forge.fake import github
from tests.forge.fake.answer import Answer, Ask
from tests.forge.fake.github import Json, Refused, Routes, View, answer_of, route
from tests.forge.fake.world import STAMP, Comment, Issue, LabelEvent, Permission, Pull, World

ROUTES: Routes = []
PROJECT = "/projects/{owner}/{repo}"
ISSUE = PROJECT + "/issues/{issue_number}"
MERGE = PROJECT + "/merge_requests/{iid}"
LEVELS: dict[Permission, int] = {"admin": 50, "write": 30, "read": 20, "none": 0}


def answer(world: World, ask: Ask, *, base_url: str) -> Answer:
    """Answer as GitLab does."""
    if ask.refused:
        return Answer(401, {"message": "401 Unauthorized"})
    if ask.token is None and (ask.path == "/users" or ask.path.endswith("/notes")):
        return Answer(401, {"message": "401 Unauthorized"})
    if ask.path == "/users":
        found = [_person(world, login) for login in world.users if login == ask.query.get("username")]
        return Answer(200, found, "/users")
    return answer_of(ROUTES, world, ask, base_url=base_url)


@route("GET", PROJECT, ROUTES)
def get_project(view: View) -> tuple[int, Any]:
    found = view.repository
    return 200, {"id": found.id, "path_with_namespace": found.full_name, "default_branch": found.default_branch}


@route("GET", PROJECT + "/members/all/{user_id}", ROUTES)
def get_member(view: View) -> tuple[int, Any]:
    login = next((user.login for user in view.world.users.values() if user.id == view.number("user_id")), "")
    if login not in view.repository.permissions:
        raise Refused(404, "404 Not found")
    level = LEVELS[view.repository.permission_of(login)]
    return 200, _person(view.world, login) | {"access_level": level}


@route("GET", PROJECT + "/issues", ROUTES)
def list_issues(view: View) -> tuple[int, Any]:
    state, label = view.ask.query.get("state", "all"), view.ask.query.get("labels", "")
    every = [issue for number, issue in view.repository.issues.items() if number not in view.repository.pulls]
    found = [
        _issue(view, issue)
        for issue in sorted(every, key=lambda entry: entry.number)
        if state in ("all", _state(issue)) and (not label or label in issue.labels)
    ]
    return 200, _page(view, found if view.ask.query.get("sort") == "asc" else found[::-1])


@route("GET", ISSUE, ROUTES)
def get_issue(view: View) -> tuple[int, Any]:
    return 200, _issue(view, _own_issue(view))


@route("PUT", ISSUE, ROUTES)
def update_issue(view: View) -> tuple[int, Any]:
    issue = _own_issue(view)
    _relabel(view, issue)
    return 200, _issue(view, issue)


@route("GET", ISSUE + "/resource_label_events", ROUTES)
def list_label_events(view: View) -> tuple[int, Any]:
    found = [event for event in view.repository.label_events if event.issue == _own_issue(view).number]
    return 200, _page(view, [_label_event(view, event) for event in found])


@route("GET", ISSUE + "/notes", ROUTES)
def list_notes(view: View) -> tuple[int, Any]:
    return 200, _notes(view, _own_issue(view))


@route("POST", ISSUE + "/notes", ROUTES)
def create_note(view: View) -> tuple[int, Any]:
    issue = _own_issue(view)
    if issue.locked:
        raise Refused(403, "403 Forbidden")
    entry = Comment(next(view.world.ids), issue.number, view.login, view.ask.body["body"])
    view.repository.comments.append(entry)
    return 201, _note(view, entry)


@route("PUT", ISSUE + "/notes/{note_id}", ROUTES)
def update_note(view: View) -> tuple[int, Any]:
    number = _own_issue(view).number
    entry = next(
        (found for found in view.repository.comments if (found.id, found.issue) == (view.number("note_id"), number)),
        None,
    )
    if entry is None:
        raise Refused(404, "404 Not found")
    if entry.author != view.login:
        raise Refused(403, "403 Forbidden")
    entry.body = view.ask.body["body"]
    return 200, _note(view, entry)


@route("DELETE", ISSUE + "/notes/{note_id}", ROUTES)
def delete_note(view: View) -> tuple[int, Any]:
    return github.delete_comment(replace(view, parts={"comment_id": view.parts["note_id"]}))


@route("GET", PROJECT + "/merge_requests", ROUTES)
def list_merges(view: View) -> tuple[int, Any]:
    query = view.ask.query
    found = [
        _merge(view, pull)
        for pull in view.repository.pulls.values()
        if query.get("source_branch", pull.head) == pull.head
        and query.get("state", "all") in ("all", _merge(view, pull)["state"])
    ]
    return 200, _page(view, found[::-1])


@route("GET", MERGE, ROUTES)
def get_merge(view: View) -> tuple[int, Any]:
    return 200, _merge(view, _own_merge(view))


@route("GET", MERGE + "/notes", ROUTES)
def list_merge_notes(view: View) -> tuple[int, Any]:
    return 200, _notes(view, view.repository.issues[_own_merge(view).number])


@route("POST", PROJECT + "/merge_requests", ROUTES)
def create_merge(view: View) -> tuple[int, Any]:
    body, repository = view.ask.body, view.repository
    head, base = body["source_branch"], body["target_branch"]
    for name, branch in (("source_branch", head), ("target_branch", base)):
        if repository.head_of(branch) is None:
            raise Refused(400, f"{name} does not exist")
    for pull in repository.pulls.values():
        if pull.head == head and repository.issues[pull.number].state == "open":
            said = f"Another open merge request already exists for this source branch: !{_iid(view, pull)}"
            refusal = Refused(409, said)
            refusal.value = {"message": [said]}
            raise refusal
    about = view.world.add_issue(repository, body["title"], body.get("description", ""), author=view.login)
    draft = body["title"].startswith("Draft:")
    repository.pulls[about.number] = Pull(about.number, head, base, draft, repository.full_name)
    return 201, _merge(view, repository.pulls[about.number])


@route("PUT", MERGE, ROUTES)
def update_merge(view: View) -> tuple[int, Any]:
    pull, body = _own_merge(view), view.ask.body
    about = view.repository.issues[pull.number]
    about.title, about.body = body.get("title", about.title), body.get("description", about.body)
    pull.draft = about.title.startswith("Draft:")
    _relabel(view, about)
    return 200, _merge(view, pull)


@route("GET", PROJECT + "/repository/commits/{sha}/statuses", ROUTES)
def list_statuses(view: View) -> tuple[int, Any]:
    names = {"success": "success", "failure": "failed", "neutral": "skipped"}
    runs = view.repository.checks.get(view.parts["sha"], [])
    shown = [
        {"id": index, "name": run.name, "status": names[run.conclusion], "description": run.summary or None}
        for index, run in enumerate(runs, 1)
    ]
    return 200, _page(view, shown)


def _own_issue(view: View) -> Issue:
    found = view.repository.issues.get(view.number("issue_number"))
    if found is None or found.number in view.repository.pulls:
        raise Refused(404, "404 Not found")
    return found


def _own_merge(view: View) -> Pull:
    every = sorted(view.repository.pulls)
    if not 1 <= view.number("iid") <= len(every):
        raise Refused(404, "404 Not found")
    return view.repository.pulls[every[view.number("iid") - 1]]


def _iid(view: View, pull: Pull) -> int:
    return sorted(view.repository.pulls).index(pull.number) + 1


def _relabel(view: View, about: Issue) -> None:
    """Labels come as one text, parted by commas."""
    for name in filter(None, view.ask.body.get("add_labels", "").split(",")):
        view.world.add_label(view.repository, about.number, name, actor=view.login)
    gone = view.ask.body.get("remove_labels", "").split(",")
    about.labels = [name for name in about.labels if name not in gone]


def _page(view: View, found: list[Json]) -> list[Json]:
    size, number = int(view.ask.query.get("per_page", "20")), int(view.ask.query.get("page", "1"))
    return found[(number - 1) * size : number * size]


def _person(world: World, login: str) -> Json:
    return {"id": world.users[login].id, "username": login, "name": login, "state": "active"}


def _state(issue: Issue) -> str:
    return "opened" if issue.state == "open" else "closed"


def _issue(view: View, issue: Issue) -> Json:
    return {
        "id": issue.number + 5000,
        "iid": issue.number,
        "project_id": view.repository.id,
        "title": issue.title,
        "description": issue.body or None,
        "state": _state(issue),
        "discussion_locked": True if issue.locked else None,
        "author": _person(view.world, issue.author),
        "assignees": [_person(view.world, login) for login in issue.assignees],
        "labels": list(issue.labels),
        "confidential": issue.confidential,
        "created_at": STAMP,
        "web_url": f"{view.base_url}/{view.repository.full_name}/-/issues/{issue.number}",
    }


def _label_event(view: View, event: LabelEvent) -> Json:
    return {
        "id": event.id,
        "user": _person(view.world, event.actor),
        "label": {"id": event.id, "name": event.label},
        "action": "add",
        "resource_type": "Issue",
        "created_at": event.made,
    }


def _notes(view: View, about: Issue) -> list[Json]:
    found = [_note(view, entry) for entry in view.repository.comments if entry.issue == about.number]
    added = {"body": "added ~1 label", "system": True, "internal": False, "author": _person(view.world, about.author)}
    system = [{"id": 1, "created_at": STAMP, **added}]
    every = system + found
    return _page(view, every if view.ask.query.get("sort") == "asc" else every[::-1])


def _note(view: View, entry: Comment) -> Json:
    author = _person(view.world, entry.author)
    return {"id": entry.id, "body": entry.body, "author": author, "system": False, "internal": entry.internal,
            "created_at": entry.written}  # fmt: skip


def _merge(view: View, pull: Pull) -> Json:
    about, repository = view.repository.issues[pull.number], view.repository
    head = view.world.repositories.get(pull.head_repository)
    return {
        "id": pull.number + 9000,
        "iid": _iid(view, pull),
        "title": about.title,
        "description": about.body or None,
        "state": "merged" if pull.merged else _state(about),
        "draft": pull.draft,
        "sha": (head or repository).head_of(pull.head),
        "source_branch": pull.head,
        "target_branch": pull.base,
        "source_project_id": repository.id if pull.head_repository == repository.full_name else 4711,
        "target_project_id": repository.id,
        "author": _person(view.world, about.author),
        "labels": list(about.labels),
        "web_url": f"{view.base_url}/{repository.full_name}/-/merge_requests/{_iid(view, pull)}",
    }
