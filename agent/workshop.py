"""Where one repository is worked on: its base commit, its environment, and the sandboxes opened from both.

Used by agent/preparation.py for a run, and by `ostro exec`, so that a user's command sees what the agent sees.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ostro.agent.config import Settings
from ostro.agent.errors import ConfigError
from ostro.agent.record.redact import Redactor, secrets_of
from ostro.agent.trouble import typed_trouble
from ostro.sandbox.base_files import read_base
from ostro.sandbox.detect import Tree, detect_image, detect_test
from ostro.sandbox.egress import EgressProxy
from ostro.sandbox.egress_log import EGRESS_FILE, EgressLog
from ostro.sandbox.environment import Backend, Environment, prepare_environment
from ostro.sandbox.host_git import Base, prepare_base
from ostro.sandbox.namespace import PROXY_VARIABLES
from ostro.sandbox.open import choose, open_sandbox
from ostro.sandbox.protocol import Limits, Sandbox, SandboxError, SandboxSpec
from ostro.sandbox.reaper import reap, reap_scratch, remove_run, remove_tree
from ostro.sandbox.registries import host_registries
from ostro.sandbox.repository import Repository

BASE_GIT = "base.git"
"""Name of the copy of the base commit in the folder of a run."""

LEAST_MEMORY_BYTES = 64 * 1024**2
MOST_MEMORY_BYTES = 64 * 1024**4

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


@dataclass(frozen=True)
class Workshop:
    """A repository with its environment made ready.

    Attributes:
        folder: on the host; holds the base.
        test: the command that its files suggest for its tests; "" where they suggest none.
        requests: takes down what goes through the egress proxies.
    """

    folder: Path
    run_id: str
    base: Base
    spec: SandboxSpec
    backend: Backend
    environment: Environment
    test: str
    requests: EgressLog
    proxies: list[EgressProxy] = field(default_factory=list[EgressProxy])

    @typed_trouble()
    def open_sandbox(self, label: str, *, online: bool = False, take_over: bool = False) -> Sandbox:
        """Start a fresh sandbox with the base commit in its workspace, and what set-up left there.

        Args:
            label: tells the sandboxes of one run apart.
            online: let its commands reach the package registries, and nothing else, through the proxy.
            take_over: go on in what a killed process left of this very sandbox, if it survives.
        """
        name = f"{self.run_id}-{label}"
        spec = replace(self.spec, run_id=name, state_dir=self.spec.state_dir / name, take_over=take_over)
        spec.state_dir.mkdir(parents=True, exist_ok=True)
        proxy = self._proxy(spec.state_dir) if online else None
        if proxy is not None:
            socket = proxy.unix_socket if self.backend == "docker" else None
            spec = replace(spec, network=socket, env={**spec.env, **PROXY_VARIABLES})
        sandbox = open_sandbox(self.backend, spec)
        try:
            if not sandbox.taken_over:
                self.environment.furnish(sandbox)
            if proxy is not None and self.backend != "docker":
                proxy.serve_inside(sandbox)
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    def _proxy(self, folder: Path) -> EgressProxy:
        path = folder / "proxy.sock"
        path.unlink(missing_ok=True)  # a killed process left it in the sandbox that is taken over
        proxy = EgressProxy(host_registries().rules, unix_socket=path, on_request=self.requests)
        self.proxies.append(proxy)
        return proxy

    def close(self, *, thorough: bool = False) -> None:
        """Close the proxies and remove what the sandboxes kept on the host.

        Args:
            thorough: an earlier process worked here too and was killed: remove all that it left.
        """
        for proxy in self.proxies:
            proxy.close()
        for folder in self.spec.state_dir.glob(f"{self.run_id}-*"):
            remove_tree(folder)
        if thorough and self.backend == "docker":
            with contextlib.suppress(SandboxError):  # it waits for the next start
                remove_run(self.run_id)


def prepare_workshop(
    repository: Repository,
    settings: Settings,
    folder: Path,
    run_id: str,
    say: Callable[[str], None],
    base: Base | None = None,
) -> Workshop:
    """Copy the base commit into `folder`, choose the sandbox and make its environment ready.

    Args:
        repository: the user's.
        settings: which sandbox, which environment.
        folder: on the host, for the base.
        run_id: names the sandboxes; those of an ended process of the same name are not reaped.
        say: told what takes time.
        base: the copy that an earlier process made.

    Raises:
        RepositoryError, ConfigError: the input cannot be used.
        SandboxError: no sandbox can be had, or its environment cannot be built.
    """
    limits = Limits(memory_bytes=parse_size(settings.memory))
    _reap_leftovers(settings.home / "sandboxes", run_id, folder)
    base = base or prepare_base(repository, folder / BASE_GIT)
    tree = read_base(base.git_dir, base.commit).tree
    spec = SandboxSpec(
        run_id=run_id,
        state_dir=settings.home / "sandboxes",
        base_git=base.git_dir,
        base_commit=base.commit,
        image=_named_image(tree, settings),
        limits=limits,
    )
    chosen = choose(settings.sandbox, spec, say=say)
    say(f"sandbox: {chosen.backend}, {chosen.reason}")
    requests = EgressLog(folder / EGRESS_FILE, Redactor(secrets_of(os.environ)))
    environment, backend = _environment(base, settings, limits, chosen.backend, requests, say)
    return Workshop(
        folder=folder,
        run_id=run_id,
        base=base,
        spec=environment.specify(spec),
        backend=backend,
        environment=environment,
        test=detect_test(tree) or "",
        requests=requests,
    )


def _reap_leftovers(sandboxes: Path, run_id: str, folder: Path) -> None:
    """Remove what killed runs left behind, beside the work: an engine may take a moment to answer."""
    threading.Thread(target=_reap, args=(sandboxes, run_id, folder), name="ostro-reaper", daemon=True).start()


def _reap(sandboxes: Path, run_id: str, folder: Path) -> None:
    with contextlib.suppress(OSError, SandboxError):  # it waits for the next start
        reap_scratch(folder)
        reap(sandboxes, spare=(run_id,))


def _named_image(tree: Tree, settings: Settings) -> str | None:
    """Return the image that the user or the repository names; None leaves it to what the engine has ready."""
    found = detect_image(tree, configured=settings.image)
    return None if found.source == "language" else found.image


def _environment(
    base: Base,
    settings: Settings,
    limits: Limits,
    backend: Backend,
    requests: EgressLog,
    say: Callable[[str], None],
) -> tuple[Environment, Backend]:
    """Prepare the environment; where the engine cannot have the image and nobody insisted on it, do without it."""

    def prepared(where: Backend) -> Environment:
        return prepare_environment(
            base,
            backend=where,
            home=settings.home,
            image=settings.image,
            setup=settings.setup,
            limits=limits,
            progress=say,
            on_request=requests,
        )

    try:
        return prepared(backend), backend
    except SandboxError as error:
        if settings.sandbox != "auto" or backend != "docker" or error.kind not in ("image", "unavailable", "transport"):
            raise
        say(f"sandbox: local, Docker cannot serve: {error}")
        return prepared("local"), "local"


def parse_size(text: str) -> int:
    """Return bytes for `512m`, `4g`, `1.5G`.

    Raises:
        ConfigError: it is not a size, or none that a sandbox can live with.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"memory cannot be {text!r}: it is not a size", mend="Write it like 512m or 4g.")
    size = int(float(match.group(1)) * _UNITS[match.group(2).lower()])
    if not LEAST_MEMORY_BYTES <= size <= MOST_MEMORY_BYTES:
        least, most = LEAST_MEMORY_BYTES // 1024**2, MOST_MEMORY_BYTES // 1024**4
        raise ConfigError(f"memory cannot be {text!r}", mend=f"Give between {least}m and {most}t.")
    return size
