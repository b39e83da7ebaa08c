"""What a sandbox notes on the host, so that another process can take its world over after a `kill -9`.

The note is written when the workspace is complete and removed before anything else is: without it there is no world.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ostro.sandbox.owner import start_time
from ostro.sandbox.protocol import SandboxError, SandboxName, SandboxSpec
from ostro.sandbox.usage import processes_below

NOTE = "world.json"
END_S = 10.0


@dataclass(frozen=True)
class World:
    """One sandbox as it stands.

    Attributes:
        name: of the backend.
        base: its base commit.
        volumes: names on the engine (Docker).
        processes: on this machine, `pid:start time` of each (the other backends).
    """

    name: SandboxName
    base: str
    volumes: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()

    def suits(self, spec: SandboxSpec, name: SandboxName) -> bool:
        """Whether a sandbox of this specification can go on in it."""
        return self.name == name and self.base == spec.base_commit and spec.base_git is not None


def process_names(pids: list[int]) -> tuple[str, ...]:
    """Return `pid:start time` of these processes, so that a reused pid is told apart."""
    return tuple(f"{pid}:{started}" for pid in pids if (started := start_time(pid)))


def note(state_dir: Path, world: World) -> None:
    """Write the note."""
    partial = state_dir / f"{NOTE}.partial"
    partial.write_text(json.dumps(asdict(world)) + "\n", encoding="ascii")
    partial.replace(state_dir / NOTE)


def noted(state_dir: Path) -> World | None:
    """Read the note; None where there is none."""
    try:
        fields: dict[str, Any] = json.loads((state_dir / NOTE).read_text(encoding="ascii"))
        volumes: list[str] = fields.pop("volumes")
        processes: list[str] = fields.pop("processes")
        return World(**fields, volumes=tuple(volumes), processes=tuple(processes))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def forget(state_dir: Path) -> None:
    """Remove the note."""
    (state_dir / NOTE).unlink(missing_ok=True)


def end_processes(world: World) -> None:
    """End what still runs in the world of a dead owner, and wait for it: the kernel may be at it only now.

    Raises:
        SandboxError: `unavailable`, a process cannot be ended.
    """
    deadline = time.monotonic() + END_S
    while living := [int(pid) for pid, _, started in _parted(world) if start_time(int(pid)) == started]:
        for pid in {below for top in living for below in processes_below(top)}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise SandboxError(f"Process {living[0]} of an earlier sandbox does not end.", kind="unavailable")
        time.sleep(0.01)


def _parted(world: World) -> list[tuple[str, str, str]]:
    return [name.partition(":") for name in world.processes]
