"""What the rest of Ostro knows of an issue tracker: an issue, its comments and pictures, and who reads them.

forge/github.py implements `IssueReader`; forge/issue.py makes the same `Issue` of a file, of standard input or of a
text. Everything in an `Issue` is untrusted data, as its authors wrote it; `issue.to_task` sanitises it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

ImageType = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]

KIB = 1024
MIB = 1024 * 1024

TRUSTED_ASSOCIATIONS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
"""GitHub's `author_association` of people who can write to the repository; only their comments are shown."""


@dataclass(frozen=True)
class IssueLimits:
    """What is read of an issue at most.

    Attributes:
        file_bytes: a file, standard input or an answer above this is refused.
        comments: how many comments of people with write access are taken, oldest first.
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
        host: web host, for example github.com.
    """

    host: str
    owner: str
    repository: str
    number: int

    @property
    def url(self) -> str:
        """The web address of the issue on GitHub."""
        return f"https://{self.host}/{self.owner}/{self.repository}/issues/{self.number}"


class IssueReader(Protocol):
    """A forge that issues can be read from."""

    def get_issue(self, ref: IssueRef) -> Issue:
        """Return the issue with its comments, without pictures.

        Raises:
            IssueError: it does not exist, is private, or the forge does not answer.
        """
        ...
