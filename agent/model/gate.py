"""How many calls may be in flight to one endpoint, and when it wants to be left alone. Shared by a batch's workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from ostro.agent.errors import Interrupted

DEFAULT_IN_FLIGHT = 4
RECOVERY_SUCCESSES = 20
"""Answers in a row after which one more call in flight is tried again."""
_SLICE_S = 0.2


class Clock(Protocol):
    """Time, and a wait that ends early when the run is to stop. Tests bring their own."""

    def now(self) -> float:
        """Return seconds of a clock that never goes back."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait; return True at once when the run is to stop."""
        ...

    def interrupted(self) -> bool:
        """Whether the run is to stop."""
        ...


class EventClock:
    """The real clock; `stop`, set by a signal handler or another thread, ends every wait."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop if stop is not None else threading.Event()

    def now(self) -> float:
        """Return the monotonic clock's seconds."""
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait on the event."""
        return self._stop.wait(max(0.0, seconds))

    def interrupted(self) -> bool:
        """Whether the event is set."""
        return self._stop.is_set()


class Gate:
    """Limits the calls in flight to one endpoint and shares its cool-down.

    The limit begins at the number of workers, is halved by every 429 and grows back by one after
    `RECOVERY_SUCCESSES` answers in a row.

    Attributes:
        limit: calls that may be in flight now.
        peak: most calls that ever were in flight together.
    """

    def __init__(self, in_flight: int = DEFAULT_IN_FLIGHT) -> None:
        self._most = max(1, in_flight)
        self.limit = self._most
        self.peak = 0
        self._inside = 0
        self._successes = 0
        self._cool_until = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def enter(self, clock: Clock) -> Generator[None]:
        """Hold one of the places while a request runs; wait for it, and for the end of a cool-down.

        Raises:
            Interrupted: the run is to stop.
        """
        self._take(clock)
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify()

    def _take(self, clock: Clock) -> None:
        while True:
            with self._changed:
                pause = self._cool_until - clock.now()
                if pause <= 0 and self._inside < self.limit:
                    self._inside += 1
                    self.peak = max(self.peak, self._inside)
                    return
                if pause <= 0:
                    self._changed.wait(_SLICE_S)
            if clock.wait(pause) if pause > 0 else clock.interrupted():
                raise Interrupted("interrupted while waiting for the model")

    def throttled(self, now: float, until: float) -> None:
        """Note a 429: let nobody in before `until`, and halve the limit, once for all that failed together."""
        with self._changed:
            if now >= self._cool_until:
                self.limit = max(1, self.limit // 2)
            self._successes = 0
            self._cool_until = max(self._cool_until, until)

    def succeeded(self) -> None:
        """Note an answer."""
        with self._changed:
            self._successes += 1
            if self._successes >= RECOVERY_SUCCESSES and self.limit < self._most:
                self.limit += 1
                self._successes = 0
                self._changed.notify()
