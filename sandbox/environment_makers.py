"""How each backend prepares an environment: which sandbox set-up runs in, and what the result is kept as.

Docker: a container with a volume at /opt/env, whose content then becomes a layer over the image. Local: a folder
that is bound at /opt/env. Both are the sandboxes that the agent gets, but for that one writable place.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from ostro.sandbox.detect import Language, Tree, detect_image
from ostro.sandbox.egress import EgressProxy
from ostro.sandbox.egress_exchange import EgressRecord
from ostro.sandbox.environment_store import IMAGE_REPOSITORY, EnvironmentRecord, tree_bytes
from ostro.sandbox.host_git import Base
from ostro.sandbox.owner import LABEL, current_owner
from ostro.sandbox.protocol import ENVIRONMENT_DIR, Limits, Sandbox, SandboxError, SandboxSpec
from ostro.sandbox.registries import HostRegistries
from ostro.sandbox.scratch import scratch_folder
from ostro.sandbox.setup_phase import (
    SetupResult,
    begin_setup,
    keep_files,
    make_venv,
    run_commands,
    setup_variables,
)
from ostro.sandbox.shell import DEFAULT_PATH
from ostro.sandbox.toolchain import Toolchain, host_toolchain

if TYPE_CHECKING:
    from ostro.sandbox.docker import DockerSandbox
    from ostro.sandbox.docker_engine import Engine, ImageInfo


@dataclass(frozen=True)
class Order:
    """What is to be prepared, the same for every backend; the fields are those of `prepare_environment`.

    Attributes:
        variables: for set-up and for the agent alike.
        scm_version: the project takes its version from git tags.
    """

    base: Base
    language: Language
    commands: tuple[str, ...]
    variables: Mapping[str, str]
    limits: Limits
    registries: HostRegistries
    scm_version: bool
    timeout_s: float
    progress: Callable[[str], None] = field(compare=False)
    on_request: Callable[[EgressRecord], None] | None = field(default=None, compare=False)


class Maker(Protocol):
    """Prepares environments with one backend.

    Attributes:
        image: what sandboxes start from when nothing is prepared.
        identity: changes whenever the image or tool chain under the environment does.
        folders: host folders that sandboxes must show.
        notes: for people.
    """

    image: str | None
    identity: str
    folders: tuple[Path, ...]
    notes: tuple[str, ...]

    def path_variables(self, prepared: str | None) -> dict[str, str]:
        """Return PATH for sandboxes of the prepared environment, or of none."""
        ...

    def still_there(self, record: EnvironmentRecord) -> bool:
        """Whether what the record names still exists."""
        ...

    def make(self, staging: Path, key: str) -> EnvironmentRecord:
        """Run the set-up; what is to be kept on the host is left in `staging`."""
        ...


@contextmanager
def local_maker(order: Order, tree: Tree, image: str | None) -> Generator[Maker]:  # noqa: ARG001  # one signature
    """Prepare for the embedded sandbox; it takes the folder of a ready tree, a container image means nothing to it."""
    ready = image is not None and Path(image).is_absolute() and Path(image, "env").is_dir()
    yield LocalMaker(order, host_toolchain(order.language), image if ready else None)


class LocalMaker:
    """Prepares a folder of the host; the sandbox shows its `env` at /opt/env."""

    def __init__(self, order: Order, toolchain: Toolchain, image: str | None = None) -> None:
        self._order = order
        self._toolchain = toolchain
        self.image = image
        self.identity = f"local {toolchain.identity}"
        self.folders = toolchain.folders
        self.notes = order.registries.notes

    def path_variables(self, prepared: str | None) -> dict[str, str]:
        """See `Maker`. The backend itself puts /opt/env/bin before these."""
        bare_python = [str(Path(self._toolchain.python).parent)] if prepared is None and self.folders else []
        own = [*self._toolchain.path, *(bare_python if self._order.language == "python" else [])]
        return {"PATH": ":".join([*own, DEFAULT_PATH])} if own else {}

    def still_there(self, record: EnvironmentRecord) -> bool:
        """See `Maker`."""
        return Path(record.path, "env").is_dir()

    def make(self, staging: Path, key: str) -> EnvironmentRecord:
        """See `Maker`."""
        from ostro.sandbox.local import NOBODY, open_local

        environment = staging / "env"
        environment.mkdir()
        if os.geteuid() == 0:
            os.chown(environment, NOBODY, NOBODY)
        registries = self._order.registries
        with scratch_folder("setup") as state, _proxy(self._order) as proxy:
            spec = replace(
                _setup_spec(self._order, key, state / "sandbox"),
                image=str(staging),
                env={**self.path_variables(str(staging)), **self._order.variables},
                read_only=(*self.folders, *registries.folders),
            )
            with open_local(spec) as sandbox:
                proxy.serve_inside(sandbox)
                commands, result = _furnish(sandbox, self._order, self._toolchain.python, proxy, shows_folders=True)
        return EnvironmentRecord(
            key=key,
            kind="local",
            setup=commands,
            excluded=result.excluded,
            notes=result.notes,
            size_bytes=tree_bytes(environment),
        )


@contextmanager
def docker_maker(order: Order, tree: Tree, image: str | None) -> Generator[Maker]:
    """Choose the image and prepare over it.

    Raises:
        SandboxError: no engine, or it cannot get any of the images that would do.
    """
    from ostro.sandbox.docker_engine import Engine

    engine = Engine.connect()
    try:
        name, found, notes = _obtain_image(engine, order, tree, image)
        yield DockerMaker(order, engine, name, found, notes)
    finally:
        engine.close()


def _obtain_image(
    engine: Engine, order: Order, tree: Tree, configured: str | None
) -> tuple[str, ImageInfo, tuple[str, ...]]:
    """Return the first image of these that can be had: the configured or detected one, then our own base image."""
    from ostro.sandbox.docker import obtain_image
    from ostro.sandbox.image import BASE_TAG

    choice = detect_image(tree, configured=configured)
    notes: list[str] = []
    if choice.dockerfile:
        notes.append(
            f"{choice.dockerfile} is not built, for that would run it outside a sandbox; its base image serves"
        )
    own = engine.image(BASE_TAG)
    name = choice.image or BASE_TAG
    if choice.source == "language" and own is not None and engine.image(name) is None:
        return BASE_TAG, own, ()
    try:
        order.progress(f"image {name}")
        return name, obtain_image(engine, name), tuple(notes)
    except SandboxError as error:
        if choice.source == "flag" or own is None:
            raise
        return BASE_TAG, own, (*notes, f"image {name} cannot be had, {BASE_TAG} serves: {error}")


class DockerMaker:
    """Prepares a layer over an image, with any engine that speaks Docker's API."""

    def __init__(self, order: Order, engine: Engine, name: str, image: ImageInfo, notes: tuple[str, ...]) -> None:
        self._order = order
        self._engine = engine
        self._info = image
        self.image: str | None = name
        self.identity = f"docker {image.id}"
        self.folders: tuple[Path, ...] = ()
        unseen = ", ".join(sorted(order.registries.local_paths))
        told = (f"folders of this host in {unseen} are not seen in a container",) if unseen else ()
        self.notes = (*notes, *order.registries.notes, *told)

    def path_variables(self, prepared: str | None) -> dict[str, str]:
        """See `Maker`."""
        path = self._info.env.get("PATH", DEFAULT_PATH)
        return {"PATH": f"{ENVIRONMENT_DIR}/bin:{path}"} if prepared else {}

    def still_there(self, record: EnvironmentRecord) -> bool:
        """See `Maker`."""
        return record.image is not None and self._engine.image(record.image) is not None

    def make(self, staging: Path, key: str) -> EnvironmentRecord:  # noqa: ARG002  # nothing but the record stays
        """See `Maker`."""
        tag = f"{IMAGE_REPOSITORY}:{key}"
        with scratch_folder("setup") as state:
            socket = state / "proxy.sock"
            spec = replace(
                _setup_spec(self._order, key, state / "sandbox"),
                image=self._info.id,
                env={**self.path_variables(tag), **self._order.variables},
            )
            with _proxy(self._order, socket) as proxy, self._open(spec, proxy) as sandbox:
                commands, result = _furnish(sandbox, self._order, "python3", proxy, shows_folders=False)
                size = self._save(sandbox.container, state / "environment.tar", tag)
        return EnvironmentRecord(
            key=key,
            kind="docker",
            image=tag,
            setup=commands,
            excluded=result.excluded,
            notes=result.notes,
            size_bytes=size,
        )

    def _open(self, spec: SandboxSpec, proxy: EgressProxy) -> DockerSandbox:
        """Open the container with a way to the proxy.

        Root on the engine's own machine listens in the container's namespace, which needs nothing in the image.
        Everybody else, and whose engine is elsewhere, goes through the backend's tunnel (python3 or perl inside).
        """
        from ostro.sandbox.docker import DockerSandbox

        if os.geteuid() == 0 and self._engine.address.startswith("unix:"):
            sandbox = DockerSandbox(spec, self._engine).open()
            try:
                proxy.serve_inside(sandbox)
            except SandboxError:
                sandbox.close()
            else:
                return sandbox
        spec = replace(spec, state_dir=spec.state_dir.with_name("tunnelled"), network=proxy.unix_socket)
        return DockerSandbox(spec, self._engine).open()

    def _save(self, source: str, spool: Path, tag: str) -> int:
        """Lay the environment of a running container over the image, as `tag`; return its size in bytes."""
        with spool.open("wb") as target:
            for chunk in self._engine.get(source, ENVIRONMENT_DIR):
                target.write(chunk)
        body = {
            "Image": self._info.id,
            "Entrypoint": ["true"],
            "Labels": {LABEL: "1", **current_owner().labels()},
            "HostConfig": {"NetworkMode": "none"},
        }
        layer = self._engine.create_container(body, f"{LABEL}-environment-{secrets.token_hex(4)}")
        try:
            with spool.open("rb") as tree:
                self._engine.put(layer, str(PurePosixPath(ENVIRONMENT_DIR).parent), tree)
            self._engine.commit(layer, tag)
        finally:
            self._engine.remove_container(layer)
        return spool.stat().st_size


def _setup_spec(order: Order, key: str, state_dir: Path) -> SandboxSpec:
    return SandboxSpec(
        run_id=f"setup-{key}",
        state_dir=state_dir,
        base_git=order.base.git_dir,
        base_commit=order.base.commit,
        limits=order.limits,
        writable_environment=True,
    )


def _proxy(order: Order, unix_socket: Path | None = None) -> EgressProxy:
    return EgressProxy(order.registries.rules, unix_socket=unix_socket, on_request=order.on_request)


def _furnish(
    sandbox: Sandbox, order: Order, python: str, proxy: EgressProxy, *, shows_folders: bool
) -> tuple[tuple[str, ...], SetupResult]:
    """Do the whole set-up in an open sandbox; return the commands that ran and what they left."""
    variables = setup_variables(order.registries, shows_folders=shows_folders, scm_version=order.scm_version)
    begin_setup(sandbox, variables, order.registries)
    ran = (make_venv(sandbox, python),) if order.language == "python" else ()
    run_commands(sandbox, order.commands, proxy, progress=order.progress, timeout_s=order.timeout_s)
    return (*ran, *order.commands), keep_files(sandbox)
