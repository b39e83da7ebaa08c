"""One thing that was looked at, and what to do about it: what `ostro doctor` and the preflight of a run have in common.

agent/preflight.py looks into a sandbox, cli/doctor.py at the machine and the endpoint.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CheckStatus = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True)
class Check:
    """One line of a report.

    Attributes:
        status: `warn` keeps nothing from working; `skipped` says in `detail` why.
        detail: one line: what was found.
        mend: what the user can do, one sentence; empty when it is well.
    """

    name: str
    status: CheckStatus
    detail: str
    mend: str = ""


def room(name: str, where: str, free_bytes: int, *, least: int, good: int, mend: str) -> Check:
    """Judge the free space of a disk: below `good` is a warning, below `least` a failure."""
    detail = f"{free_bytes // 1024**2} MiB free at {where}"
    if free_bytes >= good:
        return Check(name, "ok", detail)
    return Check(name, "fail" if free_bytes < least else "warn", detail, mend)


def folder_room(name: str, folder: Path, *, least: int, good: int, mend: str) -> Check:
    """Look whether a folder of the host can be written and its disk has room; leaves nothing behind but the folder."""
    mark = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
        mark.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(name, "fail", f"{folder} cannot be written: {error.strerror}", mend)
    return room(name, str(folder), free, least=least, good=good, mend=mend)
