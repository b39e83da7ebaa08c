"""The objects of GitHub's REST API, and of Gitea's where it is the same, as far as they are read.

Used by github_repository.py and gitea.py. Shapes: docs.github.com/en/rest.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from ostro.forge.protocol import Pull


class Wire(BaseModel):
    """What is read of an object of the API; unknown keys are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class WireUser(Wire):
    """A person or a bot."""

    login: str = ""
    id: int = 0
    type: str = "User"


class WirePermission(Wire):
    """What somebody may do."""

    permission: str = "none"
    role_name: str = ""


class WireLabel(Wire):
    """A label."""

    name: str = ""


class WireIssue(Wire):
    """An issue, or the part of a pull request that is one."""

    number: int
    title: str
    body: str | None = None
    html_url: str = ""
    user: WireUser | None = None
    state: str = "open"
    locked: bool = False
    is_locked: bool = False  # Gitea's word
    assignees: list[WireUser] | None = None
    labels: list[WireLabel] = Field(default_factory=list[WireLabel])
    pull_request: dict[str, object] | None = None


class WireEvent(Wire):
    """Something that happened to an issue."""

    event: str = ""
    created_at: datetime | None = None
    actor: WireUser | None = None
    label: WireLabel | None = None


class WireComment(Wire):
    """A comment."""

    id: int
    body: str | None = None
    user: WireUser | None = None
    author_association: str = ""
    html_url: str = ""


class WireRepository(Wire):
    """A repository."""

    full_name: str
    default_branch: str = "main"


class WireSide(Wire):
    """One of the two branches of a pull request."""

    ref: str
    sha: str = ""
    repo: WireRepository | None = None


class WirePull(Wire):
    """A pull request."""

    number: int
    title: str
    body: str | None = None
    state: str = "open"
    draft: bool = False
    merged_at: str | None = None
    merged: bool = False
    html_url: str = ""
    user: WireUser | None = None
    head: WireSide
    base: WireSide


class WireOutput(Wire):
    """What a check says."""

    title: str | None = None
    summary: str | None = None


class WireCheck(Wire):
    """One check of a commit."""

    name: str
    conclusion: str | None = None
    output: WireOutput = WireOutput()


class WireChecks(Wire):
    """The checks of a commit."""

    check_runs: list[WireCheck]


def seen(found: WirePull) -> Pull:
    """Return a pull request as the rest of Ostro knows it."""
    here = found.base.repo.full_name if found.base.repo is not None else ""
    return Pull(
        number=found.number,
        url=found.html_url,
        title=found.title,
        body=found.body or "",
        author=found.user.login if found.user else "",
        head_branch=found.head.ref,
        head_commit=found.head.sha,
        base_branch=found.base.ref,
        from_here=found.head.repo is not None and found.head.repo.full_name == here,
        open=found.state == "open",
        merged=found.merged_at is not None or found.merged,
        draft=found.draft,
    )
