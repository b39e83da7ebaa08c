"""One request on the channel and the wait for its end: deadlines, floods, restarts inside.

Used by sandbox/shell.py. The order of escalation when a command does not end: `kill` to the command loop, then
the backend's panic (everything inside dies, the supervisor says hello again), then `ShellLostError`.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ostro.sandbox.output import Capture
from ostro.sandbox.protocol import Channel, Completed, Output, SandboxError
from ostro.sandbox.records import Record, Records

TIMED_OUT = 124
KILLED = 137
DRAIN_BYTES = 2 * 1024**3
KILL_S = 5.0
PANIC_S = 5.0
FIRST_POKE_S = 1.0
LONGEST_POKE_S = 16.0
WATCH_S = 0.5
"""Commands shorter than this are never looked at: a look costs milliseconds."""


class ShellLostError(SandboxError):
    """The first process of the sandbox is gone or deaf: the world has to be started again.

    Attributes:
        begun: whether the command had begun, that is, must not be run again blindly.
        ended: what is known of it.
    """

    def __init__(self, message: str, *, begun: bool, ended: Ended) -> None:
        super().__init__(message, kind="gone")
        self.begun = begun
        self.ended = ended


@dataclass(frozen=True)
class Ended:
    """What the exchange saw of a command; `saved` tells that its directory and variables were kept."""

    exit_code: int
    output: Output
    duration_s: float
    timed_out: bool
    output_limit: bool
    leftovers: int
    restarted: bool
    saved: bool
    cwd: str

    def completed(self, cwd: str, *, restarted: bool = False) -> Completed:
        """Return the public form; `cwd` is the session's directory afterwards."""
        return Completed(
            exit_code=self.exit_code,
            output=self.output,
            duration_s=self.duration_s,
            timed_out=self.timed_out,
            output_limit=self.output_limit,
            leftovers=self.leftovers,
            cwd=cwd,
            restarted=self.restarted or restarted,
        )


class Exchange:
    """State of one request. `wait` for a command, `answer` for a request that is answered at once."""

    def __init__(
        self,
        channel: Channel,
        records: Records,
        mark: str,
        step: str,
        frame: bytes,
        *,
        capture: Capture,
        panic: Callable[[], None],
        watch: Callable[[], str | None],
    ) -> None:
        self._channel = channel
        self._records = records
        self._mark = mark
        self._step = step
        self._frame = frame
        self._capture = capture
        self._panic = panic
        self._watch = watch
        self._started = time.monotonic()
        self._phase: Literal["running", "ending", "panic", "done"] = "running"
        self._until = 0.0
        self._poke_s = FIRST_POKE_S
        self._next_poke = self._started + FIRST_POKE_S
        self._next_watch = self._started + WATCH_S
        self._begun = False
        self._exit_code = KILLED
        self._timed_out = False
        self._output_limit = False
        self._leftovers = 0
        self._restarted = False
        self._saved = False
        self._cwd = ""
        self._answer = 0

    def wait(self, timeout_s: float) -> Ended:
        """Send the request and return when the command and all its children are gone."""
        self._converse(timeout_s)
        return self._ended()

    def answer(self, timeout_s: float) -> int:
        """Send the request and return the number in its answer."""
        self._converse(timeout_s)
        return self._answer

    def _converse(self, timeout_s: float) -> None:
        self._send(self._frame)
        self._until = self._started + timeout_s
        while self._phase != "done":
            now = time.monotonic()
            event = self._until
            if self._phase == "running":
                event = min(event, self._next_poke, self._next_watch)
            piece = self._channel.receive(max(0.0, event - now))
            if piece == b"":
                raise self._lost("The sandbox's first process ended.")
            for item in self._records.feed(piece) if piece else ():
                if isinstance(item, Record):
                    self._take(item)
                elif self._begun:
                    self._capture.add(item)
            self._look_at_limits(time.monotonic())

    def _look_at_limits(self, now: float) -> None:
        if self._phase == "running" and self._capture.total_bytes > DRAIN_BYTES:
            self._output_limit = True
            self._end(now)
        if self._phase != "done" and now >= self._until:
            self._escalate(now)
        if self._phase == "running" and now >= self._next_watch:
            self._next_watch = now + WATCH_S
            if overuse := self._watch():
                self._capture.add(f"\n[{overuse}]\n".encode())
                self._end(now)
        if self._phase == "running" and now >= self._next_poke:
            # A command may have killed its own keeper, which then cannot report: ask.
            self._request("poke")
            self._poke_s = min(2 * self._poke_s, LONGEST_POKE_S)
            self._next_poke = now + self._poke_s

    def _escalate(self, now: float) -> None:
        if self._phase == "running":
            self._timed_out = True
            self._exit_code = TIMED_OUT
            self._end(now)
        elif self._phase == "ending":
            self._phase = "panic"
            self._until = now + PANIC_S
            self._panic()
        else:
            raise self._lost("The sandbox does not answer any more.")

    def _end(self, now: float) -> None:
        self._phase = "ending"
        self._until = now + KILL_S
        self._request("kill")

    def _take(self, record: Record) -> None:
        if record.kind == "h":
            self._greeted()
        elif record.step != self._step:
            return
        elif record.kind == "b":
            self._begun = True
        elif record.kind == "e":
            self._reported(record.rest)
        elif record.kind == "d" and not self._begun and self._phase == "running":
            self._send(self._frame)  # its keeper could not make a process for it; they were ended since
        elif record.kind in {"k", "d"}:
            self._phase = "done"
        elif record.kind == "a":
            self._answer = int(record.rest)
            self._phase = "done"
        elif record.kind == "s":
            self._synchronised()
        elif record.kind == "f":
            self._phase = "done"
            raise OSError(errno.ENOSPC, "No space left in the sandbox")

    def _reported(self, rest: bytes) -> None:
        code, left, saved, cwd = rest.split(b" ", 3)
        self._exit_code = int(code)
        self._timed_out = False
        self._saved = saved == b"1"
        self._cwd = cwd.decode("utf-8", "surrogateescape")
        self._leftovers = int(left)
        if not self._leftovers:
            self._phase = "done"
        elif self._phase == "running":
            self._end(time.monotonic())

    def _greeted(self) -> None:
        """The command loop was killed and is there again; so the command is dead, if it had begun."""
        self._restarted = True
        if self._begun or self._phase != "running":
            self._phase = "done"
        else:
            # The old loop may or may not have taken our request: what comes before the answer tells.
            self._request("sync")

    def _synchronised(self) -> None:
        if not self._begun:
            self._send(self._frame)

    def _request(self, verb: str) -> None:
        self._send(f"{self._mark} {verb} {self._step}\n".encode())

    def _send(self, data: bytes) -> None:
        try:
            self._channel.send(data)
        except SandboxError as broken:
            raise self._lost(str(broken)) from broken

    def _lost(self, message: str) -> ShellLostError:
        return ShellLostError(message, begun=self._begun, ended=self._ended())

    def _ended(self) -> Ended:
        return Ended(
            exit_code=self._exit_code,
            output=self._capture.finish(),
            duration_s=time.monotonic() - self._started,
            timed_out=self._timed_out,
            output_limit=self._output_limit,
            leftovers=self._leftovers,
            restarted=self._restarted,
            saved=self._saved,
            cwd=self._cwd,
        )
