"""What sandboxes asked of the egress proxy, as a file of a run: one JSON object a line, the refused ones too."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from ostro.sandbox.egress_exchange import EgressRecord

EGRESS_FILE = "egress.jsonl"
"""Its name in a run folder."""


class EgressLog:
    """Appends a record as it comes; give it to `EgressProxy` as `on_request`.

    Args:
        path: made with the first record.
        redact: a host name comes from the sandbox and may hold anything.
    """

    def __init__(self, path: Path, redact: Callable[[str], str] = lambda text: text) -> None:
        self._path = path
        self._redact = redact

    def __call__(self, record: EgressRecord) -> None:
        """Write one record; a full disk costs the record, not the connection."""
        line = {"ts": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **asdict(record)}
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(self._redact(json.dumps(line)) + "\n")


def read_egress_log(path: Path) -> Iterator[EgressRecord]:
    """Yield the records of a file, none where there is no file; a line that is cut off is left out."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            fields = json.loads(line)
            fields.pop("ts", None)
            yield EgressRecord(**fields)
