"""The environment of a task: its image, its tools and dependencies, prepared once and kept by content.

prepare_environment -> detect what is missing (sandbox/detect.py) -> a kept environment of the same key, or: a sandbox
of the same backend (sandbox/environment_makers.py) runs the set-up commands with the egress proxy as its only way
out (sandbox/setup_phase.py), and the result is kept as an image (Docker) or a tree (local). The sandboxes of the run
start from it, without any network.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from ostro.sandbox.base_files import BaseFiles, read_base
from ostro.sandbox.detect import Language, detect_language, detect_setup
from ostro.sandbox.egress_exchange import EgressRecord
from ostro.sandbox.environment_makers import Maker, Order, docker_maker, local_maker
from ostro.sandbox.environment_store import EnvironmentRecord, EnvironmentStore
from ostro.sandbox.host_git import Base
from ostro.sandbox.protocol import ENVIRONMENT_DIR, Limits, Sandbox, SandboxError, SandboxSpec
from ostro.sandbox.registries import HostRegistries, host_registries
from ostro.sandbox.setup_phase import COMMAND_TIMEOUT_S, mentions_scm_version, unpack_files

Backend = Literal["docker", "local", "none"]

_FORMAT = 1
"""Part of every key: a new way to prepare makes the old results unused."""

_NATIVE = re.compile(r".*\.(pyx|pxd|c|cc|cpp|cxx|h|hpp|rs|f90|go)")
_NOT_DEPENDENCIES = re.compile(r"(.*/)?(\.?devcontainer\.json|Dockerfile[^/]*)")

# Where tools keep what they fetched; without these it would lie in a home that ends with the sandbox.
_TOOL_VARIABLES: Mapping[Language, Mapping[str, str]] = {
    "python": {"VIRTUAL_ENV": ENVIRONMENT_DIR},
    "go": {"GOMODCACHE": f"{ENVIRONMENT_DIR}/go", "GOTOOLCHAIN": "local"},
    "rust": {"CARGO_HOME": f"{ENVIRONMENT_DIR}/cargo"},
}
# So that a tool says at once that something is missing, instead of trying the network again and again.
_OFFLINE: Mapping[Language, Mapping[str, str]] = {
    "go": {"GOPROXY": "off"},
    "rust": {"CARGO_NET_OFFLINE": "true"},
    "javascript": {"npm_config_offline": "true"},
}


@dataclass(frozen=True)
class Environment:
    """What the sandboxes of a run start from.

    Attributes:
        image: for `SandboxSpec.image`: a container image or the folder of a tree; None for the backend's default.
        env: for `SandboxSpec.env`.
        read_only: for `SandboxSpec.read_only`: tool chains of this host (local backend).
        notes: what a person should know, one sentence each: what was fallen back on or left out.
        setup_ran: the commands whose result this is; empty where nothing was prepared.
        key: name in the cache; "" where nothing was prepared.
        reused: it was there already.
        excluded: what set-up left in the workspace and no patch may hold.
    """

    image: str | None = None
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    read_only: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    setup_ran: tuple[str, ...] = ()
    key: str = ""
    reused: bool = False
    excluded: tuple[str, ...] = ()

    def specify(self, spec: SandboxSpec) -> SandboxSpec:
        """Return `spec` for a sandbox that starts from this environment; the spec's own variables win."""
        return replace(
            spec, image=self.image, env={**self.env, **spec.env}, read_only=(*spec.read_only, *self.read_only)
        )

    def furnish(self, sandbox: Sandbox) -> None:
        """Put what set-up left in the workspace (node_modules, built extensions) into a fresh one.

        Raises:
            SandboxError: `setup`, it does not fit.
        """
        if self.key:
            unpack_files(sandbox)


def prepare_environment(
    base: Base,
    *,
    backend: Backend,
    home: Path,
    image: str | None = None,
    setup: tuple[str, ...] | None = None,
    limits: Limits | None = None,
    registries: HostRegistries | None = None,
    progress: Callable[[str], None] = lambda _: None,
    on_request: Callable[[EgressRecord], None] | None = None,
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> Environment:
    """Make ready what the tests of a repository need, or find it ready.

    Args:
        base: the commit; what set-up leaves untracked is added to its `info/exclude`, so no patch holds it.
        backend: where the run's sandboxes will be; `none` prepares nothing.
        home: OSTRO_HOME, for the cache.
        image: configured container image; None chooses by the repository's files.
        setup: configured commands; None detects them, () runs none.
        limits: of the sandbox that set-up runs in.
        registries: the host's index, proxy and CA settings; None reads them.
        progress: told what is going on, a line at a time.
        on_request: told of every request through the egress proxy, in the proxy's thread.
        timeout_s: for each set-up command.

    Raises:
        SandboxError: `setup`, a configured command failed; `image` or `unavailable`, the backend cannot serve.
            Where the commands were only detected, a failure is a note and the environment is the bare one.
    """
    if backend == "none":
        return Environment(notes=("sandbox none: the tools of this machine serve, nothing is prepared",))
    files = read_base(base.git_dir, base.commit)
    language = detect_language(files.tree)
    maker_of = docker_maker if backend == "docker" else local_maker
    order = Order(
        base=base,
        language=language,
        commands=detect_setup(files.tree) if setup is None else setup,
        variables=_TOOL_VARIABLES.get(language, {}),
        limits=limits or Limits(),
        registries=registries or host_registries(),
        scm_version=mentions_scm_version(files.tree.text),
        timeout_s=timeout_s,
        progress=progress,
        on_request=on_request,
    )
    with maker_of(order, files.tree, image) as maker:
        return _prepared(maker, order, files, EnvironmentStore(home), configured=setup is not None)


def _prepared(
    maker: Maker, order: Order, files: BaseFiles, store: EnvironmentStore, *, configured: bool
) -> Environment:
    bare = Environment(image=maker.image, env=maker.path_variables(None), read_only=maker.folders, notes=maker.notes)
    if not order.commands:
        return bare
    key = environment_key(maker.identity, order.commands, files)
    try:
        record, reused = _obtain(maker, order, store, key)
    except SandboxError as error:
        if configured or error.kind != "setup":
            raise
        first = str(error).splitlines()[0]
        return replace(bare, notes=(*bare.notes, f"{first} The agent starts without the project's dependencies."))
    exclude_from_patches(order.base.git_dir, record.excluded)
    image = record.image or record.path
    return Environment(
        image=image,
        env={**maker.path_variables(image), **order.variables, **_OFFLINE.get(order.language, {})},
        read_only=maker.folders,
        notes=(*maker.notes, *record.notes),
        setup_ran=record.setup,
        key=key,
        reused=reused,
        excluded=record.excluded,
    )


def _obtain(maker: Maker, order: Order, store: EnvironmentStore, key: str) -> tuple[EnvironmentRecord, bool]:
    """Find the environment, or make it while holding its lock: who comes second finds it."""
    with store.locked(key, waiting=lambda: order.progress("waiting: another run prepares this very environment")):
        record = store.find(key)
        if record is not None and maker.still_there(record):
            return record, True
        staging = store.staging(key)
        order.progress(f"preparing the environment {key}")
        return store.keep(staging, maker.make(staging, key)), False


def environment_key(identity: str, commands: tuple[str, ...], files: BaseFiles) -> str:
    """Return the name of an environment: a digest of everything that its content depends on.

    That is the image or tool chain, the commands, every dependency and lock file, the files that a command names,
    and native sources, for they are compiled. Python sources are not: the project is installed in place.
    """
    named = {word.strip("./\"'") for command in commands for word in re.split(r"[\s=;&|]+", command)}
    counted = {
        name: blob
        for name, blob in files.blobs.items()
        if (name in files.tree.text and not _NOT_DEPENDENCIES.fullmatch(name))
        or name in named
        or _NATIVE.fullmatch(PurePosixPath(name).name)
    }
    content = json.dumps([_FORMAT, identity, commands, sorted(counted.items())])
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()[:20]


def exclude_from_patches(git_dir: Path, paths: tuple[str, ...]) -> None:
    """Add exact paths to the base repository's own exclude file.

    Every patch is taken with it (sandbox/patch.py), so what is named there is in none. Tracked files are not touched.
    """
    target = git_dir / "info" / "exclude"
    target.parent.mkdir(exist_ok=True)
    before = target.read_text("utf-8") if target.exists() else ""
    escaped = ("/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", path) for path in paths)
    fresh = [line for line in escaped if line not in before.splitlines()]
    target.write_text("".join(f"{line}\n" for line in [*before.splitlines(), *fresh]), "utf-8")
