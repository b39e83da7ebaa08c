"""What a run needs before its first attempt: folder, repository, model, environment. Nothing of the user's is changed.

Input errors come first (repository, model, price, key), then what takes time (environment, container).
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from ostro.agent.budget import Purse
from ostro.agent.config import Settings
from ostro.agent.errors import UsageError
from ostro.agent.model.catalogue import resolve
from ostro.agent.model.client import ModelClient, RetryEvent
from ostro.agent.model.profile import Target, read_key
from ostro.agent.record.lock import refuse_held
from ostro.agent.record.redact import Redactor, secrets_of
from ostro.agent.record.trajectory import storage_error
from ostro.agent.task import Task
from ostro.agent.workshop import BASE_GIT, Workshop, prepare_workshop
from ostro.sandbox.host_git import Base
from ostro.sandbox.protocol import Sandbox, SandboxSpec
from ostro.sandbox.repository import Repository, inspect_repository


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps everything: trajectory, patch, report, base of the repository.

    Attributes:
        created: the folder did not exist before, so a run that never starts may remove it.
    """

    path: Path
    run_id: str
    created: bool

    def discard(self) -> None:
        """Remove a folder that holds nothing of value: the run was refused before it began."""
        shutil.rmtree(self.path if self.created else self.path / BASE_GIT, ignore_errors=True)


def open_folder(home: Path, out: Path | None) -> RunFolder:
    """Make the run folder: `out`, or a new one named by time and chance below `home/runs`.

    Raises:
        UsageError: it holds another run already, or another process works on it.
        StorageError: it cannot be made or written.
    """
    if out is not None and str(out) in ("", "."):
        raise UsageError("the current folder cannot be the run folder", mend="Name a folder of its own with --out.")
    run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    path = (out or home / "runs" / run_id).absolute()
    refuse_held(path)
    if (path / "trajectory.jsonl").exists():
        raise UsageError(f"{path} already holds a run", kind="exists", mend="Choose another folder with --out.")
    created = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise storage_error(error, path) from error
    return RunFolder(path=path, run_id=run_id, created=created)


@dataclass
class RetryRelay:
    """Hands retries of the model client to whichever attempt is running."""

    listener: Callable[[RetryEvent], object] | None = None

    def __call__(self, event: RetryEvent) -> None:
        """Tell the listener, if there is one."""
        if self.listener is not None:
            self.listener(event)


@dataclass
class Prepared:
    """Everything that the attempts share. A context manager: closing it ends the model's connections.

    Attributes:
        purse: dollars and tokens of the whole call.
        deadline: monotonic second at which the call must end.
    """

    folder: RunFolder
    repository: Repository
    task: Task
    settings: Settings
    target: Target
    model: ModelClient
    retries: RetryRelay
    redact: Redactor
    workshop: Workshop
    purse: Purse
    deadline: float
    test_command: str
    notes: list[str] = field(default_factory=list[str])
    sandbox_name: str = ""

    @property
    def base(self) -> Base:
        """The commit that the attempts start from."""
        return self.workshop.base

    @property
    def spec(self) -> SandboxSpec:
        """What every sandbox of the run is started from."""
        return self.workshop.spec

    def open_sandbox(self, label: str, *, online: bool = False) -> Sandbox:
        """Start a fresh sandbox of the task's environment, the base commit in its workspace."""
        sandbox = self.workshop.open_sandbox(label, online=online)
        self.sandbox_name = sandbox.name
        return sandbox

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.model.close()
        self.workshop.close()


def prepare(
    repository: Path, task: Task, settings: Settings, folder: RunFolder, say: Callable[[str], None]
) -> Prepared:
    """Check the input, connect to the model, make the environment ready.

    Raises:
        RepositoryError, UsageError: the input cannot be used.
        SandboxError: no sandbox can be had, or its environment cannot be built.
    """
    found = inspect_repository(repository)
    target = resolve(settings.model, settings.endpoint, settings.price)
    redact = Redactor(secrets_of(os.environ))
    retries = RetryRelay()
    model = ModelClient(
        target,
        read_key(target.profile),
        on_retry=retries,
        stream=settings.stream,
        conversation=folder.run_id,
    )
    model.warm()
    workshop = prepare_workshop(found, settings, folder.path, folder.run_id, say)
    environment = workshop.environment
    return Prepared(
        folder=folder,
        repository=found,
        task=task,
        settings=settings,
        target=target,
        model=model,
        retries=retries,
        redact=redact,
        workshop=workshop,
        purse=Purse(budget_usd=settings.budget, token_limit=settings.tokens),
        deadline=time.monotonic() + settings.time,
        test_command=settings.test if settings.test is not None else workshop.test,
        notes=[*found.warnings, *environment.notes],
    )
