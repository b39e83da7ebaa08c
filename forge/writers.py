"""Whose comments a model is shown: those of people who can write to the repository, as the forge itself says.

github_repository.py, gitlab.py, gitea.py -> issue_of_writers.
"""

from __future__ import annotations

from itertools import islice

from ostro.agent.errors import ForgeError, IssueError
from ostro.forge.marker import read_marker
from ostro.forge.protocol import Comment, Forge, Issue, IssueLimits, IssueRef


def issue_of_writers(forge: Forge, ref: IssueRef, *, title: str, body: str | None, author: str, url: str) -> Issue:
    """Return an issue with the comments of people who can write to the repository, without pictures.

    Raises:
        ForgeError: the forge does not answer.
        IssueError: its body is larger than the limit.
    """
    limit = IssueLimits().file_bytes
    if len(body or "") > limit:
        raise IssueError(f"{ref.url} is larger than the limit of {limit // 1024} KiB", mend="Cut it down to its core.")
    comments, told = _comments_of_writers(forge, ref.number)
    return Issue(
        title=title,
        body=body or "",
        source=ref.url,
        url=url or ref.url,
        number=ref.number,
        author=author,
        comments=comments,
        warnings=told,
    )


def _comments_of_writers(forge: Forge, number: int) -> tuple[tuple[Comment, ...], tuple[str, ...]]:
    """Return the newest comments of people who can write, ours left out, the oldest of them first; and warnings.

    Who reads a public issue without a token is not told by every forge who can write: then there are no comments.

    Raises:
        ForgeError: the forge does not answer.
    """
    limit = IssueLimits().comments
    try:
        newest = reversed(forge.notes(number))
        wanted = (
            note
            for note in newest
            if not note.outsider and read_marker(note.body) is None and forge.may_write(note.author)
        )
        found = [Comment(note.author, "WRITER", note.body) for note in islice(wanted, limit + 1)]
    except ForgeError as error:
        if error.forge_kind not in ("auth", "forbidden"):
            raise
        return (), (f"The comments of the issue were not read: {error}.",)
    told = (f"Only the newest {limit} comments of people who can write are shown.",) if len(found) > limit else ()
    return tuple(reversed(found[:limit])), told
