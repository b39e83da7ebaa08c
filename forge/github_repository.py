"""One repository on GitHub or GitHub Enterprise behind the `Forge` protocol. Shapes: docs.github.com/en/rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, JsonValue

from ostro.agent.errors import ForgeError
from ostro.forge.api import Api
from ostro.forge.fetch import Fetched
from ostro.forge.github import API_VERSION, PAGE, checked_api
from ostro.forge.github_wire import (
    WireChecks,
    WireComment,
    WireEvent,
    WireIssue,
    WirePermission,
    WirePull,
    WireRepository,
    WireUser,
    seen,
)
from ostro.forge.marker import read_marker
from ostro.forge.protocol import ALWAYS, TRUSTED_ASSOCIATIONS, FailedCheck, Issue, IssueRef, IssueState, Note, Pull
from ostro.forge.writers import issue_of_writers
from ostro.sandbox.remote import Remote

MAX_PAGES = 50
"""GitHub's issues end at 2,500 comments, GitLab's at 5,000; of events, what lies behind is not looked at."""

WRITING = frozenset({"owner", "admin", "maintain", "write"})
MAY_BE_WRITERS = TRUSTED_ASSOCIATIONS | {"CONTRIBUTOR"}
"""A member of the organisation who keeps that private is called a contributor."""

FAILED = frozenset({"failure", "timed_out", "startup_failure"})
SUMMARY_CHARS = 2000
ALLOW_PULLS = "Allow it under Settings, Actions, General (docs/ci.md, step 3); the branch is pushed already."


_Entry = TypeVar("_Entry", bound=BaseModel)


def github_api(url: str, token: str, *, wait: Callable[[float], None] = time.sleep) -> Api:
    """Return the API of github.com or of an Enterprise server.

    Raises:
        IssueError: it is no https URL.
    """
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return Api(checked_api(url), headers, wait=wait)


class GitHubRepository:
    """Implements `ostro.forge.protocol.Forge`.

    Args:
        repository: owner/name.
        token: of the job, a user or an app; what may be done with it is the forge's to say.
        api_url: root of the REST API.
        server_url: of the web pages, and of git.
        api: closed by whoever made it; with the same URL and token.
    """

    closing = "Fixes"
    pull_sign = "#"
    page_parameter = "per_page"
    page_size = PAGE
    job_login = "github-actions[bot]"

    def __init__(self, repository: str, token: str, api: Api, *, server_url: str = "https://github.com") -> None:
        self.repository = repository
        self.remote = Remote(f"{server_url.rstrip('/')}/{repository}.git", token)
        self.api = api
        self.root = f"/repos/{repository}"
        self.host = urlsplit(server_url).netloc
        self.known: dict[str, bool] = {}

    def default_branch(self) -> str:
        """Return its short name."""
        return self.api.read(WireRepository, self.root).default_branch

    def may_write(self, login: str) -> bool:
        """Ask for the permission, once for each person."""
        if login not in self.known:
            path = f"{self.root}/collaborators/{quote(login, safe='')}/permission"
            try:
                found = self.api.read(WirePermission, path)
                self.known[login] = bool(WRITING & {found.permission, found.role_name})
            except ForgeError as error:
                if error.forge_kind != "missing":
                    raise
                self.known[login] = False
        return self.known[login]

    def noreply(self, login: str, user_id: int) -> str:
        """Return the address that GitHub knows somebody by without telling their own."""
        return f"{user_id}+{login}@users.noreply.{self.host.partition(':')[0]}" if user_id else ""

    def get_issue(self, ref: IssueRef) -> Issue:
        """Return the issue with the comments of people who can write, without pictures."""
        found = self.api.read(WireIssue, f"{self.root}/issues/{ref.number}")
        author = found.user.login if found.user else ""
        return issue_of_writers(self, ref, title=found.title, body=found.body, author=author, url=found.html_url)

    def issue_ref(self, number: int) -> IssueRef:
        """Return the full name of an issue."""
        owner, _, name = self.repository.partition("/")
        return IssueRef(self.host, owner, name, number)

    def issue_state(self, number: int) -> IssueState:
        """Return what decides whether it is worked on."""
        found = self.api.read(WireIssue, f"{self.root}/issues/{number}")
        return IssueState(
            number=found.number,
            title=found.title,
            open=found.state == "open",
            locked=found.locked or found.is_locked,
            is_pull=found.pull_request is not None,
            assignees=tuple(user.login for user in found.assignees or ()),
            labels=tuple(label.name for label in found.labels),
        )

    def labelled(self, label: str) -> tuple[int, ...]:
        """Return the open issues with a label, oldest first."""
        path = f"{self.root}/issues?state=open&direction=asc&labels={quote(label, safe='')}"
        return tuple(entry.number for entry in self.pages(WireIssue, path) if entry.pull_request is None)

    def who_labelled(self, number: int, label: str, *, since: datetime = ALWAYS) -> str:
        """Return who put the label on last."""
        last = ""
        for event in self.pages(WireEvent, f"{self.root}/issues/{number}/events?"):
            late = event.created_at is None or event.created_at >= since
            if late and event.event == "labeled" and event.label is not None and event.label.name == label:
                last = event.actor.login if event.actor is not None else ""
        return last

    def pull(self, number: int) -> Pull:
        """Return one pull request."""
        return seen(self.api.read(WirePull, f"{self.root}/pulls/{number}"))

    def pulls_of(self, branch: str) -> tuple[Pull, ...]:
        """Return the pull requests of a branch, newest first."""
        owner = self.repository.partition("/")[0]
        path = f"{self.root}/pulls?state=all&head={quote(f'{owner}:{branch}', safe='')}"
        return tuple(sorted((p for p in self.listed_pulls(path) if p.from_here), key=lambda p: -p.number))

    def listed_pulls(self, path: str) -> Iterator[Pull]:
        """Yield the pull requests of a list."""
        yield from map(seen, self.pages(WirePull, path))

    def made_pull(self, answer: Fetched) -> Pull:
        """Return the pull request that an answer holds."""
        return seen(self.api.shaped(WirePull, answer))

    def create_pull(self, *, branch: str, base: str, title: str, body: str) -> Pull:
        """Open a draft, or an ordinary one where the plan has no drafts."""
        wanted: dict[str, JsonValue] = {"title": title, "body": body, "head": branch, "base": base, "draft": True}
        try:
            answer = self.api.send("POST", f"{self.root}/pulls", wanted)
        except ForgeError as error:
            if error.forge_kind == "forbidden" and "not permitted to create" in str(error):
                raise ForgeError(str(error), kind="forbidden", mend=ALLOW_PULLS, status=error.status) from error
            if error.forge_kind != "invalid" or "raft pull request" not in str(error):
                raise
            # Private repositories of a free plan have no drafts.
            answer = self.api.send("POST", f"{self.root}/pulls", {**wanted, "draft": False})
        return self.made_pull(answer)

    def update_pull(self, number: int, *, title: str, body: str) -> Pull:
        """Change its texts."""
        answer = self.api.send("PATCH", f"{self.root}/pulls/{number}", {"title": title, "body": body})
        return self.made_pull(answer)

    def notes(self, number: int, *, of_pull: bool = False) -> tuple[Note, ...]:  # noqa: ARG002  # one row of numbers
        """Return the comments, oldest first."""
        return tuple(map(self.noted, self.pages(WireComment, f"{self.root}/issues/{number}/comments?")))

    def create_note(self, number: int, body: str) -> Note:
        """Comment."""
        answer = self.api.send("POST", f"{self.root}/issues/{number}/comments", {"body": body})
        return self.noted(self.api.shaped(WireComment, answer))

    def update_note(self, number: int, note: int, body: str) -> Note:  # noqa: ARG002  # other forges need it
        """Change a comment."""
        answer = self.api.send("PATCH", f"{self.root}/issues/comments/{note}", {"body": body})
        return self.noted(self.api.shaped(WireComment, answer))

    def noted(self, found: WireComment) -> Note:
        """Return a comment; a member of the organisation may well be nobody who can write here, so that is asked."""
        author, body = found.user or WireUser(), found.body or ""
        outsider = found.author_association not in MAY_BE_WRITERS
        trusted = read_marker(body) is not None and (author.type == "Bot" or self.may_write(author.login))
        return Note(found.id, author.login, trusted, body, found.html_url, outsider)

    def delete_note(self, number: int, note: int) -> None:  # noqa: ARG002  # other forges need it
        """Delete a comment."""
        try:
            self.api.send("DELETE", f"{self.root}/issues/comments/{note}")
        except ForgeError as error:
            if error.forge_kind != "missing":
                raise

    def label_pull(self, number: int, label: str) -> None:
        """Add a label; a pull request is an issue as well."""
        self.add_label(number, label)

    def add_label(self, number: int, label: str) -> None:
        """Add a label; GitHub makes one that does not exist."""
        self.api.send("POST", f"{self.root}/issues/{number}/labels", {"labels": [label]}, repeatable=True)

    def remove_label(self, number: int, label: str) -> None:
        """Take a label off."""
        try:
            self.api.send("DELETE", f"{self.root}/issues/{number}/labels/{quote(label, safe='')}")
        except ForgeError as error:
            if error.forge_kind != "missing":
                raise

    def failed_checks(self, commit: str) -> tuple[FailedCheck, ...]:
        """Return the check runs that failed."""
        found = self.api.read(WireChecks, f"{self.root}/commits/{quote(commit)}/check-runs?per_page={PAGE}")
        return tuple(
            FailedCheck(run.name, (run.output.summary or run.output.title or "")[:SUMMARY_CHARS])
            for run in found.check_runs
            if run.conclusion in FAILED
        )

    def pages(self, entry: type[_Entry], path: str) -> Iterator[_Entry]:
        """Yield the entries of a list, page by page; `path` ends with a question mark or a parameter."""
        for page in range(1, MAX_PAGES + 1):
            asked = f"{path}&{self.page_parameter}={self.page_size}&page={page}".replace("?&", "?")
            found = self.api.read_list(entry, asked)
            yield from found
            if len(found) < self.page_size:
                return
