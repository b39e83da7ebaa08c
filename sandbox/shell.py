"""The host's side of the one attached channel to a sandbox: commands go in, output and end records come out.

A backend starts `boot_argv()` as the first process of its isolated world, with stdin and stdout attached as a
`Channel`, and hands the channel to `Shell`. What runs inside is sandbox/supervisor.sh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ostro.sandbox.protocol import Channel, Completed, SandboxSpec

STATE_DIR = "/ostro/state"
"""Private folder inside: saved variables, stdin of a command, the index of patch().

A backend mounts a small tmpfs there (64 MiB do); where it cannot be written the supervisor takes /tmp/.ostro.
"""

BASE_GIT = "/ostro/base.git"
"""Where a backend shows `SandboxSpec.base_git`."""


def boot_argv() -> list[str]:
    """Return the command of the sandbox's first process (PID 1): a POSIX sh, replaced by bash where there is one.

    It reads its program from the channel (`Shell.boot` sends it), so no file of ours has to lie in the image.
    """
    raise NotImplementedError


def base_environment(spec: SandboxSpec) -> dict[str, str]:
    """Return the variables of every command: the fixed ones, then `spec.env`. A backend sets them for PID 1.

    HOME, USER, LOGNAME and PATH are in it; a backend may overrule HOME, USER, LOGNAME and PATH.
    """
    raise NotImplementedError


@dataclass(frozen=True)
class Request:
    """One command for `Shell.run`, see `Sandbox.run` for the meaning of the fields."""

    command: str
    timeout_s: float
    cwd: str | None
    stdin: bytes | None
    head_bytes: int
    tail_bytes: int
    keep_state: bool


class Shell:
    """One conversation with the supervisor inside. Holds the session's directory and variables' version.

    Not thread-safe: one command at a time.
    """

    def __init__(self, channel: Channel, *, workdir: str, grace_s: float, environment: Mapping[str, str]) -> None:
        self._channel = channel

    def boot(self, timeout_s: float) -> None:
        """Send the supervisor's text and wait for its hello.

        Raises:
            SandboxError: `unavailable`, with the channel's diagnostics, when none came in time.
        """
        raise NotImplementedError

    def run(self, request: Request) -> Completed:
        """Run one command and wait for its end or its deadline."""
        raise NotImplementedError
