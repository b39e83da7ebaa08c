"""What a backend of the sandbox supplies, and what it may refine: the isolated world below the attached shell.

sandbox/docker.py, sandbox/local.py and sandbox/bare.py are the backends; sandbox/attached.py makes a `Sandbox` of each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from ostro.sandbox import usage
from ostro.sandbox.protocol import Channel, Limits, SandboxName
from ostro.sandbox.shell import BASE_GIT, STATE_DIR
from ostro.sandbox.world import World


class Backend(ABC):
    """The world that one kind of sandbox lives in.

    Order of calls: `_open_world` or `_take_world`, `_open_channel`, then any number of `_panic` and, after a crash,
    `_open_channel` again; finally `_close_world`.
    """

    # What a backend supplies.

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
    def _take_world(self, found: World) -> bool:
        """Take over what `_open_world` made in a process that has ended, and end what still runs in it.

        False when it is not whole any more; then `_clear_world` and `_open_world` follow.
        """

    @abstractmethod
    def _clear_world(self) -> None:
        """Remove what an ended process left of this very sandbox. Silent when there is nothing."""

    @abstractmethod
    def _world(self) -> World:
        """Return what another process needs to know to take this world over."""

    @abstractmethod
    def _open_channel(self) -> Channel:
        """Start (or start again, after a crash) the first process, `boot_argv()`, and attach to it.

        Environment: `base_environment(spec)`. Stdout alone is the channel; stderr goes to `diagnostics()`.

        Raises:
            SandboxError: `unavailable`, `image` or `transport`.
        """

    @abstractmethod
    def _panic(self) -> None:
        """Kill every process inside but the first: send SIGUSR1 to it from outside. Silent when it is gone."""

    @abstractmethod
    def _close_world(self) -> None:
        """End every process and remove what `_open_world` made. Safe to call twice and after a failed start."""

    # What a backend may refine.

    @property
    def _state_dir(self) -> str:
        """Private folder inside, see `ostro.sandbox.shell.STATE_DIR`."""
        return STATE_DIR

    @property
    def _base_git(self) -> str:
        """Path inside of the base repository."""
        return BASE_GIT

    @property
    def _log_dir(self) -> str:
        """Folder inside for the logs of background jobs."""
        return "/tmp"  # noqa: S108  # inside the sandbox

    @property
    def _kept(self) -> tuple[str, ...]:
        """Folders inside, beside the workspace, whose small files a checkpoint holds."""
        return ("/tmp",)  # noqa: S108  # inside the sandbox

    @property
    def _limits(self) -> Limits | None:
        """Limits that the supervisor sets with `ulimit`; None where something stronger holds."""
        return None

    def _was_oom(self) -> bool:
        """Whether the memory limit killed something since the last call (False where that is unknown)."""
        return False

    def _overused(self) -> str | None:
        """Looked at twice a second while a command runs long: a sentence ends it, exit code 137."""
        return usage.DISK if self._disk_is_full() else None

    def _disk_is_full(self) -> bool:
        """Whether the workspace is over its limit (False where nothing watches it)."""
        return False
