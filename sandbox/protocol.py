"""The contract of a sandbox: what the rooms above may ask of the place where commands run.

Backends (docker, local) implement `Sandbox`; they start one attached shell (`Channel`) in an isolated
world and share everything above it (sandbox/shell.py). Nothing here knows of models or tools.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, Self, runtime_checkable

SandboxName = Literal["docker", "bubblewrap", "unshare", "none"]

SandboxErrorKind = Literal[
    "unavailable",  # no engine, namespaces forbidden, permission denied
    "image",  # the image is missing, cannot be pulled or cannot be built
    "setup",  # a set-up command of the environment failed
    "gone",  # the sandbox died and could not be brought back
    "workspace_lost",  # the working tree was deleted from inside
    "patch_too_large",
    "transport",  # the engine's connection broke
    "disk_full",  # the host has no room for the sandbox
    "storage",  # a disk of the host fails or is read-only
    "machine",  # the host has no memory, process or file descriptor left
    "usage",  # a bad argument of ours, for example a NUL in a command
]

DEFAULT_TIMEOUT_S = 120.0
MAX_TIMEOUT_S = 1800.0
HEAD_BYTES = 64 * 1024
TAIL_BYTES = 64 * 1024
SAVED_BYTES = 32 * 1024 * 1024
MAX_PATCH_BYTES = 8 * 1024 * 1024
ENVIRONMENT_DIR = "/opt/env"
"""Where a prepared environment (sandbox/environment.py) is seen inside; its `bin` comes first on PATH."""


class SandboxError(Exception):
    """The sandbox failed, as opposed to a command in it.

    SandboxError
    └── RepositoryError   the user's repository cannot be used as asked (exit code 2)

    Attributes:
        kind: what failed, one of `SandboxErrorKind`.
        mend: what the user can do about it, one sentence; empty when there is nothing.
    """

    def __init__(self, message: str, *, kind: SandboxErrorKind, mend: str = "") -> None:
        super().__init__(message)
        self.kind: SandboxErrorKind = kind
        self.mend = mend


def disk_kind(error: OSError) -> SandboxErrorKind:
    """Return the kind of a SandboxError about a file of the host that could not be written."""
    return "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "storage"


class RepositoryError(SandboxError):
    """The repository that the user named cannot serve: missing, empty, bare, corrupt. Exit code 2."""

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message, kind="usage", mend=mend)


@dataclass(frozen=True)
class Output:
    """Combined stdout and stderr of one command, with bounded memory.

    Attributes:
        head: the first bytes, at most `HEAD_BYTES` (or what the caller asked for).
        tail: the last bytes after `head`, at most `TAIL_BYTES`; empty when head holds everything.
        total_bytes: the true size, counted also where the bytes themselves were dropped.
        spool: file on the host holding the first `SAVED_BYTES`, when head and tail do not hold everything.
    """

    head: bytes
    tail: bytes = b""
    total_bytes: int = 0
    spool: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether head and tail together are the whole output."""
        return self.total_bytes <= len(self.head) + len(self.tail)

    @property
    def elided_bytes(self) -> int:
        """How many bytes between head and tail are not held."""
        return max(0, self.total_bytes - len(self.head) - len(self.tail))

    def with_line(self, line: str) -> Output:
        """Return this output with a line of ours at its end."""
        added = f"\n{line}\n".encode()
        total = self.total_bytes + len(added)
        if not self.tail and self.complete:
            return replace(self, head=self.head + added, total_bytes=total)
        return replace(self, tail=self.tail + added, total_bytes=total)

    def text(self) -> str:
        """Decode as UTF-8 with replacement; an elision is marked with its size."""
        head = self.head.decode("utf-8", "replace")
        if not self.tail and self.complete:
            return head
        tail = self.tail.decode("utf-8", "replace")
        if self.complete:
            return (self.head + self.tail).decode("utf-8", "replace")
        return f"{head}\n[... {self.elided_bytes} bytes left out ...]\n{tail}"


@dataclass(frozen=True)
class Completed:
    """A command that ended, by itself or because it was ended.

    Attributes:
        exit_code: the shell's status; 124 when it timed out, 137 when it was killed.
        duration_s: wall-clock seconds, measured on a monotonic clock.
        timed_out: the time limit ended it, with all its children.
        oom: it was killed for want of memory (137 together with the memory controller's count).
        output_limit: it was ended because it wrote more than the drain limit.
        leftovers: processes that it had left running and that were ended with it.
        cwd: the working directory afterwards, which the next command starts in.
        restarted: the sandbox's shell had to be started anew; state was restored from its files.
    """

    exit_code: int
    output: Output
    duration_s: float
    timed_out: bool = False
    oom: bool = False
    output_limit: bool = False
    leftovers: int = 0
    cwd: str = ""
    restarted: bool = False


@dataclass(frozen=True)
class Job:
    """A command that runs in the background of the sandbox.

    Attributes:
        id: short name, unique in this sandbox: `job-1`.
        log: path inside the sandbox of its combined output.
        exit_code: None while it runs.
    """

    id: str
    command: str
    log: str
    exit_code: int | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A snapshot of workspace and session, kept on the host.

    Attributes:
        path: the archive.
        digest: sha256 of the workspace content that it stands for; neither `.git` nor the session counts.
    """

    path: Path
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Limits:
    """What a sandbox may use at most. Sizes in bytes, times in seconds."""

    memory_bytes: int = 4 * 1024**3
    processes: int = 512
    cpus: float = 2.0
    open_files: int = 4096
    tmp_bytes: int = 1024**3
    workspace_bytes: int = 8 * 1024**3
    grace_s: float = 60.0


@dataclass(frozen=True)
class SandboxSpec:
    """Everything that a backend needs to start one sandbox.

    Attributes:
        run_id: names the sandbox; label `ostro.run` of a container.
        base_git: bare repository on the host holding the base commit (sandbox/host_git.prepare_base); its
            tree becomes the workspace. None: the image already holds the workspace at `workdir`.
        base_commit: full hex id of the commit in `base_git`.
        image: container image, or for the local backend a tree (sandbox/environment); None for the default.
        workdir: absolute path of the workspace inside the sandbox.
        env: extra variables for every command; never a secret.
        read_only: host folders to show read-only at the same path in the local backend (tool chains).
        network: the unix socket of an egress proxy, or None for no network at all.
        writable_environment: `ENVIRONMENT_DIR` can be written: only while it is being prepared.
        state_dir: host folder for what the backend keeps of this sandbox (spools, local trees).
        take_over: go on in the world that an ended process left under this `run_id` and `state_dir`, if it survives
            whole (`Sandbox.taken_over` says so); else start a fresh one, and remove what is left of the old.
    """

    run_id: str
    state_dir: Path
    base_git: Path | None = None
    base_commit: str = ""
    image: str | None = None
    workdir: str = "/workspace"
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    read_only: tuple[Path, ...] = ()
    network: Path | None = None
    writable_environment: bool = False
    limits: Limits = field(default_factory=Limits)
    take_over: bool = False


class Channel(Protocol):
    """The attached stdin and stdout of a sandbox's first process: an ordered byte stream both ways.

    Only the shell protocol (sandbox/shell.py) writes to it. `diagnostics` is what came on stderr.
    """

    def send(self, data: bytes) -> None:
        """Write all of `data`. Raises SandboxError(transport) when the peer is gone."""
        ...

    def receive(self, timeout_s: float) -> bytes | None:
        """Return the next bytes, b"" at the end of the stream, None when nothing came in time."""
        ...

    def diagnostics(self) -> str:
        """Return the last few kilobytes of stderr."""
        ...

    def close(self) -> None:
        """Release the descriptors; safe to call twice."""
        ...


@runtime_checkable
class Sandbox(Protocol):
    """An isolated place with one workspace, where commands run and files live.

    Usage:
        with open_sandbox("auto", spec) as sandbox:
            done = sandbox.run("python -m pytest -q", timeout_s=300)
            patch = sandbox.patch()

    The working directory and exported variables persist from one command to the next, also after a time-out;
    nothing else does. A command that times out is dead afterwards, with all its children. Every method raises
    SandboxError when the sandbox itself failed; a failing command is a `Completed`.
    """

    @property
    def name(self) -> SandboxName:
        """Which backend this is, as the report shows it."""
        ...

    @property
    def workdir(self) -> str:
        """Absolute path of the workspace inside."""
        ...

    @property
    def description(self) -> str:
        """One line for people: backend, image, limits, what is off."""
        ...

    @property
    def taken_over(self) -> bool:
        """Whether this is the world of an ended process (`SandboxSpec.take_over`), its workspace as that left it.

        The session's directory and variables and /tmp are lost all the same: `restore` brings them back.
        """
        ...

    def run(
        self,
        command: str,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        cwd: str | None = None,
        stdin: bytes | None = None,
        head_bytes: int = HEAD_BYTES,
        tail_bytes: int = TAIL_BYTES,
        keep_state: bool = True,
    ) -> Completed:
        """Run one shell command and wait for it.

        Args:
            command: text for bash where the sandbox has it, else for sh.
            timeout_s: after this many seconds the whole process tree is killed.
            cwd: run there instead of in the session's directory; then the directory does not persist.
            stdin: bytes for its standard input; /dev/null otherwise.
            head_bytes: how much of the beginning of the output to hold.
            tail_bytes: how much of the end of it to hold.
            keep_state: False for our own probes: neither directory nor variables change for the session.

        Raises:
            SandboxError: the sandbox is gone or the command holds a NUL byte.
        """
        ...

    def start(self, command: str) -> Job:
        """Run one shell command in the background; its output goes to `Job.log` in the sandbox."""
        ...

    def jobs(self) -> list[Job]:
        """Return the background jobs, with the exit code of each that has ended."""
        ...

    def remember_jobs(self, jobs: Sequence[Job]) -> None:
        """Take up the background jobs that an ended process started here, in their order; they count as killed."""
        ...

    def stop(self, job_id: str) -> None:
        """End a background job and all its children. Unknown ids are ignored."""
        ...

    def has(self, program: str) -> bool:
        """Whether `program` is on PATH in the sandbox. Cached."""
        ...

    def read(self, path: str, *, max_bytes: int = SAVED_BYTES) -> bytes:
        """Return the content of a regular file; relative paths start at `workdir`.

        Raises:
            FileNotFoundError, IsADirectoryError, PermissionError: as the builtin ones, about the path inside.
            ValueError: it is not a regular file, or larger than `max_bytes`.
        """
        ...

    def write(self, path: str, data: bytes) -> None:
        """Write a file, keeping the mode of an existing one and making missing folders.

        Raises:
            IsADirectoryError, PermissionError, OSError: as the builtin ones (ENOSPC included).
        """
        ...

    def patch(self, *, max_bytes: int = MAX_PATCH_BYTES) -> bytes:
        """Return the difference from the base commit as a git binary patch; b"" when there is none.

        New, binary, renamed, mode-changed and symlinked files are in it; ignored ones and what lies in
        `.git` are not. Neither the agent's index nor its commits matter.

        Raises:
            SandboxError: `patch_too_large`, `workspace_lost` or `gone`.
        """
        ...

    def checkpoint(self, into: Path) -> Checkpoint:
        """Save workspace and session into the host folder `into`; on its disk when this returns.

        Of the workspace what differs from the base, and small ignored files; of the session its directory, its
        variables and the small files of /tmp.
        """
        ...

    def digest(self) -> str:
        """Return the digest of the workspace as it is, the one that a checkpoint made now would have."""
        ...

    def restore(self, checkpoint: Checkpoint) -> None:
        """Make workspace and session what they were at the checkpoint, also in another sandbox of the same base."""
        ...

    def fork(self, run_id: str, state_dir: Path) -> Sandbox:
        """Start another sandbox of the same environment, its workspace a copy of this one's."""
        ...

    def cancel(self) -> None:
        """End the running command within a second and refuse what comes after it; for another thread than the user's.

        The user of the sandbox gets the command's result or a `SandboxError`, and closes it as ever.
        """
        ...

    def close(self) -> None:
        """End every process and remove what the sandbox kept, within a second; safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
