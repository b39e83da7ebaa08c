"""Whose comments a model is shown: those of people who can write to the repository, as the forge itself says.

github_repository.py, gitlab.py, gitea.py -> issue_of_writers.
"""

from __future__ import annotations

from ostro.agent.errors import ForgeError, IssueError
from ostro.forge.marker import read_marker
from ostro.forge.protocol import Comment, Forge, Issue, IssueLimits, IssueRef

MOST_ASKED = 50
"""Of so many people it is asked whether they can write; each costs a request or two."""


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
    found: list[Comment] = []
    asked: set[str] = set()
    passed_over = False
    try:
        for note in reversed(forge.notes(number)):
            if note.outsider or read_marker(note.body) is not None:
                continue
            if note.author not in asked and len(asked) == MOST_ASKED:
                passed_over = True
                continue
            asked.add(note.author)
            if forge.may_write(note.author):
                found.append(Comment(note.author, "WRITER", note.body))
            if len(found) > limit:
                break
    except ForgeError as error:
        if error.forge_kind not in ("auth", "forbidden"):
            raise
        return (), (f"The comments of the issue were not read: {error}.",)
    told: list[str] = []
    if len(found) > limit:
        told.append(f"Only the newest {limit} comments of people who can write are shown.")
    elif passed_over:
        told.append(f"Only the comments of the {MOST_ASKED} people who commented last were looked at.")
    return tuple(reversed(found[:limit])), tuple(told)
