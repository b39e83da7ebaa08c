"""What the fake forge knows: people, tokens, repositories, issues, comments and pull requests."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

Permission = Literal["admin", "write", "read", "none"]
STAMP = "2026-01-01T00:00:00Z"
BOT = "github-actions[bot]"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass
class User:
    login: str
    id: int
    type: Literal["User", "Bot"] = "User"


@dataclass
class Token:
    """Who it speaks for, and whether it may write."""

    login: str
    write: bool = True


@dataclass
class Comment:
    """A comment; GitLab's internal ones are shown to members only."""

    id: int
    issue: int
    author: str
    body: str
    internal: bool = False
    written: str = field(default_factory=now)


@dataclass
class LabelEvent:
    id: int
    issue: int
    actor: str
    label: str
    made: str = field(default_factory=now)


@dataclass
class Issue:
    """An issue, or the part of a pull request that is one.

    Attributes:
        moved_to: path of the API where it is since somebody transferred it; "" where it is still here.
    """

    number: int
    title: str
    body: str
    author: str
    state: Literal["open", "closed"] = "open"
    locked: bool = False
    labels: list[str] = field(default_factory=list[str])
    assignees: list[str] = field(default_factory=list[str])
    moved_to: str = ""
    confidential: bool = False


@dataclass
class Pull:
    """A pull request; its title, body and state are those of the issue of the same number.

    Attributes:
        head_repository: full name; another than the repository's own is a fork.
    """

    number: int
    head: str
    base: str
    draft: bool
    head_repository: str
    merged: bool = False


@dataclass
class CheckRun:
    name: str
    conclusion: Literal["success", "failure", "neutral"]
    summary: str = ""


@dataclass
class Repository:
    """A repository with its bare git directory.

    Attributes:
        members: of the organisation, whatever they may do here.
        private_members: likewise, of whom that is not told.
        actions_may_open_pulls: the box "Allow GitHub Actions to create and approve pull requests".
    """

    owner: str
    name: str
    id: int
    git_dir: Path
    permissions: dict[str, Permission] = field(default_factory=dict[str, Permission])
    issues: dict[int, Issue] = field(default_factory=dict[int, Issue])
    comments: list[Comment] = field(default_factory=list[Comment])
    label_events: list[LabelEvent] = field(default_factory=list[LabelEvent])
    pulls: dict[int, Pull] = field(default_factory=dict[int, Pull])
    labels: set[str] = field(default_factory=set[str])
    checks: dict[str, list[CheckRun]] = field(default_factory=dict[str, list[CheckRun]])
    private: bool = False
    actions_may_open_pulls: bool = True
    default_branch: str = "main"
    members: set[str] = field(default_factory=set[str])
    private_members: set[str] = field(default_factory=set[str])

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    def permission_of(self, login: str) -> Permission:
        return self.permissions.get(login, "none" if self.private else "read")

    def association_of(self, login: str) -> str:
        if login in self.private_members:
            return "CONTRIBUTOR"
        other = "MEMBER" if login in self.members else "NONE"
        return {"admin": "OWNER", "write": "COLLABORATOR"}.get(self.permission_of(login), other)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.git_dir, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def head_of(self, branch: str) -> str | None:
        done = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"],
            cwd=self.git_dir,
            check=False,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip() or None

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/").splitlines()


class World:
    """Everything on one forge; tests change it directly, clients through the API."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.users: dict[str, User] = {}
        self.tokens: dict[str, Token] = {}
        self.repositories: dict[str, Repository] = {}
        self.ids: Iterator[int] = itertools.count(1001)
        self.add_user(BOT, "Bot")

    def add_user(self, login: str, kind: Literal["User", "Bot"] = "User") -> User:
        return self.users.setdefault(login, User(login, next(self.ids), kind))

    def add_token(self, token: str, login: str = BOT, *, write: bool = True) -> str:
        self.tokens[token] = Token(login, write)
        return token

    def add_repository(self, source: Path, full_name: str = "acme/widget", *, owner_login: str = "alice") -> Repository:
        """Publish a copy of the repository in `source`; `owner_login` has admin rights."""
        owner, name = full_name.split("/")
        git_dir = self.folder / owner / f"{name}.git"
        git_dir.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "-q", "--bare", str(source), str(git_dir)], check=True)
        for key, value in (("http.receivepack", "true"), ("receive.advertisePushOptions", "false")):
            subprocess.run(["git", "config", key, value], cwd=git_dir, check=True)
        self.add_user(owner_login)
        found = Repository(owner, name, next(self.ids), git_dir, permissions={owner_login: "admin", BOT: "write"})
        self.repositories[full_name] = found
        return found

    def add_issue(self, repository: Repository, title: str, body: str = "", *, author: str = "alice") -> Issue:
        self.add_user(author)
        number = max([0, *repository.issues]) + 1
        repository.issues[number] = Issue(number, title, body, author)
        return repository.issues[number]

    def add_comment(self, repository: Repository, issue: int, body: str, *, author: str = "alice") -> Comment:
        self.add_user(author)
        repository.comments.append(Comment(next(self.ids), issue, author, body))
        return repository.comments[-1]

    def add_label(self, repository: Repository, issue: int, label: str, *, actor: str = "alice") -> None:
        self.add_user(actor)
        repository.labels.add(label)
        if label not in repository.issues[issue].labels:
            repository.issues[issue].labels.append(label)
            repository.label_events.append(LabelEvent(next(self.ids), issue, actor, label))
