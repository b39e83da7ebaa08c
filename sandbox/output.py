"""Bounded capture of one command's output: head, tail, true size, and the first megabytes in a file.

Fed by sandbox/shell.py with what the channel delivers; the memory it takes does not depend on the output's size.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import BinaryIO

from ostro.sandbox.protocol import HEAD_BYTES, SAVED_BYTES, TAIL_BYTES, Output


class Capture:
    """Takes output in pieces of any size, gives an `Output` at the end.

    Args:
        head_bytes: how much of the beginning to hold.
        tail_bytes: how much of the end to hold.
        spool: file to write the first `saved_bytes` to when head and tail do not hold everything; None for no file.
            A file that cannot be written is left out, the command's result matters more.
        saved_bytes: cap of the file.
    """

    def __init__(
        self,
        *,
        head_bytes: int = HEAD_BYTES,
        tail_bytes: int = TAIL_BYTES,
        spool: Path | None = None,
        saved_bytes: int = SAVED_BYTES,
    ) -> None:
        self.total_bytes = 0
        self._head = bytearray()
        self._head_bytes = head_bytes
        self._tail: deque[bytes] = deque()
        self._tail_bytes = tail_bytes
        self._tail_held = 0
        self._spool = spool
        self._file: BinaryIO | None = None
        self._saved = 0
        self._saved_bytes = saved_bytes

    def add(self, piece: bytes) -> None:
        """Take the next piece of output."""
        before = self.total_bytes
        self.total_bytes += len(piece)
        if before <= self._head_bytes + self._tail_bytes < self.total_bytes:
            self._open_spool()
        if self._file is not None:
            self._save(piece)
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += piece[:room]
            piece = piece[room:]
        if piece and self._tail_bytes:
            self._tail.append(piece[-self._tail_bytes :])
            self._tail_held += len(self._tail[-1])
            while self._tail_held - len(self._tail[0]) >= self._tail_bytes:
                self._tail_held -= len(self._tail.popleft())

    def finish(self) -> Output:
        """Return what was captured and close the file."""
        spool = self._spool if self._file is not None else None
        self._close()
        tail = b"".join(self._tail)[-self._tail_bytes :] if self._tail_bytes else b""
        return Output(head=bytes(self._head), tail=tail, total_bytes=self.total_bytes, spool=spool)

    def _open_spool(self) -> None:
        """Begin the file with what is held, which is everything up to here."""
        if self._spool is None:
            return
        try:
            self._spool.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._spool.open("wb", buffering=0)
        except OSError:
            return
        self._save(bytes(self._head) + b"".join(self._tail))

    def _save(self, piece: bytes) -> None:
        room = self._saved_bytes - self._saved
        if self._file is None or room <= 0:
            return
        try:
            self._saved += self._file.write(piece[:room])
        except OSError:
            self._saved = self._saved_bytes

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
