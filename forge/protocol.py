"""What the rest of Ostro knows of a forge: an issue with its comments and pictures, and a repository to publish to.

github.py implements `IssueReader`, github_repository.py `Forge`; issue.py makes the same `Issue` of a file, of standard
input or of a text. Everything in an `Issue` is untrusted data, as its authors wrote it; `issue.to_task` sanitises it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from ostro.sandbox.remote import Remote

ForgeKind = Literal["github", "gitlab", "gitea"]
"""Whose API is spoken: GitHub and its Enterprise servers, GitLab, Gitea and Forgejo."""

ImageType = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]

ALWAYS = datetime.min.replace(tzinfo=UTC)

KIB = 1024
MIB = 1024 * 1024

TRUSTED_ASSOCIATIONS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
"""GitHub's `author_association` of people who can write to the repository; only their comments are shown."""


@dataclass(frozen=True)
class IssueLimits:
    """What is read of an issue at most.

    Attributes:
        file_bytes: a file, standard input or an answer above this is refused.
        comments: how many comments of people with write access are taken, the newest.
        images: how many pictures are fetched; 0 for none.
        image_bytes: a picture above this is left out.
        image_pixels: longest side, pixels; a picture above this is left out, before anything decodes it.
        timeout_s: seconds for one request, from its start to its last byte.
    """

    file_bytes: int = MIB
    comments: int = 20
    images: int = 4
    image_bytes: int = 5 * MIB
    image_pixels: int = 8192
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Comment:
    """One comment below an issue.

    Attributes:
        association: GitHub's `author_association`, for example OWNER or NONE.
    """

    author: str
    association: str
    body: str


@dataclass(frozen=True)
class FetchedImage:
    """A picture of an issue that passed the checks; its size is that of `data`, in pixels."""

    url: str
    media_type: ImageType
    data: bytes = field(repr=False)
    width: int
    height: int


@dataclass(frozen=True)
class Issue:
    """An issue as its author wrote it: untrusted.

    Attributes:
        source: where it came from: a path, `stdin`, `--task` or the URL.
        url: web address; "" when it has none.
        number: None when it has none.
        warnings: what was changed or left out while reading, one line each.
    """

    title: str
    body: str
    source: str
    url: str = ""
    number: int | None = None
    author: str = ""
    association: str = ""
    comments: tuple[Comment, ...] = ()
    images: tuple[FetchedImage, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class IssueRef:
    """One numbered issue of one repository of a forge.

    Attributes:
        host: web host, for example github.com; with the port, where it is not the usual one.
        owner: of the repository; on GitLab a group with its subgroups.
    """

    host: str
    owner: str
    repository: str
    number: int
    kind: ForgeKind = "github"

    @property
    def url(self) -> str:
        """The web address of the issue."""
        dash = "-/" if self.kind == "gitlab" else ""
        return f"https://{self.host}/{self.owner}/{self.repository}/{dash}issues/{self.number}"


class IssueReader(Protocol):
    """A forge that issues can be read from."""

    def get_issue(self, ref: IssueRef) -> Issue:
        """Return the issue with its comments, without pictures.

        Raises:
            IssueError: it does not exist, is private, or the forge does not answer.
        """
        ...


@dataclass(frozen=True)
class IssueState:
    """What decides whether an issue is worked on.

    Attributes:
        assignees: logins.
        is_pull: a pull request goes by this number.
        confidential: not everybody who sees the repository may see it, and so its title and fix must not be published.
    """

    number: int
    title: str
    open: bool = True
    locked: bool = False
    confidential: bool = False
    is_pull: bool = False
    assignees: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pull:
    """A pull request (a merge request on GitLab).

    Attributes:
        head_commit: full hex id of the newest commit of its branch.
        from_here: its branch is one of this repository, not of a fork.
    """

    number: int
    url: str
    title: str
    body: str
    author: str
    head_branch: str
    head_commit: str
    base_branch: str
    from_here: bool
    open: bool = True
    merged: bool = False
    draft: bool = True


@dataclass(frozen=True)
class Note:
    """A comment with what identifies it.

    Attributes:
        trusted: it begins with our marker and is by a bot, or by somebody who can write to the repository.
        outsider: the forge says with the comment that its author cannot write; others have to be asked for.
        written: when; None where it was not read.
    """

    id: int
    author: str
    trusted: bool
    body: str
    url: str = ""
    outsider: bool = False
    written: datetime | None = None


@dataclass(frozen=True)
class FailedCheck:
    """A check of a commit that failed; `summary` is whatever the check says, untrusted."""

    name: str
    summary: str = ""


class Forge(IssueReader, Protocol):
    """One repository on a forge, seen with one token. Every method raises ForgeError.

    Attributes:
        repository: owner/name.
        remote: where git finds it, with the token.
        closing: the word that lets a merge close an issue, before its number.
        pull_sign: stands before the number of a pull request.
        job_login: who the default token of a job speaks for; "" where there is none.
    """

    repository: str
    remote: Remote
    closing: str
    pull_sign: str
    job_login: str

    def default_branch(self) -> str:
        """Return its short name."""
        ...

    def may_write(self, login: str) -> bool:
        """Whether somebody can push to the repository."""
        ...

    def noreply(self, login: str, user_id: int) -> str:
        """Return a mail address that the forge attributes commits by, and that gives none away; "" where none is known.

        Args:
            login: of the person.
            user_id: as the event has it; 0 where it has none.
        """
        ...

    def issue_ref(self, number: int) -> IssueRef:
        """Return the full name of an issue of the repository."""
        ...

    def issue_state(self, number: int) -> IssueState:
        """Return what decides whether an issue is worked on."""
        ...

    def labelled(self, label: str) -> tuple[int, ...]:
        """Return the open issues with a label, oldest first."""
        ...

    def who_labelled(self, number: int, label: str, *, since: datetime = ALWAYS) -> str:
        """Return who put the label on last; "" when nobody did since then."""
        ...

    def pull(self, number: int) -> Pull:
        """Return one pull request."""
        ...

    def pulls_of(self, branch: str) -> tuple[Pull, ...]:
        """Return the pull requests of a branch of this repository, in every state, newest first."""
        ...

    def create_pull(self, *, branch: str, base: str, title: str, body: str) -> Pull:
        """Open a draft."""
        ...

    def update_pull(self, number: int, *, title: str, body: str) -> Pull:
        """Change the texts of a pull request."""
        ...

    def notes(self, number: int, *, of_pull: bool = False) -> tuple[Note, ...]:
        """Return the comments of an issue, or of a pull request, oldest first."""
        ...

    def create_note(self, number: int, body: str) -> Note:
        """Comment on an issue."""
        ...

    def update_note(self, number: int, note: int, body: str) -> Note:
        """Change a comment."""
        ...

    def delete_note(self, number: int, note: int) -> None:
        """Delete a comment of ours; one that is not there is no error."""
        ...

    def label_pull(self, number: int, label: str) -> None:
        """Label a pull request."""
        ...

    def add_label(self, number: int, label: str) -> None:
        """Label an issue."""
        ...

    def remove_label(self, number: int, label: str) -> None:
        """Take a label off an issue; one that is not there is no error."""
        ...

    def failed_checks(self, commit: str) -> tuple[FailedCheck, ...]:
        """Return the checks of a commit that failed."""
        ...
