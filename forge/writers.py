"""Whose comments a model is shown: those of people who can write to the repository, as the forge itself says."""

from __future__ import annotations

from ostro.forge.marker import read_marker
from ostro.forge.protocol import Comment, Forge, IssueLimits, Note


def comments_of_writers(
    forge: Forge, notes: tuple[Note, ...], limits: IssueLimits | None = None
) -> tuple[Comment, ...]:
    """Return the comments of people who can write to the repository, ours left out, oldest first."""
    wanted = (note for note in notes if read_marker(note.body) is None and forge.may_write(note.author))
    limit = (limits or IssueLimits()).comments
    return tuple(Comment(note.author, "WRITER", note.body) for note, _ in zip(wanted, range(limit), strict=False))
