"""Keep the comment on the issue up to date while a run goes on; only where both jobs are one and may write."""

from __future__ import annotations

import contextlib
import time

from ostro.agent.errors import ForgeError
from ostro.agent.record.events import Event, Planned
from ostro.agent.session import Listener
from ostro.forge.decide import Assignment
from ostro.forge.job import Job
from ostro.forge.once import ensure_note
from ostro.forge.protocol import Forge
from ostro.forge.status import progress_text

INTERVAL_S = 60.0


class Commented:
    """A listener of a run that writes phase and spend into the comment, at most once in `INTERVAL_S`.

    Args:
        job: for the address of its log.
        forge: with a token that may write.
        assignment: what is worked on.
        also: told every event as well.
    """

    def __init__(self, job: Job, forge: Forge, assignment: Assignment, *, also: Listener) -> None:
        self._job = job
        self._forge = forge
        self._assignment = assignment
        self._also = also
        self._steps = 0
        self._cost_usd = 0.0
        self._next = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Note what was spent; say it when the last time is long ago."""
        self._also(event)
        if not isinstance(event, Planned):
            return
        self._steps += 1
        self._cost_usd += event.cost_usd
        if time.monotonic() >= self._next:
            with contextlib.suppress(ForgeError):  # the run matters more than its progress
                self.say("running", spent=f"step {self._steps}, ${self._cost_usd:.4f}")

    def say(self, phase: str, *, spent: str = "") -> None:
        """Write the comment.

        Raises:
            ForgeError: the forge refuses or does not answer.
        """
        issue = self._assignment.issue.number
        text = progress_text(issue, self._assignment, phase=phase, run_url=self._job.run_url, spent=spent)
        ensure_note(self._forge, issue, text)
        self._next = time.monotonic() + INTERVAL_S
