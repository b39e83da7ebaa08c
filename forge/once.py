"""Make a comment or a pull request exactly once: look, create, and look again where no answer came.

A forge has no key that makes a request idempotent. So what is made carries a marker, and is looked for before each try.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TypeVar

from ostro.agent.errors import ForgeError
from ostro.forge.marker import read_marker
from ostro.forge.ours import own_notes
from ostro.forge.protocol import Forge, Note, Pull

TRIES = 4
JOB_LOG = "/actions/runs/"
"""In the address of every job's log, on GitHub and on Gitea."""

Thing = TypeVar("Thing")


def ensure_note(forge: Forge, issue: int, body: str) -> Note:
    """Let our comment on an issue say `body`; one that may not be changed, as of an earlier token, is left.

    Raises:
        ForgeError: the forge refuses or does not answer.
    """
    left: set[int] = set()
    made: list[Note] = []

    def make() -> Note:
        """Comment; where another job did so in the same moment, the older comment stays."""
        made.append(forge.create_note(issue, body))
        first = _ours(forge, issue, left) or made[-1]
        if first.id < made[-1].id:
            forge.delete_note(issue, made.pop().id)
            return first
        return made[-1]

    while True:
        found = _once(lambda: _ours(forge, issue, left), make)
        if found in made or found.body.replace("\r\n", "\n") == body:
            return found
        try:
            return forge.update_note(issue, found.id, body)
        except ForgeError as error:
            if error.forge_kind not in ("forbidden", "missing") or found.id in left:
                raise
            left.add(found.id)


def _ours(forge: Forge, issue: int, left: Container[int]) -> Note | None:
    return next((note for note in own_notes(forge.notes(issue), issue) if note.id not in left), None)


def taken_over(forge: Forge, issue: int, run_url: str) -> bool:
    """Whether our comment is by now that of another run than `run_url`, or says that somebody stopped it."""
    notes = own_notes(forge.notes(issue), issue)
    if not run_url or any(f"({run_url})" in note.body for note in notes):
        return False
    return any(JOB_LOG in note.body or _stopped(note) for note in notes)


def _stopped(note: Note) -> bool:
    marker = read_marker(note.body)
    return marker is not None and marker.stopped


def ensure_pull(forge: Forge, *, branch: str, base: str, title: str, body: str) -> Pull:
    """Let an open pull request of a branch say `body`.

    A title that is there stays, a person may have changed it; so does the text of one that a person opened.

    Raises:
        ForgeError: the forge refuses or does not answer.
    """
    found = _once(
        lambda: next((pull for pull in forge.pulls_of(branch) if pull.open), None),
        lambda: forge.create_pull(branch=branch, base=base, title=title, body=body),
    )
    same = found.body.replace("\r\n", "\n").rstrip() == body.rstrip()
    if same or read_marker(found.body) is None:
        return found
    return forge.update_pull(found.number, title=found.title, body=body)


def _once(look: Callable[[], Thing | None], make: Callable[[], Thing]) -> Thing:
    for attempt in range(1, TRIES + 1):
        found = look()
        if found is not None:
            return found
        try:
            return make()
        except ForgeError as error:
            # `invalid` may say that it exists by now: looking tells.
            if error.forge_kind not in ("lost", "invalid", "conflict") or attempt == TRIES:
                raise
            if error.forge_kind != "lost" and look() is None:
                raise
    raise AssertionError("the last try returns or raises")
