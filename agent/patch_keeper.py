"""Keeps the newest patch of a live sandbox on the host, so that whatever ends the run, the work is not lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ostro.agent.errors import StorageError
from ostro.agent.record.whole_file import write_whole
from ostro.sandbox.protocol import Sandbox, SandboxError

SNAPSHOT_INTERVAL_S = 10.0
"""Between two snapshots after shell commands; an edit is always followed by one."""


class PatchKeeper:
    """The patch of one sandbox, and its newest snapshot.

    Attributes:
        path: the patch file of the run folder.
    """

    def __init__(self, sandbox: Sandbox, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._sandbox = sandbox
        self.path = path
        self._clock = clock
        self._taken = clock()

    def after_turn(self, *, edited: bool) -> None:
        """Take a snapshot when an edit tool changed something, or when the last one is old.

        Raises:
            SandboxError: the sandbox or its workspace is gone; a patch that is too large is left for the end.
        """
        if not edited and self._clock() - self._taken < SNAPSHOT_INTERVAL_S:
            return
        try:
            write_whole(self.path, self._sandbox.patch())
        except SandboxError as error:
            if error.kind != "patch_too_large":
                raise
        self._taken = self._clock()

    def salvage(self) -> tuple[bytes, SandboxError | StorageError | None]:
        """Return the patch of the sandbox, or else the last snapshot; and what failed on the way."""
        try:
            patch = self._sandbox.patch()
        except SandboxError as error:
            return (self.path.read_bytes() if self.path.exists() else b""), error
        try:
            write_whole(self.path, patch)
        except StorageError as error:
            return patch, error
        return patch, None
