"""Folders that are needed for a moment, mostly in the system's temporary folder.

Each says whose it is, so that the next start removes what a killed process left (sandbox/reaper.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ostro.sandbox.owner import note_owner

PREFIX = "ostro-scratch-"


@contextmanager
def scratch_folder(purpose: str, *, place: Path | None = None) -> Generator[Path]:
    """Give an empty folder that only this user can reach, removed at the end of the block.

    Args:
        purpose: part of its name, for whoever finds it.
        place: the folder to make it in, where it must be on the same file system.
    """
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{purpose}-", dir=place) as name:
        note_owner(Path(name))
        folder = Path(name, "scratch")
        folder.mkdir()
        yield folder


def scratch_folders(place: Path | None = None) -> list[Path]:
    """Return what such folders there are in a place, of any process; others may look the same."""
    return sorted((place or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"))
