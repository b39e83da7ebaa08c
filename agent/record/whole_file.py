"""Files of the run folder that are there whole or not at all: patch, report."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ostro.agent.record.trajectory import storage_error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file durably under another name and give it its own; a file of before stays until then.

    Raises:
        StorageError: it cannot be written; nothing but the file of before is left.
    """
    temporary = path.with_name(f"{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise storage_error(error, path) from error
