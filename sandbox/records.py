r"""Take the supervisor's records out of a stream of output. Pure; used by sandbox/shell.py.

A record is `MARK KIND STEP REST MARK\n`, with no space after the first mark and none before the last one. MARK is
random and unknown to commands, so nothing that a command prints is taken for a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_RECORD = 16 * 1024
"""A record holds a directory, at most PATH_MAX (4096) bytes on Linux."""


@dataclass(frozen=True)
class Record:
    """One record of the supervisor, see sandbox/commands.sh for the kinds."""

    kind: str
    step: str
    rest: bytes


class Records:
    """Splits pieces of a stream into output and records, wherever the pieces are cut."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self._end = mark + b"\n"
        self._held = b""

    def feed(self, piece: bytes) -> Iterator[bytes | Record]:
        """Yield what `piece` completes, in order; the start of a possible record is held back."""
        data = self._held + piece if self._held else piece
        self._held = b""
        start = 0
        while (found := data.find(self._mark, start)) >= 0:
            body = found + len(self._mark)
            stop = data.find(self._end, body)
            if stop < 0 and len(data) - body < LONGEST_RECORD:
                if found > start:
                    yield data[start:found]
                self._held = data[found:]
                return
            if stop < 0:
                yield data[start:body]
                start = body
                continue
            if found > start:
                yield data[start:found]
            yield _parse(data[body:stop])
            start = stop + len(self._end)
        cut = len(data) - _overlap(data, self._mark)
        self._held = data[max(cut, start) :]
        if cut > start:
            yield data[start:cut]

    def flush(self) -> bytes:
        """Return what was held back, when the stream has ended."""
        held, self._held = self._held, b""
        return held


def _parse(body: bytes) -> Record:
    kind, _, rest = body.partition(b" ")
    step, _, rest = rest.partition(b" ")
    return Record(kind.decode("ascii", "replace"), step.decode("ascii", "replace"), rest)


def _overlap(data: bytes, mark: bytes) -> int:
    """Return the length of the longest end of `data` that is a beginning of `mark`."""
    for length in range(min(len(mark) - 1, len(data)), 0, -1):
        if data.endswith(mark[:length]):
            return length
    return 0
