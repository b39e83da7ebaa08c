"""The Docker backend: one hardened container per sandbox, talked to over its attached streams.

Works with any engine that speaks Docker's API, on this machine or on another: nothing relies on a bind mount.
sandbox/docker_config.py says what the container looks like, sandbox/attached.py does all the rest.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import shlex
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from ostro.sandbox import docker_config as config
from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.docker_tunnel import Tunnel, open_tunnel
from ostro.sandbox.image import default_image
from ostro.sandbox.owner import LABEL, current_owner
from ostro.sandbox.protocol import SandboxError, SandboxName, SandboxSpec
from ostro.sandbox.reaper import FOLDER_LABEL, RUN_LABEL, forget_marks, remove_orphans
from ostro.sandbox.shell import STATE_DIR
from ostro.sandbox.usage import DISK, DiskWatch
from ostro.sandbox.workspace import internal
from ostro.sandbox.world import World

if TYPE_CHECKING:
    from ostro.sandbox.docker_channel import AttachedChannel
    from ostro.sandbox.docker_engine import ContainerState, Engine, ImageInfo

OOM_COUNTS = "cat /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null"
OOM_KILLS = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
OOM_PROBE_S = 10.0
ENGINE_WAIT_S = 60.0
DISK_LOOK_S = 3.0
"""A look while a command runs is a process more in the container, and costs about a tenth of a second."""
DISK_COUNT_S = 10
FREE = re.compile(r"(\d+) (\d+)\s*")
USED_KIB = re.compile(r"^(\d+)\s", re.MULTILINE)
"""Programs of the container say this, which may have been replaced: anything else is no answer."""

log = logging.getLogger(__name__)


class DockerSandbox(AttachedSandbox):
    """A sandbox in a container.

    Usage:
        with DockerSandbox(spec, Engine.connect()).open() as sandbox:
            sandbox.run("make test")

    Args:
        spec: what to start; `image` None means `default_image`.
        engine: the connection to use, also by forks; each closes the idle part of it at its end.
        engine_wait_s: how long to wait for an engine that went away under a running sandbox.
    """

    def __init__(self, spec: SandboxSpec, engine: Engine, *, engine_wait_s: float = ENGINE_WAIT_S) -> None:
        super().__init__(spec)
        self._engine = engine
        self._engine_wait_s = engine_wait_s
        self._image_name = spec.image or default_image(lambda name: engine.image(name) is not None)
        self._image: ImageInfo | None = None
        self._volumes = config.Volumes("", None)
        self._container = ""
        self._tunnel: Tunnel | None = None
        self._oom_kills = 0
        self._disk = DiskWatch(spec.limits.workspace_bytes)
        self._disk_look: Future[bool] | None = None
        self._next_look = 0.0

    @property
    def name(self) -> SandboxName:
        """`docker`."""
        return "docker"

    @property
    def description(self) -> str:
        """One line for people: image, limits, what is off."""
        limits = self._spec.limits
        network = "network: allow-list proxy" if self._spec.network else "no network"
        root = "read-only root" if self._spec.base_git is not None else "writable root"
        return (
            f"docker: image {self._image_name}, {network}, no capabilities, {root}, "
            f"{limits.memory_bytes / 1024**3:g} GiB memory, {limits.cpus:g} cpus, {limits.processes} processes"
        )

    @property
    def container(self) -> str:
        """The engine's id of the container in use; "" before `open`."""
        return self._container

    @property
    def image_digest(self) -> str:
        """Content digest of the image in use, for the run's record; "" before `open`."""
        return self._image.id if self._image else ""

    @property
    def _kept(self) -> tuple[str, ...]:
        home = (config.HOME_DIR,) if self._spec.base_git is not None else ()
        return (*super()._kept, *home)

    def _open_world(self) -> None:
        self._image = obtain_image(self._engine, self._image_name)
        unique = f"{LABEL}-{config.safe_name(self._spec.run_id)}-{secrets.token_hex(4)}"
        workspace = f"{unique}-workspace" if self._spec.base_git is not None else None
        environment = f"{unique}-environment" if self._spec.writable_environment else None
        self._volumes = config.Volumes(f"{unique}-ostro", workspace, environment)
        for volume in self._volumes.names():
            self._engine.create_volume(volume, self._labels())
        body = config.filler_config(self._spec, self._image, self._volumes, self._labels())
        filler = self._engine.create_container(body, f"{unique}-filler")
        try:
            with config.volume_tree(self._spec, config.identity_for(self._spec, self._image)) as tree:
                self._engine.put(filler, "/", tree)
        finally:
            self._engine.remove_container(filler)

    def _take_world(self, found: World) -> bool:
        wanted = config.Volumes(*found.volumes)
        there = {volume.name for volume in self._engine.volumes({RUN_LABEL: self._spec.run_id})}
        if not there.issuperset(wanted.names()):
            return False
        # The container may be in its grace still, and a half-made one may be there, too.
        for container in self._engine.containers({f"{LABEL}.volume": wanted.ostro}):
            if not self._engine.remove_container(container.id):
                self._engine.wait(container.id, removed=True)
        self._image = obtain_image(self._engine, self._image_name)
        self._volumes = wanted
        forget_marks(self._spec.state_dir.parent, wanted.names())
        return True

    def _clear_world(self) -> None:
        remove_orphans(self._engine, self._spec.run_id, self._spec.state_dir)

    def _world(self) -> World:
        return World(self.name, self._spec.base_commit, volumes=tuple(self._volumes.names()))

    def _open_channel(self) -> AttachedChannel:
        """Create the container, or start the dead one again; the volumes are the same in both."""
        assert self._image is not None
        self._oom_kills = 0
        self._close_tunnel()
        if self._container:
            self._engine.await_answer(self._engine_wait_s)
        if not self._reusable():
            name = f"{self._volumes.ostro.removesuffix('-ostro')}-{secrets.token_hex(2)}"
            body = config.container_config(self._spec, self._image, self._volumes, self._labels())
            self._container = self._engine.create_container(body, name)
        channel = self._engine.attach(self._container)
        try:
            self._engine.start(self._container)
        except SandboxError as error:
            channel.close()
            raise _explained(error, self._image_name) from error
        return channel

    def _boot(self, cwd: str) -> None:
        super()._boot(cwd)  # first of all it ends every other process: the relay comes after it
        if self._spec.network is not None:
            self._tunnel = open_tunnel(self._engine, self._container, self._spec.network)

    def _close_tunnel(self) -> None:
        if self._tunnel is not None:
            self._tunnel.close()
            self._tunnel = None

    def _reusable(self) -> bool:
        """Whether the container of an earlier start is to be started again; it is stopped then."""
        if not self._container:
            return False
        if self._spec.base_git is not None:
            self._engine.remove_container(self._container)
            return False
        state = self._engine.state(self._container)
        if state is None:
            message = "the container was removed from outside, and the workspace with it"
            raise SandboxError(message, kind="workspace_lost", mend="Start again from the last checkpoint")
        self._stop(state)
        return True

    def _stop(self, state: ContainerState) -> None:
        if state.paused:
            self._engine.unpause(self._container)
        if state.running:
            self._engine.signal(self._container, "KILL")
            self._engine.wait(self._container)

    def _panic(self) -> None:
        with contextlib.suppress(SandboxError):  # the caller sees a dead engine at its next read
            if not self._engine.signal(self._container, "USR1"):
                self._engine.unpause(self._container)
                self._engine.signal(self._container, "USR1")

    def _was_oom(self) -> bool:
        try:
            said = self.run(OOM_COUNTS, timeout_s=OOM_PROBE_S, cwd="/", keep_state=False).output.head
        except SandboxError:
            return False
        kills = sum(int(count) for count in OOM_KILLS.findall(said))
        before, self._oom_kills = self._oom_kills, kills
        return kills > before

    def _overused(self) -> str | None:
        """Look beside the running command, in a thread: the engine may be slow, and the command has a deadline."""
        if self._disk_look is None and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + DISK_LOOK_S
            self._disk_look = Future()
            threading.Thread(target=self._look_beside, args=(self._disk_look,), daemon=True).start()
        if self._disk_look is None or not self._disk_look.done():
            return None
        passed, self._disk_look = self._disk_look.result(), None
        return DISK if passed else None

    def _look_beside(self, look: Future[bool]) -> None:
        look.set_result(self._passed(self._ask_beside))

    def _disk_is_full(self) -> bool:
        self._disk_look = None  # its command has ended
        return self._passed(self._ask_shell)

    def _passed(self, ask: Callable[[str], str]) -> bool:
        free = FREE.fullmatch(ask(f"stat -f -c '%a %S' -- {shlex.quote(self.workdir)}"))
        free_bytes = int(free[1]) * int(free[2]) if free else None
        return self._disk.passed(free_bytes, lambda: self._used_bytes(ask))

    def _used_bytes(self, ask: Callable[[str], str]) -> int | None:
        """Count workspace, home and state; None when it takes too long or a folder cannot be read."""
        own = (config.HOME_DIR, STATE_DIR) if self._spec.base_git is not None else ()
        said = ask(f"timeout {DISK_COUNT_S} du -skx -- {shlex.join((self.workdir, *own))} && echo 0 whole")
        lines = said.splitlines()
        if not lines or lines[-1] != "0 whole":
            return None
        return sum(1024 * int(kib) for kib in USED_KIB.findall(said))

    def _ask_beside(self, text: str) -> str:
        with contextlib.suppress(SandboxError):
            return self._engine.output_of(self._container, ["sh", "-c", f"{text} 2>/dev/null"], DISK_COUNT_S + 5.0)
        return ""

    def _ask_shell(self, text: str) -> str:
        with contextlib.suppress(SandboxError):
            return self._request(internal(f"{{ {text}; }} 2>/dev/null", DISK_COUNT_S + 5.0)).output.text()
        return ""

    def _close_world(self) -> None:
        """Remove container and volumes; an engine that does not answer is logged, the reaper comes back for them."""
        self._close_tunnel()
        try:
            if self._container:
                self._engine.remove_container(self._container)
            self._remove_volumes()
        except SandboxError as error:
            log.warning("container %s is left to the next start: %s", self._container[:12], error)
        self._container, self._volumes = "", config.Volumes("", None)
        self._engine.close()

    def _remove_volumes(self) -> None:
        for volume in self._volumes.names() if self._volumes.ostro else []:
            if not self._engine.remove_volume(volume):
                # A container whose making was answered by a broken connection: we never learnt its id.
                for stray in self._engine.containers({f"{LABEL}.volume": self._volumes.ostro}):
                    self._engine.remove_container(stray.id)
                self._engine.remove_volume(volume)

    def _sibling(self, spec: SandboxSpec) -> DockerSandbox:
        return DockerSandbox(spec, self._engine, engine_wait_s=self._engine_wait_s)

    def _labels(self) -> dict[str, str]:
        about = {
            RUN_LABEL: self._spec.run_id,
            FOLDER_LABEL: str(self._spec.state_dir.absolute()),
            f"{LABEL}.volume": self._volumes.ostro,
        }
        return {LABEL: "1", **about, **current_owner().labels()}


def obtain_image(engine: Engine, name: str) -> ImageInfo:
    """Return the image, pulled from its registry when the engine does not have it.

    Raises:
        SandboxError: `image`, with what the registry said.
    """
    found = engine.image(name)
    if found is None:
        engine.pull(name)
        found = engine.image(name)
    if found is None:
        raise SandboxError(f"image {name} was pulled but is not there", kind="image")
    return found


def _explained(error: SandboxError, image: str) -> SandboxError:
    """Say which kind of failure a refused start is: an image without a shell is the image's fault."""
    if "executable file not found" in str(error) or "no such file or directory" in str(error):
        mend = "Choose an image that has a POSIX shell"
        return SandboxError(f"image {image} cannot run `sh`: {error}", kind="image", mend=mend)
    return error
