"""The REST API of Gitea and Forgejo over the fake's world: GitHub's routes, where they are the same, and its own.

Shapes and messages from docs.gitea.com/api; no package of a registry was found that carries Gitea's own description.
"""

from __future__ import annotations

import re
from typing import Any
from zlib import crc32

from tests.forge.fake import github
from tests.forge.fake.answer import Answer, Ask
from tests.forge.fake.github import Json, Refused, Routes, View, answer_of, route
from tests.forge.fake.world import Comment, Pull, World

ROUTES: Routes = []
REPOSITORY = "/repos/{owner}/{repo}"
ISSUE = REPOSITORY + "/issues/{issue_number}"
MOST = 50
SHARED = {("GET", REPOSITORY), ("GET", ISSUE), ("GET", REPOSITORY + "/pulls/{pull_number}")}
DRAFT = re.compile(r"(WIP:|\[WIP\])", re.IGNORECASE)


def answer(world: World, ask: Ask, *, base_url: str) -> Answer:
    """Answer as Gitea does."""
    if ask.refused:
        return Answer(401, {"message": "user does not exist [uid: 0, name: ]"})
    return answer_of(ROUTES + [entry for entry in github.ROUTES if entry[:2] in SHARED], world, ask, base_url=base_url)


@route("GET", REPOSITORY + "/collaborators/{username}/permission", ROUTES)
def get_permission(view: View) -> tuple[int, Any]:
    login, token = view.parts["username"], view.ask.token
    if token is None:
        raise Refused(401, "token is required")
    if token.login != login and view.repository.permission_of(token.login) != "admin":
        raise Refused(403, "Only admins can query all permissions, repo admins can query all repo permissions")
    if login not in view.world.users:
        raise Refused(404, "user does not exist")
    permission = view.repository.permission_of(login)
    shown = "owner" if permission == "admin" else permission
    return 200, {"permission": shown, "role_name": shown, "user": {"login": login}}


@route("GET", REPOSITORY + "/issues", ROUTES)
def list_issues(view: View) -> tuple[int, Any]:
    _, found = github.list_issues(_unpaged(view))
    return 200, _page(view, found)


@route("GET", ISSUE + "/timeline", ROUTES)
def list_timeline(view: View) -> tuple[int, Any]:
    found = [
        {"id": event.id, "type": "label", "body": "1", "user": {"login": event.actor}, "label": {"name": event.label}}
        for event in view.repository.label_events
        if event.issue == view.issue().number
    ]
    said: Json = {"id": 1, "type": "comment", "body": "1", "user": {"login": "mallory"}, "label": None}
    return 200, _page(view, [*found, said])


@route("GET", ISSUE + "/comments", ROUTES)
def list_comments(view: View) -> tuple[int, Any]:
    """All of them: Gitea has no pages here."""
    return 200, [_comment(view, entry) for entry in view.repository.comments if entry.issue == view.issue().number]


@route("POST", ISSUE + "/comments", ROUTES)
def create_comment(view: View) -> tuple[int, Any]:
    issue = view.issue()
    if issue.locked:
        raise Refused(403, "comment to locked issue not allowed")
    entry = Comment(next(view.world.ids), issue.number, view.login, view.ask.body["body"])
    view.repository.comments.append(entry)
    return 201, _comment(view, entry)


@route("PATCH", REPOSITORY + "/issues/comments/{comment_id}", ROUTES)
def update_comment(view: View) -> tuple[int, Any]:
    entry = next((found for found in view.repository.comments if found.id == view.number("comment_id")), None)
    if entry is None:
        raise Refused(404, "comment does not exist")
    entry.body = view.ask.body["body"]
    return 200, _comment(view, entry)


@route("DELETE", REPOSITORY + "/issues/comments/{comment_id}", ROUTES)
def delete_comment(view: View) -> tuple[int, Any]:
    return github.delete_comment(view)


@route("GET", REPOSITORY + "/labels", ROUTES)
def list_labels(view: View) -> tuple[int, Any]:
    return 200, _page(view, [_label(view, name) for name in sorted(view.repository.labels)])


@route("POST", REPOSITORY + "/labels", ROUTES)
def create_label(view: View) -> tuple[int, Any]:
    if not re.fullmatch(r"#?[0-9a-fA-F]{6}", view.ask.body["color"]):
        raise Refused(422, "bad color")
    view.repository.labels.add(view.ask.body["name"])
    return 201, _label(view, view.ask.body["name"])


@route("POST", ISSUE + "/labels", ROUTES)
def add_labels(view: View) -> tuple[int, Any]:
    known = {_label(view, name)["id"]: name for name in view.repository.labels}
    for number in view.ask.body["labels"]:
        view.world.add_label(view.repository, view.issue().number, known[number], actor=view.login)
    return 200, [_label(view, name) for name in view.issue().labels]


@route("DELETE", ISSUE + "/labels/{label_id}", ROUTES)
def remove_label(view: View) -> tuple[int, Any]:
    found = [name for name in view.issue().labels if _label(view, name)["id"] == view.number("label_id")]
    if not found:
        raise Refused(422, "label does not exist")
    view.issue().labels.remove(found[0])
    return 204, None


@route("GET", ISSUE, ROUTES)
def get_issue(view: View) -> tuple[int, Any]:
    _, found = github.get_issue(view)
    names = [label["name"] for label in found["labels"]]
    return 200, found | {"labels": [_label(view, name) for name in names], "is_locked": found.pop("locked")}


@route("GET", REPOSITORY + "/pulls", ROUTES)
def list_pulls(view: View) -> tuple[int, Any]:
    """Every one, whatever branch is asked for: Gitea knows no parameter `head`."""
    state = view.ask.query.get("state", "open")
    every = sorted(view.repository.pulls.values(), key=lambda pull: -pull.number)
    wanted = [pull for pull in every if state in ("all", view.repository.issues[pull.number].state)]
    return 200, _page(view, [_pull(view, pull) for pull in wanted])


@route("POST", REPOSITORY + "/pulls", ROUTES)
def create_pull(view: View) -> tuple[int, Any]:
    body, repository = view.ask.body, view.repository
    for branch in (body["head"], body["base"]):
        if repository.head_of(branch) is None:
            raise Refused(404, "The target couldn't be found.")
    if any(pull.head == body["head"] and repository.issues[pull.number].state == "open"
           for pull in repository.pulls.values()):  # fmt: skip
        raise Refused(409, f"pull request already exists for these targets [head_branch: {body['head']}]")
    about = view.world.add_issue(repository, body["title"], body.get("body", ""), author=view.login)
    draft = DRAFT.match(about.title) is not None
    repository.pulls[about.number] = Pull(about.number, body["head"], body["base"], draft, repository.full_name)
    return 201, _pull(view, repository.pulls[about.number])


@route("PATCH", REPOSITORY + "/pulls/{pull_number}", ROUTES)
def update_pull(view: View) -> tuple[int, Any]:
    pull = view.repository.pulls.get(view.number("pull_number"))
    if pull is None:
        raise Refused(404, "The target couldn't be found.")
    about, body = view.repository.issues[pull.number], view.ask.body
    about.title, about.body = body.get("title", about.title), body.get("body", about.body)
    pull.draft = DRAFT.match(about.title) is not None
    return 201, _pull(view, pull)


@route("GET", REPOSITORY + "/commits/{ref}/statuses", ROUTES)
def list_statuses(view: View) -> tuple[int, Any]:
    names = {"success": "success", "failure": "failure", "neutral": "warning"}
    runs = view.repository.checks.get(view.parts["ref"], [])
    return 200, _page(
        view, [{"context": run.name, "status": names[run.conclusion], "description": run.summary} for run in runs]
    )


def _unpaged(view: View) -> View:
    query = {key: value for key, value in view.ask.query.items() if key != "page"}
    ask = Ask(view.ask.method, view.ask.path, {**query, "per_page": "100000"}, view.ask.body, view.ask.token)
    return View(view.world, view.repository, ask, view.base_url, view.parts)


def _page(view: View, found: list[Json]) -> list[Json]:
    size, number = min(MOST, int(view.ask.query.get("limit", "30"))), int(view.ask.query.get("page", "1"))
    return found[(number - 1) * size : number * size]


def _label(view: View, name: str) -> Json:
    return {"id": crc32(name.encode()), "name": name, "color": "5319e7"}


def _comment(view: View, entry: Comment) -> Json:
    user = view.world.users[entry.author]
    return {
        "id": entry.id,
        "body": entry.body,
        "user": {"login": entry.author, "id": -2 if user.type == "Bot" else user.id},
        "html_url": f"{view.base_url}/{view.repository.full_name}/issues/{entry.issue}#issuecomment-{entry.id}",
        "created_at": entry.written,
    }


def _pull(view: View, pull: Pull) -> Json:
    parts = {**view.parts, "pull_number": str(pull.number)}
    found: Json
    _, found = github.get_pull(View(view.world, view.repository, view.ask, view.base_url, parts))
    return found
