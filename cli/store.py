"""The runs that OSTRO_HOME keeps: find them, and read what they left."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ostro.agent.errors import StorageError, UsageError
from ostro.agent.outcome import RunReport
from ostro.agent.record.events import RunStarted
from ostro.agent.record.lock import is_held
from ostro.agent.record.trajectory import read_events
from ostro.agent.request import REQUEST_FILE

REPORT = "report.json"
LOG = "trajectory.jsonl"


@dataclass(frozen=True)
class KeptRun:
    """One run folder.

    Attributes:
        report: None while the run works, and after it was killed.
        started: the manifest; None where the log is missing or damaged.
    """

    folder: Path
    report: RunReport | None
    started: RunStarted | None

    @property
    def id(self) -> str:
        """The name of the folder."""
        return self.folder.name

    @property
    def title(self) -> str:
        """What it worked on, one line."""
        return str(self.started.task.get("title", "")) if self.started else ""

    @property
    def state(self) -> str:
        """The outcome, or `unfinished`."""
        return self.report.outcome.value if self.report else "unfinished"


def runs_folder(home: Path) -> Path:
    """Return where runs lie, and links to those that were given an `--out`."""
    return home / "runs"


def list_runs(home: Path) -> list[Path]:
    """Return the run folders, newest first."""
    folder = runs_folder(home)
    if not folder.is_dir():
        return []
    return sorted(filter(is_run, folder.iterdir()), key=_changed, reverse=True)


def _changed(folder: Path) -> float:
    return max(path.stat().st_mtime for path in logs_of(folder) or [folder / REQUEST_FILE])


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, if only one that was killed before its first step."""
    return bool(logs_of(folder)) or (folder / REQUEST_FILE).is_file()


def logs_of(folder: Path) -> list[Path]:
    """Return the logs of a run: one, or one for each attempt."""
    return [*folder.glob(LOG), *sorted(folder.glob(f"attempt*/{LOG}"))]


def is_working(folder: Path) -> bool:
    """Whether some process still works on the run: it holds the lock of the folder, or of a log."""
    if is_held(folder):
        return True
    for log in logs_of(folder):
        try:
            with log.open("rb") as opened:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def find_run(home: Path, name: str) -> Path:
    """Return the folder that `name` means: a path, `last`, an id, or the only id that begins so.

    Raises:
        UsageError: there is none, or more than one.
    """
    path = Path(name)
    if path.is_file() and path.name == LOG:
        return path.parent
    if path.is_dir() and is_run(path):
        return path
    kept = list_runs(home)
    if name == "last" and kept:
        return kept[0]
    exact = [run for run in kept if run.name == name]
    near = exact or [run for run in kept if run.name.startswith(name)]
    if len(near) == 1:
        return near[0]
    if not near and path.is_dir():
        raise UsageError(f"{path} is a folder but holds no run", mend="`ostro runs` lists those that are kept.")
    if near:
        raise UsageError(f"{len(near)} runs begin with {name!r}", mend="Give more letters of the id.")
    raise UsageError(f"there is no run {name!r} in {runs_folder(home)}", mend="`ostro runs` lists them.")


def read_run(folder: Path) -> KeptRun:
    """Read the report and the manifest of a run folder; damaged parts are None."""
    return KeptRun(folder, _report(folder / REPORT), next(_manifests(folder), None))


def _report(path: Path) -> RunReport | None:
    try:
        return RunReport.model_validate(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def _manifests(folder: Path) -> Iterator[RunStarted]:
    for log in logs_of(folder):
        try:
            first = next(read_events(log), None)
        except StorageError:
            continue
        if isinstance(first, RunStarted):
            yield first
