"""Files of the run folder beside the log: whole under their name, or not there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ostro.agent.record.trajectory import storage_error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves either the old content or the new one.

    Raises:
        StorageError: it cannot be written; nothing new is left.
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
