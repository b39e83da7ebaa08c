"""One project on GitLab behind the `Forge` protocol. Shapes: docs.gitlab.com/api, version 4.

Issues and merge requests have two rows of numbers here, and a comment tells nothing of its author's rights: those are
asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ostro.agent.errors import ForgeError
from ostro.forge.api import Api
from ostro.forge.github import checked_api
from ostro.forge.marker import read_marker
from ostro.forge.protocol import ALWAYS, FailedCheck, Issue, IssueRef, IssueState, Note, Pull
from ostro.forge.writers import issue_of_writers
from ostro.sandbox.remote import Remote

PAGE = 100
MAX_PAGES = 50  # GitLab's issues end at 5,000 comments
DEVELOPER = 30
"""The access level from which somebody can push (docs.gitlab.com/api/access_requests)."""
DRAFT = "Draft: "
SUMMARY_CHARS = 2000


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _User(_Wire):
    id: int = 0
    username: str = ""


class _Member(_Wire):
    access_level: int = 0


class _Project(_Wire):
    id: int
    default_branch: str | None = "main"


class _Issue(_Wire):
    iid: int
    title: str
    description: str | None = None
    state: str = "opened"
    discussion_locked: bool | None = None
    confidential: bool | None = False
    assignees: list[_User] = Field(default_factory=list[_User])
    labels: list[str] = Field(default_factory=list[str])
    web_url: str = ""
    author: _User = _User()


class _Note(_Wire):
    id: int
    body: str = ""
    author: _User = _User()
    created_at: datetime | None = None
    system: bool = False
    internal: bool = False


class _LabelName(_Wire):
    name: str = ""


class _LabelEvent(_Wire):
    created_at: datetime | None = None
    user: _User | None = None
    label: _LabelName | None = None
    action: str = ""


class _Merge(_Wire):
    iid: int
    title: str
    description: str | None = None
    state: str = "opened"
    draft: bool = False
    sha: str | None = None
    source_branch: str
    target_branch: str
    source_project_id: int | None = None
    target_project_id: int | None = None
    author: _User = _User()
    web_url: str = ""


class _Status(_Wire):
    name: str = ""
    status: str = ""
    description: str | None = None


_Entry = TypeVar("_Entry", bound=BaseModel)


def gitlab_api(url: str, token: str, *, wait: Callable[[float], None] = time.sleep) -> Api:
    """Return the API of gitlab.com or of another GitLab; `url` ends with /api/v4.

    Raises:
        IssueError: it is no https URL.
    """
    return Api(checked_api(url), {"PRIVATE-TOKEN": token} if token else {}, wait=wait)


class GitLabProject:
    """Implements `ostro.forge.protocol.Forge`.

    Args:
        repository: full path, groups included.
        token: of a project, a group or a user, with the scopes `api` and, for the push, `write_repository`.
        api: of the same token; closed by whoever made it.
        server_url: of the web pages, and of git.
    """

    closing = "Closes"
    pull_sign = "!"
    job_login = ""

    def __init__(self, repository: str, token: str, api: Api, *, server_url: str = "https://gitlab.com") -> None:
        self.repository = repository
        self.remote = Remote(f"{server_url.rstrip('/')}/{repository}.git", token, user="oauth2")
        self._api = api
        self._root = f"/projects/{quote(repository, safe='')}"
        self._host = urlsplit(server_url).netloc
        self._known: dict[str, bool] = {}

    def default_branch(self) -> str:
        """Return its short name."""
        return self._api.read(_Project, self._root).default_branch or "main"

    def may_write(self, login: str) -> bool:
        """Ask for the access level, inherited ones included, once for each person."""
        if login not in self._known:
            self._known[login] = self._access_level(login) >= DEVELOPER
        return self._known[login]

    def _access_level(self, login: str) -> int:
        user = self._user(login)
        if user is None:
            return 0
        try:
            return self._api.read(_Member, f"{self._root}/members/all/{user.id}").access_level
        except ForgeError as error:
            if error.forge_kind != "missing":
                raise
            return 0

    def _user(self, login: str) -> _User | None:
        found = self._api.read_list(_User, f"/users?username={quote(login, safe='')}")
        return next((entry for entry in found if entry.username.casefold() == login.casefold()), None)

    def noreply(self, login: str, user_id: int) -> str:  # noqa: ARG002  # a webhook's word for it is not believed
        """Return the address that GitLab knows somebody by without telling their own."""
        user = self._user(login)
        return f"{user.id}-{user.username}@users.noreply.{self._host.partition(':')[0]}" if user is not None else ""

    def get_issue(self, ref: IssueRef) -> Issue:
        """Return the issue with the comments of people who can write, without pictures."""
        found = self._api.read(_Issue, f"{self._root}/issues/{ref.number}")
        return issue_of_writers(
            self, ref, title=found.title, body=found.description, author=found.author.username, url=found.web_url
        )

    def issue_ref(self, number: int) -> IssueRef:
        """Return the full name of an issue."""
        owner, _, name = self.repository.rpartition("/")
        return IssueRef(self._host, owner, name, number, kind="gitlab")

    def issue_state(self, number: int) -> IssueState:
        """Return what decides whether it is worked on."""
        found = self._api.read(_Issue, f"{self._root}/issues/{number}")
        return IssueState(
            number=found.iid,
            title=found.title,
            open=found.state == "opened",
            locked=bool(found.discussion_locked),
            confidential=bool(found.confidential),
            assignees=tuple(user.username for user in found.assignees),
            labels=tuple(found.labels),
        )

    def labelled(self, label: str) -> tuple[int, ...]:
        """Return the open issues with a label, oldest first."""
        path = f"{self._root}/issues?state=opened&sort=asc&order_by=created_at&labels={quote(label, safe='')}"
        return tuple(entry.iid for entry in self._pages(_Issue, path))

    def who_labelled(self, number: int, label: str, *, since: datetime = ALWAYS) -> str:
        """Return who put the label on last."""
        last = ""
        for event in self._pages(_LabelEvent, f"{self._root}/issues/{number}/resource_label_events?"):
            late = event.created_at is None or event.created_at >= since
            if late and event.action == "add" and event.label is not None and event.label.name == label:
                last = event.user.username if event.user is not None else ""
        return last

    def pull(self, number: int) -> Pull:
        """Return one merge request."""
        return _pull(self._api.read(_Merge, f"{self._root}/merge_requests/{number}"))

    def pulls_of(self, branch: str) -> tuple[Pull, ...]:
        """Return the merge requests of a branch, newest first."""
        path = f"{self._root}/merge_requests?state=all&source_branch={quote(branch, safe='')}"
        found = (_pull(entry) for entry in self._pages(_Merge, path))
        return tuple(sorted((pull for pull in found if pull.from_here), key=lambda pull: -pull.number))

    def create_pull(self, *, branch: str, base: str, title: str, body: str) -> Pull:
        """Open a draft."""
        wanted: dict[str, JsonValue] = {
            "source_branch": branch,
            "target_branch": base,
            "title": DRAFT + title,
            "description": body,
            "remove_source_branch": True,
        }
        return _pull(self._api.shaped(_Merge, self._api.send("POST", f"{self._root}/merge_requests", wanted)))

    def update_pull(self, number: int, *, title: str, body: str) -> Pull:
        """Change its texts."""
        changes: dict[str, JsonValue] = {"title": title, "description": body}
        answer = self._api.send("PUT", f"{self._root}/merge_requests/{number}", changes)
        return _pull(self._api.shaped(_Merge, answer))

    def notes(self, number: int, *, of_pull: bool = False) -> tuple[Note, ...]:
        """Return the comments, oldest first; what GitLab notes by itself is none, what is for members only is left."""
        kind = "merge_requests" if of_pull else "issues"
        path = f"{self._root}/{kind}/{number}/notes?sort=asc&order_by=created_at"
        return tuple(self._note(entry) for entry in self._pages(_Note, path) if not (entry.system or entry.internal))

    def create_note(self, number: int, body: str) -> Note:
        """Comment."""
        answer = self._api.send("POST", f"{self._root}/issues/{number}/notes", {"body": body})
        return self._note(self._api.shaped(_Note, answer))

    def update_note(self, number: int, note: int, body: str) -> Note:
        """Change a comment."""
        answer = self._api.send("PUT", f"{self._root}/issues/{number}/notes/{note}", {"body": body})
        return self._note(self._api.shaped(_Note, answer))

    def delete_note(self, number: int, note: int) -> None:
        """Delete a comment."""
        try:
            self._api.send("DELETE", f"{self._root}/issues/{number}/notes/{note}")
        except ForgeError as error:
            if error.forge_kind != "missing":
                raise

    def label_pull(self, number: int, label: str) -> None:
        """Add a label to a merge request."""
        self._api.send("PUT", f"{self._root}/merge_requests/{number}", {"add_labels": label})

    def add_label(self, number: int, label: str) -> None:
        """Add a label; GitLab makes one that does not exist."""
        self._api.send("PUT", f"{self._root}/issues/{number}", {"add_labels": label})

    def remove_label(self, number: int, label: str) -> None:
        """Take a label off."""
        self._api.send("PUT", f"{self._root}/issues/{number}", {"remove_labels": label})

    def failed_checks(self, commit: str) -> tuple[FailedCheck, ...]:
        """Return the jobs of the commit's pipelines that failed."""
        found = self._pages(_Status, f"{self._root}/repository/commits/{quote(commit)}/statuses?")
        return tuple(
            FailedCheck(entry.name, (entry.description or "")[:SUMMARY_CHARS])
            for entry in found
            if entry.status == "failed"
        )

    def _pages(self, entry: type[_Entry], path: str) -> Iterator[_Entry]:
        for page in range(1, MAX_PAGES + 1):
            found = self._api.read_list(entry, f"{path}&per_page={PAGE}&page={page}".replace("?&", "?"))
            yield from found
            if len(found) < PAGE:
                return

    def _note(self, found: _Note) -> Note:
        author = found.author.username
        trusted = read_marker(found.body) is not None and self.may_write(author)
        return Note(found.id, author, trusted, found.body, written=found.created_at)


def _pull(found: _Merge) -> Pull:
    return Pull(
        number=found.iid,
        url=found.web_url,
        title=found.title,
        body=found.description or "",
        author=found.author.username,
        head_branch=found.source_branch,
        head_commit=found.sha or "",
        base_branch=found.target_branch,
        from_here=found.source_project_id == found.target_project_id,
        open=found.state == "opened",
        merged=found.state == "merged",
        draft=found.draft,
    )
