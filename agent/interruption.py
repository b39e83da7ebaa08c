"""SIGINT, SIGTERM and SIGHUP: a request to stop, raised as KeyboardInterrupt where that is safe, else kept back.

cli/main installs the handler around every command. What must not be torn (a line of the log, the salvage of a patch,
the writing of a branch) runs in `kept_back`; what may take long inside of that opens a window with `interruptible`.
The second signal ends the process at once: the kernel or the watchdog in the container ends the sandbox.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

EXIT_CODE = 130
ONE_REQUEST_S = 0.5
"""Signals this close together are one request: a terminal, `timeout` and a parent that forwards all send their own."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class _Request:
    """What the handler knows; of the main thread, where Python runs it."""

    open: bool = True
    asked_at: float | None = None
    raised: bool = False

    def raise_if_asked(self) -> None:
        if self.open and self.asked_at is not None:
            self.raised = True
            raise KeyboardInterrupt


_request = _Request()


@contextmanager
def watch_signals() -> Generator[None]:
    """Handle the signals for the length of one command; does nothing outside the main thread.

    A signal that the process was started to ignore stays ignored: `nohup ostro run` outlives its terminal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _request.open, _request.asked_at, _request.raised = True, None, False
    watched = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _handle) for number in watched}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signature of a signal handler
    now = time.monotonic()
    if _request.asked_at is None:
        _request.asked_at = now
        _request.raise_if_asked()
    elif now - _request.asked_at > ONE_REQUEST_S:
        os._exit(EXIT_CODE)


@contextmanager
def kept_back(*, late: bool = True) -> Generator[None]:
    """Let nothing interrupt the block.

    Args:
        late: raise a request that came meanwhile at the end of the block, if it may be raised there.
    """
    with _opened(False):
        yield
    if late and _in_main_thread() and not _request.raised:
        _request.raise_if_asked()


@contextmanager
def interruptible() -> Generator[None]:
    """Let a request interrupt the block, which does not even begin when there was one before."""
    with _opened(True):
        if _in_main_thread():
            _request.raise_if_asked()
        yield


@contextmanager
def _opened(value: bool) -> Generator[None]:
    if not _in_main_thread():
        yield
        return
    before, _request.open = _request.open, value
    try:
        yield
    finally:
        _request.open = before


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
