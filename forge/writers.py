"""Whose comments a model is shown: those of people who can write to the repository, as the forge itself says.

gitlab.py, gitea.py -> issue_of_writers; GitHub tells with each comment what its author is to the repository.
"""

from __future__ import annotations

from ostro.agent.errors import ForgeError
from ostro.forge.marker import read_marker
from ostro.forge.protocol import Comment, Forge, Issue, IssueLimits, IssueRef


def issue_of_writers(forge: Forge, ref: IssueRef, *, title: str, body: str | None, author: str, url: str) -> Issue:
    """Return an issue with the comments of people who can write to the repository, without pictures.

    Raises:
        ForgeError: the forge does not answer.
    """
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
    """Return the comments of people who can write to the repository, ours left out, oldest first; and warnings.

    Who reads a public issue without a token is not told by every forge who can write: then there are no comments.

    Raises:
        ForgeError: the forge does not answer.
    """
    limit = IssueLimits().comments
    try:
        wanted = (
            note for note in forge.notes(number) if read_marker(note.body) is None and forge.may_write(note.author)
        )
        found = tuple(Comment(note.author, "WRITER", note.body) for note, _ in zip(wanted, range(limit), strict=False))
    except ForgeError as error:
        if error.forge_kind not in ("auth", "forbidden"):
            raise
        return (), (f"The comments of the issue were not read: {error}.",)
    return found, ()
