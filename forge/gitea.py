"""One repository on Gitea or Forgejo: GitHub's API with other words in some places. Shapes: docs.gitea.com/api."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote

from pydantic import Field, JsonValue

from ostro.forge.api import Api
from ostro.forge.event import JOB_USERS
from ostro.forge.github import checked_api
from ostro.forge.github_repository import SUMMARY_CHARS, GitHubRepository
from ostro.forge.github_wire import Wire, WireComment, WireUser
from ostro.forge.marker import read_marker
from ostro.forge.protocol import ALWAYS, FailedCheck, Note, Pull

DRAFT = "WIP: "
"""Gitea's default prefix of a draft, and Forgejo's."""


class _Label(Wire):
    id: int = 0
    name: str = ""


class _TimelineEntry(Wire):
    type: str = ""
    body: str = ""
    created_at: datetime | None = None
    label: _Label | None = None
    user: WireUser | None = None


class _Status(Wire):
    context: str = ""
    status: str = ""
    description: str | None = None


class _Labels(Wire):
    labels: list[_Label] = Field(default_factory=list[_Label])


def gitea_api(url: str, token: str, *, wait: Callable[[float], None] = time.sleep) -> Api:
    """Return the API of a Gitea or Forgejo; `url` ends with /api/v1.

    Raises:
        IssueError: it is no https URL.
    """
    return Api(checked_api(url), {"Authorization": f"token {token}"} if token else {}, wait=wait)


class GiteaRepository(GitHubRepository):
    """Implements `ostro.forge.protocol.Forge`; what is not here is as on GitHub."""

    closing = "Fixes"
    job_login = "gitea-actions"
    page_parameter = "limit"
    page_size = 50
    """Gitea's own limit, where its administrator has not set another."""

    def noreply(self, login: str, user_id: int) -> str:  # noqa: ARG002  # GitHub needs it
        """Return the address that Gitea knows somebody by without telling their own."""
        return f"{login}@noreply.{self.host.partition(':')[0]}"

    def who_labelled(self, number: int, label: str, *, since: datetime = ALWAYS) -> str:
        """Return who put the label on last; in the timeline the text `1` says that it was added."""
        last = ""
        for entry in self.pages(_TimelineEntry, f"{self.root}/issues/{number}/timeline?"):
            late = entry.created_at is None or entry.created_at >= since
            if (
                late
                and entry.type == "label"
                and entry.body == "1"
                and entry.label is not None
                and entry.label.name == label
            ):
                last = entry.user.login if entry.user is not None else ""
        return last

    def pulls_of(self, branch: str) -> tuple[Pull, ...]:
        """Return the pull requests of a branch, newest first; the list cannot be asked for one branch."""
        every = self.listed_pulls(f"{self.root}/pulls?state=all&sort=recentupdate")
        return tuple(sorted((p for p in every if p.from_here and p.head_branch == branch), key=lambda p: -p.number))

    def create_pull(self, *, branch: str, base: str, title: str, body: str) -> Pull:
        """Open a draft: here that is a matter of the title."""
        wanted: dict[str, JsonValue] = {"title": DRAFT + title, "body": body, "head": branch, "base": base}
        return self.made_pull(self.api.send("POST", f"{self.root}/pulls", wanted))

    def notes(self, number: int, *, of_pull: bool = False) -> tuple[Note, ...]:  # noqa: ARG002  # one row of numbers
        """Return the comments, oldest first."""
        return tuple(map(self.noted, self.api.read_list(WireComment, f"{self.root}/issues/{number}/comments")))

    def add_label(self, number: int, label: str) -> None:
        """Add a label, which is made first where there is none: Gitea makes none by itself."""
        known = list(self.pages(_Label, f"{self.root}/labels?"))
        found = next((entry for entry in known if entry.name == label), None)
        if found is None:
            made = self.api.send("POST", f"{self.root}/labels", {"name": label, "color": "#5319e7"})
            found = self.api.shaped(_Label, made)
        self.api.send("POST", f"{self.root}/issues/{number}/labels", {"labels": [found.id]}, repeatable=True)

    def remove_label(self, number: int, label: str) -> None:
        """Take a label off, by its number."""
        for entry in self.api.read(_Labels, f"{self.root}/issues/{number}").labels:
            if entry.name == label:
                self.api.send("DELETE", f"{self.root}/issues/{number}/labels/{entry.id}")

    def failed_checks(self, commit: str) -> tuple[FailedCheck, ...]:
        """Return the statuses of a commit that say failure or error."""
        found = self.pages(_Status, f"{self.root}/commits/{quote(commit)}/statuses?")
        return tuple(
            FailedCheck(entry.context, (entry.description or "")[:SUMMARY_CHARS])
            for entry in found
            if entry.status in ("failure", "error")
        )

    def noted(self, found: WireComment) -> Note:
        """Return a comment; who may write is asked, for a comment does not tell it."""
        author, body = found.user or WireUser(), found.body or ""
        of_job = author.login in JOB_USERS and author.id < 0  # a person could take Forgejo's name on Gitea
        trusted = read_marker(body) is not None and (of_job or self.may_write(author.login))
        return Note(found.id, author.login, trusted, body, found.html_url)
