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


def own_notes(notes: tuple[Note, ...], issue: int) -> tuple[Note, ...]:
    """Return our comments on an issue, oldest first: those that begin with the marker and are by somebody we trust.

    It is one, unless an earlier token was somebody else's, whose comment the present one may not change.
    """
    return tuple(note for note in notes if note.trusted and _is_status(read_marker(note.body), issue))


def _is_status(marker: Marker | None, issue: int) -> bool:
    return marker is not None and marker.kind == "status" and marker.issue == issue
