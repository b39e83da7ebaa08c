"""Keeps the work of a live sandbox on the host: the newest patch, and checkpoints that a resumed run starts from.

Both are taken in a thread beside the request to the model, and waited for before the next call is executed: the
sandbox takes one command at a time, and what is saved must be what the calls so far have left.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ostro.agent.errors import StorageError
from ostro.agent.interruption import kept_back
from ostro.agent.record.events import Checkpointed, Noted
from ostro.agent.record.files import write_whole
from ostro.agent.record.trajectory import TrajectoryWriter, storage_error
from ostro.sandbox.protocol import Sandbox, SandboxError

PATCH_FILE = "patch.diff"
FOLDER = "checkpoints"

SNAPSHOT_INTERVAL_S = 10.0
"""Between two snapshots of the patch after shell commands; an edit is always followed by one."""

WORTH = 10
"""Shell commands are followed by a checkpoint when so many times what the last one took has gone by."""

PATIENCE_S = 3.0
"""How long the end of a run waits for a checkpoint under way, once the patch is there."""

MAX_KEPT_BYTES = 512 * 1024**2
"""Older checkpoints go when all together are larger; the newest two stay."""

FATAL = ("gone", "workspace_lost", "transport", "disk_full", "storage")
"""Kinds of SandboxError that the next call would meet too."""


class Checkpoints:
    """The patch and the checkpoints of one sandbox. Used by the thread that drives the attempt.

    Attributes:
        path: the patch file of the attempt's folder.

    `mask` takes known secrets out of a patch before it is kept.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        log: TrajectoryWriter,
        clock: Callable[[], float] = time.monotonic,
        mask: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._sandbox = sandbox
        self._log = log
        self._clock = clock
        self._mask = mask
        self.path = log.path.parent / PATCH_FILE
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="ostro-checkpoint")
        self._saving: Future[None] | None = None
        self._patch: bytes | None = None
        self._patched_at = self._saved_at = clock()
        self._took_s = 0.0
        self._kept: deque[tuple[Path, int]] = deque()

    def after_turn(self, turn: int, *, edited: bool) -> None:
        """Begin to save what the turn has left, where that is due.

        Args:
            turn: number of the turn.
            edited: an edit tool changed something, not only a shell command.
        """
        now = self._clock()
        patch = edited or now - self._patched_at >= SNAPSHOT_INTERVAL_S
        checkpoint = edited or now - self._saved_at >= WORTH * self._took_s
        if not patch and not checkpoint:
            return
        with kept_back():  # a save that was begun and is not known would share the sandbox with the salvage
            self._saving = self._worker.submit(self._save, turn, patch=patch, checkpoint=checkpoint)

    def settle(self) -> None:
        """Wait until what was begun is done; the workspace changes from here on.

        Raises:
            SandboxError: the sandbox or its workspace is gone.
            StorageError: the run folder cannot be written.
        """
        if self._saving is not None:
            self._saving.result()
        self._saving = self._patch = None

    def salvage(self) -> tuple[bytes, SandboxError | StorageError | None]:
        """Return the patch of the sandbox, or else the last snapshot; and what failed on the way.

        A checkpoint under way is cut short only where the patch was made before it: a sandbox that was cancelled
        gives none any more.
        """
        while self._saving is not None and not _done(self._saving, PATIENCE_S):
            if self._patch is not None:
                self._sandbox.cancel()
                _done(self._saving, None)
                return self._patch, None
        self._worker.shutdown(wait=False)
        try:
            raw = self._sandbox.patch()
        except SandboxError as error:
            return (self.path.read_bytes() if self.path.exists() else b""), error
        patch = self._mask(raw)
        try:
            if patch != raw:
                self._log.write(Noted(kind="masked", text="the patch held one of your secrets; it is masked with x"))
            write_whole(self.path, patch)
        except StorageError as error:
            return patch, error
        return patch, None

    def _save(self, turn: int, *, patch: bool, checkpoint: bool) -> None:
        if patch:
            self._snapshot()
        if checkpoint:
            self._checkpoint(turn)

    def _snapshot(self) -> None:
        try:
            patch = self._mask(self._sandbox.patch())
        except SandboxError as error:
            if error.kind != "patch_too_large":
                raise
        else:
            write_whole(self.path, patch)
            self._patch = patch
        self._patched_at = self._clock()

    def _checkpoint(self, turn: int) -> None:
        """Save the workspace; where that cannot be done the run goes on, and a resumed one repeats more calls."""
        begun = self._clock()
        # A folder each: two checkpoints of one workspace may differ in the session's directory and variables.
        folder = self._log.path.parent / FOLDER / f"{turn:04d}"
        try:
            saved = self._sandbox.checkpoint(folder)
        except SandboxError as error:
            if error.kind in FATAL:
                raise
            self._log.write(Noted(kind="checkpoint", text=f"not saved: {error}"))
        except OSError as error:
            raise storage_error(error, folder) from error
        else:
            path = saved.path.relative_to(self._log.path.parent)
            event = Checkpointed(turn=turn, path=str(path), digest=saved.digest, size_bytes=saved.size_bytes)
            self._log.write(event)
            self._make_room(saved.path, saved.size_bytes)
        self._saved_at = self._clock()
        self._took_s = self._saved_at - begun

    def _make_room(self, newest: Path, size_bytes: int) -> None:
        self._kept.append((newest, size_bytes))
        while len(self._kept) > 2 and sum(size for _, size in self._kept) > MAX_KEPT_BYTES:
            self._kept.popleft()[0].unlink(missing_ok=True)


def _done(saving: Future[None], timeout_s: float | None) -> bool:
    """Wait for the end of a save, however it went; False when it goes on."""
    try:
        saving.exception(timeout_s)
    except TimeoutError:
        return False
    return True
