"""Find on the forge what Ostro made there for an issue: its pull requests and its comment."""

from __future__ import annotations

from ostro.forge.marker import Marker, read_marker
from ostro.forge.protocol import Forge, Note, Pull

MAX_SUFFIX = 20


def own_pulls(forge: Forge, issue: int) -> tuple[Pull, ...]:
    """Return the pull requests of our branches for an issue, newest first."""
    found: list[Pull] = []
    for number in range(1, MAX_SUFFIX):
        of_branch = forge.pulls_of(f"ostro/issue-{issue}" + (f"-{number}" if number > 1 else ""))
        if not of_branch and number > 1:  # the plain name may be a branch of a person's own, without a pull request
            break
        found += of_branch
    return tuple(sorted(found, key=lambda pull: -pull.number))


def own_note(notes: tuple[Note, ...], issue: int) -> Note | None:
    """Return our comment on an issue: the oldest that begins with the marker and is by somebody we trust."""
    for note in notes:
        marker: Marker | None = read_marker(note.body) if note.trusted else None
        if marker is not None and marker.kind == "status" and marker.issue == issue:
            return note
    return None
