"""The backend `none`: a shell on this machine, without isolation. For the bundled demo and for who types it.

The same supervisor runs here as in the isolated worlds; it adopts orphans (child subreaper), so a command that
times out still dies with all its children. Files, network and secrets of the user are in reach.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ostro.sandbox import usage
from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.pipes import PipeChannel, end_process, start_process
from ostro.sandbox.protocol import SandboxName, SandboxSpec
from ostro.sandbox.reaper import remove_tree
from ostro.sandbox.shell import base_environment, boot_argv
from ostro.sandbox.world import World, end_processes, process_names

_ADOPT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""36 is PR_SET_CHILD_SUBREAPER (linux/prctl.h); it outlives the exec. The signals are those that Python ignores."""

_FOLDERS = ("workspace", "state", "home")


def open_bare(spec: SandboxSpec) -> BareSandbox:
    """Start a shell without isolation; the caller has made sure that this was asked for.

    Raises:
        SandboxError: `setup` when the workspace fails.
    """
    return BareSandbox(spec).open()


class BareSandbox(AttachedSandbox):
    """A `Sandbox` that isolates nothing. `spec.workdir` is not honoured: the workspace is a folder of the host."""

    def __init__(self, spec: SandboxSpec) -> None:
        super().__init__(spec)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> SandboxName:
        """See `Sandbox.name`."""
        return "none"

    @property
    def description(self) -> str:
        """See `Sandbox.description`."""
        return "none: commands run on this machine as you, with your files and your network"

    @property
    def workdir(self) -> str:
        """See `Sandbox.workdir`."""
        return str(self._folder / "workspace")

    @property
    def _folder(self) -> Path:
        return self._spec.state_dir.absolute()

    @property
    def _state_dir(self) -> str:
        return str(self._folder / "state")

    @property
    def _base_git(self) -> str:
        return str(self._spec.base_git and self._spec.base_git.absolute())

    @property
    def _log_dir(self) -> str:
        return self._state_dir

    @property
    def _kept(self) -> tuple[str, ...]:
        return ()  # /tmp is the user's own here

    def _open_world(self) -> None:
        for name in _FOLDERS:
            (self._folder / name).mkdir()

    def _take_world(self, found: World) -> bool:
        end_processes(found)
        return all((self._folder / name).is_dir() for name in _FOLDERS)

    def _clear_world(self) -> None:
        self._close_world()

    def _world(self) -> World:
        pids = [self._process.pid] if self._process else []
        return World(self.name, self._spec.base_commit, processes=process_names(pids))

    def _open_channel(self) -> PipeChannel:
        self._end()
        environment = {"PATH": os.environ.get("PATH", os.defpath), **base_environment(self._spec)}
        environment["PATH"] = self._spec.env.get("PATH", os.environ.get("PATH", os.defpath))
        environment["HOME"] = str(self._folder / "home")
        argv = [sys.executable, "-I", "-S", "-c", _ADOPT, *boot_argv()]
        self._process = start_process(argv, environment, self._folder / "workspace", mend="")
        return PipeChannel(self._process)

    def _panic(self) -> None:
        if self._process is not None and self._process.poll() is None:
            usage.interrupt(self._process.pid)

    def _close_world(self) -> None:
        self._end()
        for name in _FOLDERS:
            remove_tree(self._folder / name)

    def _sibling(self, spec: SandboxSpec) -> BareSandbox:
        return BareSandbox(spec)

    def _end(self) -> None:
        """End the supervisor and everything below it: no namespace does it for us."""
        if self._process is not None and self._process.poll() is None:
            usage.kill_below(self._process.pid)
        end_process(self._process)
