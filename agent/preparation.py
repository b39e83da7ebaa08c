"""What a run needs before its first attempt: folder, repository, model, environment. Nothing of the user's is changed.

Input errors come first (repository, model, price, key), then what takes time (environment, container).
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from ostro.agent.budget import Purse
from ostro.agent.config import Settings
from ostro.agent.errors import ConfigError, StorageError
from ostro.agent.model.catalogue import resolve
from ostro.agent.model.client import ModelClient, RetryEvent
from ostro.agent.model.profile import Target, read_key
from ostro.agent.record.redact import Redactor, secrets_of
from ostro.agent.record.trajectory import storage_error
from ostro.agent.task import Task
from ostro.sandbox.environment import Environment, prepare_environment
from ostro.sandbox.host_git import Base, prepare_base
from ostro.sandbox.open import SandboxChoice, choose, open_sandbox
from ostro.sandbox.protocol import Limits, Sandbox, SandboxSpec
from ostro.sandbox.repository import Repository, inspect_repository

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


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
        if self.created:
            shutil.rmtree(self.path, ignore_errors=True)


def open_folder(home: Path, out: Path | None) -> RunFolder:
    """Make the run folder: `out`, or a new one named by time and chance below `home/runs`.

    Raises:
        StorageError: it cannot be made or written, or holds another run already.
    """
    run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    path = (out or home / "runs" / run_id).absolute()
    if (path / "trajectory.jsonl").exists():
        raise StorageError(f"{path} already holds a run", kind="exists", mend="Choose another folder with --out.")
    created = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise storage_error(error, path) from error
    return RunFolder(path=path, run_id=out.name if out else run_id, created=created)


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
    base: Base
    task: Task
    settings: Settings
    target: Target
    model: ModelClient
    retries: RetryRelay
    redact: Redactor
    spec: SandboxSpec
    backend: SandboxChoice
    environment: Environment
    purse: Purse
    deadline: float
    test_command: str
    notes: list[str] = field(default_factory=list[str])
    sandbox_name: str = ""

    def open_sandbox(self, label: str) -> Sandbox:
        """Start a fresh sandbox of the task's environment, the base commit in its workspace."""
        spec = replace(
            self.spec, run_id=f"{self.folder.run_id}-{label}", state_dir=self.folder.path / "sandboxes" / label
        )
        sandbox = open_sandbox(self.backend, spec)
        self.sandbox_name = sandbox.name
        return sandbox

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.model.close()
        shutil.rmtree(self.folder.path / "sandboxes", ignore_errors=True)


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
    limits = Limits(memory_bytes=parse_size(settings.memory))
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
    base = prepare_base(found, folder.path / "base.git")
    spec = SandboxSpec(
        run_id=folder.run_id,
        state_dir=folder.path / "sandboxes",
        base_git=base.git_dir,
        base_commit=base.commit,
        image=settings.image,
        limits=limits,
    )
    backend = choose(settings.sandbox, spec, say=say).backend
    environment = prepare_environment(base, backend=backend, settings_image=settings.image, setup=settings.setup)
    return Prepared(
        folder=folder,
        repository=found,
        base=base,
        task=task,
        settings=settings,
        target=target,
        model=model,
        retries=retries,
        redact=redact,
        spec=replace(spec, image=environment.image, env=environment.env, read_only=environment.read_only),
        backend=backend,
        environment=environment,
        purse=Purse(budget_usd=settings.budget, token_limit=settings.tokens),
        deadline=time.monotonic() + settings.time,
        test_command=settings.test if settings.test is not None else (environment.test or ""),
        notes=[*found.warnings, *environment.notes],
    )


def parse_size(text: str) -> int:
    """Return bytes for `512m`, `4g`, `1.5G`.

    Raises:
        ConfigError: it is not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is not a size", mend="Write it like 512m or 4g.")
    return int(float(match.group(1)) * _UNITS[match.group(2).lower()])
