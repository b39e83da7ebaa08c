"""Whole runs for tests: a small git repository, a scripted endpoint over real HTTP, a real sandbox."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostro.agent.config import Settings
from ostro.agent.outcome import RunReport
from ostro.agent.record.events import Event
from ostro.agent.record.trajectory import read_events
from ostro.agent.session import RunRequest, run
from ostro.agent.task import Task
from ostro.benchmarks.scripted_endpoint import Recorded, ScriptedEndpoint
from ostro.sandbox.host_git import Base, prepare_base
from ostro.sandbox.repository import inspect_repository
from tests.endpoint import FAULTS

Turn = Mapping[str, Any]

FILES = {
    "price.py": "def total(prices):\n    return sum(prices) + 1\n",
    "check.py": "from price import total\n\nassert total([1, 2]) == 3, total([1, 2])\nprint('ok')\n",
}
TASK = Task(title="total() is one too high", text="total([1, 2]) gives 4 instead of 3.", source="--task")
CHECK = "python3 check.py"

SUBMIT: Turn = {"calls": [{"name": "submit", "arguments": {"summary": "total() adds nothing any more"}}]}
FIX: Turn = {
    "calls": [
        {
            "name": "str_replace_editor",
            "arguments": {
                "command": "str_replace",
                "path": "price.py",
                "old_str": "sum(prices) + 1",
                "new_str": "sum(prices)",
            },
        }
    ]
}


def bash(command: str) -> Turn:
    """A turn with one shell call."""
    return {"calls": [{"name": "bash", "arguments": {"command": command}}]}


SOLVE: tuple[Turn, ...] = (bash(CHECK), FIX, bash(CHECK), SUBMIT, SUBMIT)


def git(repository: Path, *arguments: str) -> str:
    """Run git in a repository of the test's own and return what it printed."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=repository, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def make_repository(folder: Path, files: Mapping[str, str] = FILES) -> Path:
    """Make a git repository with one commit."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "base")
    return folder


def make_base(folder: Path, files: Mapping[str, str]) -> Base:
    """Make the base of a run from a new repository of these files."""
    return prepare_base(inspect_repository(make_repository(folder / "repository", files)), folder / "base.git")


@dataclass(frozen=True)
class Driven:
    """A run that has ended."""

    report: RunReport
    events: list[Event]
    requests: list[Recorded]
    repository: Path

    def of(self, kind: str) -> list[Any]:
        """Return the events of one type."""
        return [event for event in self.events if event.type == kind]


def drive(
    folder: Path, turns: Sequence[Turn], *, task: Task = TASK, files: Mapping[str, str] = FILES, **settings: Any
) -> Driven:
    """Run Ostro on a fresh copy of the small repository, or of other files, against a scripted model."""
    repository = make_repository(folder / "repository", files)
    with ScriptedEndpoint(turns, known_faults=FAULTS) as endpoint:
        return drive_at(folder, repository, endpoint, task=task, **settings)


def drive_at(
    folder: Path, repository: Path, endpoint: ScriptedEndpoint, *, task: Task = TASK, **settings: Any
) -> Driven:
    """Run Ostro on a repository against an endpoint that is already there."""
    chosen: dict[str, Any] = {
        "endpoint": endpoint.url,
        "model": "scripted",
        "price": (0.0, 0.0),
        "sandbox": "local",
        "setup": (),
        "test": CHECK,
        "home": folder / "home",
        **settings,
    }
    out = folder / "run"
    report = run(RunRequest(repository=repository, task=task, settings=Settings(**chosen), out=out))
    log = out / "trajectory.jsonl"
    return Driven(
        report=report,
        events=list(read_events(log)) if log.exists() else [],
        requests=list(endpoint.requests),
        repository=repository,
    )
