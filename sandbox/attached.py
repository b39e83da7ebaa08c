"""Everything of a sandbox that is the same for both backends: `Sandbox` over one attached shell.

A backend subclasses `AttachedSandbox` and supplies the isolated world (the abstract methods below); commands,
jobs, files, patches and checkpoints all go through the shell (sandbox/shell.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from ostro.sandbox.protocol import Channel, SandboxName, SandboxSpec


class AttachedSandbox(ABC):
    """A sandbox whose every operation is a command over one attached shell.

    Usage, in a backend's constructor function:
        sandbox = DockerSandbox(spec, client)
        sandbox.open()          # channel, hello, workspace from base.git; closes the world again when it fails
        return sandbox

    Order of calls on the backend: `_open_world`, `_open_channel`, then any number of `_panic` and
    `_open_channel` (after a crash), finally `_close_world`.
    """

    def __init__(self, spec: SandboxSpec) -> None:
        self._spec = spec

    @property
    @abstractmethod
    def name(self) -> SandboxName:
        """Which backend this is."""

    @property
    @abstractmethod
    def description(self) -> str:
        """One line for people: backend, image, limits, what is off."""

    @abstractmethod
    def _open_world(self) -> None:
        """Make what outlives a crash of the first process: volumes or folders, with base.git in them.

        Afterwards `spec.base_git` must be readable at `BASE_GIT` inside (when not None), and the folder
        `spec.workdir` must exist there, owned by the sandbox's user (empty, unless the image holds it).
        """

    @abstractmethod
    def _open_channel(self) -> Channel:
        """Start (or start again, after a crash) the first process, `boot_argv()`, and attach to it.

        Environment: `base_environment(spec)`. Stdout alone is the channel; stderr goes to `diagnostics()`.

        Raises:
            SandboxError: `unavailable`, `image` or `transport`.
        """

    @abstractmethod
    def _panic(self) -> None:
        """Kill every process inside but the first: send SIGUSR1 to PID 1 from outside. Must not raise when it is gone."""

    @abstractmethod
    def _was_oom(self) -> bool:
        """Whether the memory controller killed something since the last call (False where that is unknown)."""

    @abstractmethod
    def _close_world(self) -> None:
        """End every process and remove what `_open_world` made. Safe to call twice and after a failed start."""

    @abstractmethod
    def _sibling(self, spec: SandboxSpec) -> AttachedSandbox:
        """Return an unopened sandbox of the same backend and environment; `fork` opens it and fills its workspace."""

    def open(self) -> Self:
        """Start the world, the shell and the workspace. Raises SandboxError; nothing is left behind then."""
        raise NotImplementedError

    def fork(self, run_id: str, state_dir: Path) -> AttachedSandbox:
        """See `Sandbox.fork`: opens a sibling and streams the workspace into it as a tar."""
        raise NotImplementedError
