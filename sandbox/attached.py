"""Everything of a sandbox that is the same for both backends: `Sandbox` over one attached shell.

A backend subclasses `AttachedSandbox` and supplies the isolated world (sandbox/backend.py); commands, jobs, files,
patches and checkpoints all go through the shell (sandbox/shell.py).
"""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Self

from ostro.sandbox import fileio, jobs, patch, snapshot, usage, workspace, world
from ostro.sandbox.backend import Backend
from ostro.sandbox.exchange import KILLED, ShellLostError
from ostro.sandbox.protocol import (
    DEFAULT_TIMEOUT_S,
    HEAD_BYTES,
    MAX_PATCH_BYTES,
    SAVED_BYTES,
    TAIL_BYTES,
    Channel,
    Checkpoint,
    Completed,
    Job,
    SandboxError,
    SandboxSpec,
)
from ostro.sandbox.shell import Request, Shell

BOOT_S = 30.0
UNWATCHED_S = 0.5
"""After commands of this duration together the workspace is looked at, should none of them have run long enough."""


class AttachedSandbox(Backend):
    """A sandbox whose every operation is a command over one attached shell.

    Usage, in a backend's constructor function:
        return DockerSandbox(spec, client).open()
    """

    def __init__(self, spec: SandboxSpec) -> None:
        self._spec = spec
        self._channel: Channel | None = None
        self._shell: Shell | None = None
        self._programs: dict[str, bool] = {}
        self._jobs = jobs.JobBook()
        self._closed = False
        self._cancelled = False
        self._taken_over = False
        self._unwatched_s = 0.0

    # Life.

    def open(self, *, empty: bool = False) -> Self:
        """Start the world, the shell and the workspace. Raises SandboxError; nothing is left behind then.

        Args:
            empty: leave the workspace as it is: `fork` fills it.
        """
        try:
            self._spec.state_dir.mkdir(parents=True, exist_ok=True)
            if self._spec.take_over:
                self._taken_over = self._take_over()
            if not self._taken_over:
                self._open_world()
            self._boot(self.workdir)
            if self._taken_over:
                workspace.adopt(self._request, self._place)
            elif not empty:
                workspace.set_up(self._request, self.put, self._place)
            self._disk_is_full()  # what later looks are compared with
            if not empty:
                world.note(self._spec.state_dir, self._world())
        except BaseException:
            self.close()
            raise
        return self

    def _take_over(self) -> bool:
        found = world.noted(self._spec.state_dir)
        if found is not None and found.suits(self._spec, self.name) and self._take_world(found):
            return True
        world.forget(self._spec.state_dir)
        self._clear_world()
        return False

    def close(self) -> None:
        """See `Sandbox.close`."""
        if self._closed:
            return
        self._closed = True
        if self._channel is not None:
            self._channel.close()
        world.forget(self._spec.state_dir)
        self._close_world()
        shutil.rmtree(self._spools, ignore_errors=True)

    def cancel(self) -> None:
        """See `Sandbox.cancel`."""
        self._cancelled = True

    def _look(self) -> str | None:
        return "ended by its owner" if self._cancelled else self._overused()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def fork(self, run_id: str, state_dir: Path) -> AttachedSandbox:
        """See `Sandbox.fork`."""
        # Where the image holds the workspace, that is the base, and the sibling takes stock of it.
        empty = self._spec.base_git is not None
        sibling = self._sibling(replace(self._spec, run_id=run_id, state_dir=state_dir)).open(empty=empty)
        try:
            self._fill(sibling)
            workspace.adopt(sibling._request, sibling._place)  # noqa: SLF001  # same class
            world.note(state_dir, sibling._world())  # noqa: SLF001  # same class
        except BaseException:
            sibling.close()
            raise
        return sibling

    @abstractmethod
    def _sibling(self, spec: SandboxSpec) -> AttachedSandbox:
        """Return an unopened sandbox of the same backend and environment."""

    def _fill(self, sibling: AttachedSandbox) -> None:
        """Copy the workspace into a sandbox that was opened with an empty one."""
        archive = sibling.state_folder / "fork.tar"
        try:
            snapshot.save_all(self._request, self.workdir, archive)
            snapshot.load_all(sibling._request, sibling.put, sibling.workdir, archive)  # same class
        finally:
            archive.unlink(missing_ok=True)

    @property
    def taken_over(self) -> bool:
        """See `Sandbox.taken_over`."""
        return self._taken_over

    # Commands.

    @property
    def workdir(self) -> str:
        """See `Sandbox.workdir`."""
        return self._spec.workdir

    @property
    def state_folder(self) -> Path:
        """Folder on the host for what the backend keeps of this sandbox."""
        return self._spec.state_dir

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
        """See `Sandbox.run`."""
        self._programs.clear()
        done = self._request(
            Request(
                command=command,
                timeout_s=timeout_s,
                cwd=cwd,
                stdin=stdin,
                head_bytes=head_bytes,
                tail_bytes=tail_bytes,
                keep_state=keep_state,
            )
        )
        return self._warned(done) if keep_state else done

    def _warned(self, done: Completed) -> Completed:
        """Say so where many short commands, none of them watched, filled the disk."""
        self._unwatched_s += done.duration_s
        if self._unwatched_s < UNWATCHED_S:
            return done
        self._unwatched_s = 0.0
        if done.exit_code == KILLED or not self._disk_is_full():
            return done
        return replace(done, output=done.output.with_line(f"[{usage.DISK_FULL}]"))

    def put(self, source: BinaryIO, path: str) -> None:
        """Send raw bytes to a file inside, for a `Request` with `stored`."""
        self._talk().put(source, path)

    def start(self, command: str) -> Job:
        """See `Sandbox.start`."""
        number = self._jobs.next_number()
        log = f"{self._log_dir}/job-{number}.log"
        leader = self._talk().start(number, command, log)
        return self._jobs.add(number, leader, command, log)

    def jobs(self) -> list[Job]:
        """See `Sandbox.jobs`."""
        return self._jobs.listing(self._request, self._talk().state_dir)

    def remember_jobs(self, jobs: Sequence[Job]) -> None:
        """See `Sandbox.remember_jobs`."""
        self._jobs.remember(jobs)

    def stop(self, job_id: str) -> None:
        """See `Sandbox.stop`."""
        leader = self._jobs.running_leader(self._request, self._talk().state_dir, job_id)
        if leader is not None:
            self._talk().stop(leader)
            self._jobs.ended(job_id, KILLED)

    def has(self, program: str) -> bool:
        """See `Sandbox.has`. The cache is forgotten at the next `run`, which may install something."""
        if program not in self._programs:
            self._programs[program] = fileio.has(self._request, program)
        return self._programs[program]

    # Files and the workspace.

    def read(self, path: str, *, max_bytes: int = SAVED_BYTES) -> bytes:
        """See `Sandbox.read`."""
        return fileio.read(self._request, self.workdir, path, max_bytes)

    def write(self, path: str, data: bytes) -> None:
        """See `Sandbox.write`."""
        fileio.write(self._request, self.workdir, self._talk().state_dir, path, data)

    def patch(self, *, max_bytes: int = MAX_PATCH_BYTES) -> bytes:
        """See `Sandbox.patch`."""
        return patch.take(self._request, self._place, max_bytes)

    def checkpoint(self, into: Path) -> Checkpoint:
        """See `Sandbox.checkpoint`."""
        return snapshot.save(self._request, self._place, self._session, into)

    def digest(self) -> str:
        """See `Sandbox.digest`."""
        return snapshot.digest(self._request, self._place, self._session)

    def restore(self, checkpoint: Checkpoint) -> None:
        """See `Sandbox.restore`."""
        self._talk().cwd = snapshot.load(self._request, self.put, self._place, self._session, checkpoint.path)

    # The shell behind it.

    @property
    def _spools(self) -> Path:
        return self._spec.state_dir / "outputs"

    @property
    def _place(self) -> workspace.Place:
        return workspace.Place(
            workdir=self.workdir,
            state_dir=self._talk().state_dir,
            base_git=self._base_git if self._spec.base_git else None,
            base_commit=self._spec.base_commit,
            host_git=self._spec.base_git,
            scratch=self._spec.state_dir,
            kept=self._kept,
        )

    @property
    def _session(self) -> snapshot.Session:
        shell = self._talk()
        return snapshot.Session(shell.cwd, shell.variables)

    def _boot(self, cwd: str) -> None:
        self._channel = self._open_channel()
        self._shell = Shell(
            self._channel,
            workdir=self.workdir,
            panic=self._panic,
            watch=self._look,
            grace_s=self._spec.limits.grace_s,
            spools=self._spools,
            state_dir=self._state_dir,
            limits=self._limits,
        )
        self._shell.boot(BOOT_S)
        self._shell.cwd = cwd

    def _talk(self) -> Shell:
        if self._shell is None or self._closed or self._cancelled:
            raise SandboxError("The sandbox is closed.", kind="gone")
        if self._shell.torn:
            self._revive(self._shell)
        return self._shell

    def internal(self, text: str, *, cwd: str) -> Completed:
        """Run a command of ours, independent of the session, and return it."""
        return self._request(workspace.internal(text, workspace.SET_UP_S, cwd=cwd))

    def _request(self, request: Request) -> Completed:
        """Run a command; when the sandbox's first process died under it, start that again.

        The files of the workspace outlive it, the session's directory too; its variables do not.
        """
        shell = self._talk()
        try:
            done = shell.run(request)
        except ShellLostError as lost:
            self._revive(shell)
            if lost.begun:
                done = lost.ended.completed(shell.cwd, restarted=True)
            else:
                done = replace(self._talk().run(request), restarted=True)
        if done.restarted:
            self._jobs.all_killed()
        if done.exit_code == KILLED and self._was_oom():
            done = replace(done, oom=True)
        return done

    def _revive(self, lost: Shell) -> None:
        if self._channel is not None:
            self._channel.close()
        self._boot(lost.cwd)
        world.note(self._spec.state_dir, self._world())
