"""What goes wrong with this machine and is no bug: a disk that is full or fails, too little memory, too many files.

Such an error may come out of any call. The boundaries (an attempt, a sandbox being opened, a command of the front
door) turn it into an error of our trees here, and so into a typed ending.
"""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ostro.agent.errors import StorageError
from ostro.agent.record.trajectory import is_disk_trouble, storage_error
from ostro.sandbox.protocol import SandboxError

SCARCE = (errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE)
"""What the system says when it has no memory, process or file descriptor left for us."""


def trouble_of(error: BaseException, path: Path | None = None) -> StorageError | SandboxError | None:
    """Return the error of our trees that says the same, None where this machine is not to blame.

    Args:
        error: any exception.
        path: what was being written, where the error does not name it.
    """
    if isinstance(error, OSError) and is_disk_trouble(error):
        return storage_error(error, Path(error.filename or path or "to the disk"))
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in SCARCE):
        reason = "out of memory" if isinstance(error, MemoryError) else error.strerror
        return SandboxError(
            f"this machine cannot go on: {reason}",
            kind="machine",
            mend="End other programs or raise the limits (`ulimit -a`), then resume the run.",
        )
    return None


@contextmanager
def typed_trouble(path: Path | None = None) -> Generator[None]:
    """Raise trouble of this machine in the block as an error of our trees.

    Raises:
        StorageError, SandboxError: see `trouble_of`; every other exception passes as it is.
    """
    try:
        yield
    except (OSError, MemoryError) as error:
        trouble = trouble_of(error, path)
        if trouble is None:
            raise
        raise trouble from error
