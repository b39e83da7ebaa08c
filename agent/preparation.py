"""What a run needs before its first attempt: folder, repository, model, environment. Nothing of the user's is changed.

Input errors come first (repository, model, price, key), then what takes time (environment, container).
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from ostro.agent.budget import Purse
from ostro.agent.config import Settings
from ostro.agent.errors import StorageError, UsageError
from ostro.agent.model.catalogue import resolve
from ostro.agent.model.client import ModelClient, RetryEvent
from ostro.agent.model.profile import Target, read_key
from ostro.agent.record.lock import RunLock, refuse_held
from ostro.agent.record.reconstruct import State
from ostro.agent.record.redact import Redactor, redacted, secrets_of
from ostro.agent.record.trajectory import storage_error
from ostro.agent.request import REQUEST_FILE
from ostro.agent.task import Task
from ostro.agent.toolset import toolset_of
from ostro.agent.workshop import BASE_GIT, Workshop, prepare_workshop
from ostro.sandbox.host_git import Base, open_base
from ostro.sandbox.protocol import RepositoryError, Sandbox, SandboxSpec
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
        if self.created:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        (self.path / REQUEST_FILE).unlink(missing_ok=True)
        self.discard_base()

    def list_below(self, home: Path) -> None:
        """Let `ostro runs` find it by a link where it lies elsewhere; what cannot be listed is a run all the same."""
        place = home / "runs" / self.run_id
        if self.path.parent.absolute() == place.parent.absolute():
            return
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(self.path, target_is_directory=True)

    def discard_base(self) -> None:
        """Remove the copy of the base commit, also one that was cut off in the making."""
        for name in (BASE_GIT, *(path.name for path in self.path.glob("ostro-git-*"))):
            shutil.rmtree(self.path / name, ignore_errors=True)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Let no other process work on it; a folder of ours that cannot even hold the lock goes again.

        Raises:
            UsageError, StorageError: see `RunLock`.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(RunLock(self.path))
            except StorageError:
                self.discard()
                raise
            yield


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
    folder = RunFolder(path=path, run_id=run_id, created=not path.exists())
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        folder.discard()
        raise storage_error(error, path) from error
    return folder


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
        publishes: it ends with a branch in the repository, not with the patch file alone.
        resumed: an earlier process began the run.
        earlier: what it left of the attempts, by number.
        goes_on: number of the attempt that has ended and is to go on all the same; 0 for none.
        limits: what the user changed when resuming.
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
    publishes: bool = True
    resumed: bool = False
    earlier: Mapping[int, State] = field(default_factory=dict[int, State])
    goes_on: int = 0
    limits: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    @property
    def base(self) -> Base:
        """The commit that the attempts start from."""
        return self.workshop.base

    @property
    def spec(self) -> SandboxSpec:
        """What every sandbox of the run is started from."""
        return self.workshop.spec

    def open_sandbox(self, label: str, *, online: bool = False, take_over: bool = False) -> Sandbox:
        """Start a fresh sandbox of the task's environment, the base commit in its workspace.

        Args:
            label: tells the sandboxes of the run apart.
            online: let its commands reach the package registries.
            take_over: go on in the one that an ended process left under this label, if it survives.
        """
        sandbox = self.workshop.open_sandbox(label, online=online, take_over=self.resumed)
        if sandbox.taken_over and not take_over:
            sandbox.close()
            sandbox = self.workshop.open_sandbox(label, online=online)
        self.sandbox_name = sandbox.name
        return sandbox

    def open_attempt(self, number: int, *, take_over: bool = False) -> Sandbox:
        """Start the sandbox of an attempt, or take over the one that an ended process left."""
        return self.open_sandbox(f"try-{number}", online=self.settings.network, take_over=take_over)

    def folder_of(self, number: int) -> Path:
        """Return where the log of an attempt lies."""
        return self.folder.path if number == 1 else self.folder.path / f"attempt-{number}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.model.close()
        self.workshop.close(thorough=self.resumed)


def prepare(
    repository: Path,
    task: Task,
    settings: Settings,
    folder: RunFolder,
    say: Callable[[str], None],
    earlier: Mapping[int, State] | None = None,
    purse: Purse | None = None,
) -> Prepared:
    """Check the input, connect to the model, make the environment ready.

    Args:
        repository: the user's checkout.
        task: what is to be done.
        settings: the effective configuration.
        folder: of the run.
        say: told what takes time.
        earlier: what ended processes left of the run's attempts.
        purse: the common purse of a batch.

    Raises:
        RepositoryError, UsageError: the input cannot be used.
        StorageError: the base of a run that had begun is gone.
        SandboxError: no sandbox can be had, or its environment cannot be built.
    """
    states = dict(earlier or {})
    found = inspect_repository(repository)
    base = _base_of(states, folder)
    target = resolve(settings.model, settings.endpoint, settings.price)
    toolset_of(settings, target.model)  # a wrong name is told before anything is made
    redact = Redactor(secrets_of(os.environ))
    retries = RetryRelay()
    model = ModelClient(
        target,
        read_key(target.profile),
        on_retry=retries,
        stream=settings.stream,
        conversation=folder.run_id,
        redact=redact,
    )
    model.warm()
    workshop = prepare_workshop(found, _same_sandbox(settings, states), folder.path, folder.run_id, say, base)
    environment = workshop.environment
    own_purse = Purse(budget_usd=settings.budget, token_limit=settings.tokens, common=purse)
    for state in states.values():
        own_purse.draw(state.spent.purse.spent_usd, state.spent.purse.spent_tokens)
    return Prepared(
        folder=folder,
        repository=found,
        task=redacted(task, redact),
        settings=settings,
        target=target,
        model=model,
        retries=retries,
        redact=redact,
        workshop=workshop,
        purse=own_purse,
        deadline=time.monotonic() + settings.time - sum(state.seconds for state in states.values()),
        test_command=settings.test if settings.test is not None else workshop.test,
        notes=[*found.warnings, *environment.notes],
        resumed=earlier is not None,
        earlier=states,
        sandbox_name=next((state.started.sandbox for state in states.values() if state.started), ""),
    )


def _base_of(states: Mapping[int, State], folder: RunFolder) -> Base | None:
    """Return the base that the attempts began with; None where none has begun, and whatever was left is removed."""
    started = next((state.started for state in states.values() if state.started), None)
    if started is None:
        folder.discard_base()
        return None
    path, mend = folder.path / BASE_GIT, "The run cannot go on; start a new one."
    if not path.is_dir():
        raise StorageError(f"{path}, the base of the run, is missing", kind="damaged", mend=mend)
    try:
        return open_base(path, source_commit=started.base_commit)
    except RepositoryError as error:
        raise StorageError(f"{path}, the base of the run, is broken: {error}", kind="damaged", mend=mend) from error


def _same_sandbox(settings: Settings, states: Mapping[int, State]) -> Settings:
    """Return the settings with `auto` made what it came down to when the run began."""
    started = next((state.started for state in states.values() if state.started), None)
    if settings.sandbox != "auto" or started is None:
        return settings
    return settings.model_copy(update={"sandbox": "docker" if started.sandbox == "docker" else "local"})
