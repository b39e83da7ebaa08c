"""Where one repository is worked on: its base commit, its environment, and the sandboxes opened from both.

Used by agent/preparation.py for a run, and by `ostro exec`, so that a user's command sees what the agent sees.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ostro.agent.config import Settings
from ostro.agent.errors import ConfigError
from ostro.sandbox.environment import Environment, prepare_environment
from ostro.sandbox.host_git import Base, prepare_base
from ostro.sandbox.open import SandboxChoice, choose, open_sandbox
from ostro.sandbox.protocol import Limits, Sandbox, SandboxSpec
from ostro.sandbox.repository import Repository

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


@dataclass(frozen=True)
class Workshop:
    """A repository with its environment made ready.

    Attributes:
        folder: on the host; holds the base and, while they live, what the sandboxes keep.
    """

    folder: Path
    run_id: str
    base: Base
    spec: SandboxSpec
    backend: SandboxChoice
    environment: Environment

    def open_sandbox(self, label: str) -> Sandbox:
        """Start a fresh sandbox with the base commit in its workspace."""
        spec = replace(self.spec, run_id=f"{self.run_id}-{label}", state_dir=self.folder / "sandboxes" / label)
        return open_sandbox(self.backend, spec)

    def close(self) -> None:
        """Remove what the sandboxes kept on the host."""
        shutil.rmtree(self.folder / "sandboxes", ignore_errors=True)


def prepare_workshop(
    repository: Repository, settings: Settings, folder: Path, run_id: str, say: Callable[[str], None]
) -> Workshop:
    """Copy the base commit into `folder`, choose the sandbox and make its environment ready.

    Raises:
        RepositoryError, ConfigError: the input cannot be used.
        SandboxError: no sandbox can be had, or its environment cannot be built.
    """
    limits = Limits(memory_bytes=parse_size(settings.memory))
    base = prepare_base(repository, folder / "base.git")
    spec = SandboxSpec(
        run_id=run_id,
        state_dir=folder / "sandboxes",
        base_git=base.git_dir,
        base_commit=base.commit,
        image=settings.image,
        limits=limits,
    )
    backend = choose(settings.sandbox, spec, say=say).backend
    environment = prepare_environment(base, backend=backend, settings_image=settings.image, setup=settings.setup)
    spec = replace(spec, image=environment.image, env=environment.env, read_only=environment.read_only)
    return Workshop(folder=folder, run_id=run_id, base=base, spec=spec, backend=backend, environment=environment)


def parse_size(text: str) -> int:
    """Return bytes for `512m`, `4g`, `1.5G`.

    Raises:
        ConfigError: it is not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is not a size", mend="Write it like 512m or 4g.")
    return int(float(match.group(1)) * _UNITS[match.group(2).lower()])
