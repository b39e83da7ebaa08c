"""What both flavours of an instance's environment have in common: paths, commands, and the names of layers.

benchmarks/environment.py chooses a flavour; benchmarks/environment_docker.py and benchmarks/environment_local.py build.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ostro.benchmarks.instance import EnvironmentSetup
from ostro.benchmarks.sources import content_key
from ostro.sandbox.protocol import SandboxError

Flavour = Literal["docker", "local"]

WORKDIR = "/workspace"
ENV_DIR = "/opt/env"
PATH = f"{ENV_DIR}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUILD_TIMEOUT_S = 1800
WHEELS_DIR = "/wheels"
ROOM_BYTES = 2 * 1024**3
"""Free disk below which nothing is built any more."""

LOG_BYTES = 4 * 1024 * 1024
BUILD_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108  # inside
    "LANG": "C.UTF-8",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class Environment:
    """A ready environment.

    Attributes:
        repository: git repository on the host, one commit, clean; a run may add branches to it.
        base_commit: id of that commit.
        image: what `--image` takes: a container image, or the folder of the embedded sandbox.
        workdir: where the tree must lie inside: an editable install has the path in it.
        digest: what it is, the same on every machine: of an official image its id, else of all that it is made from.
    """

    flavour: Flavour
    repository: Path
    base_commit: str
    image: str
    workdir: str = WORKDIR
    digest: str = ""


def keep_build_log(cache: Path, layer: str, script: str, output: bytes) -> None:
    """Add one build step, with what it printed, to the log of its layer below `cache/logs`."""
    path = cache / "logs" / f"{layer.replace('/', '_').replace(':', '_')}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        log.write(f"$ {script.strip()}\n".encode("utf-8", "surrogateescape") + output + b"\n")


def require_room(cache: Path) -> None:
    """Refuse to build where the disk is nearly full.

    Raises:
        SandboxError: `disk_full`: less than `ROOM_BYTES` are free.
    """
    if not has_room(cache):
        free = shutil.disk_usage(cache).free
        raise SandboxError(
            f"{cache}: only {free // 2**20} MiB are free", kind="disk_full", mend="Make room: `ostro clean --all`."
        )


def has_room(cache: Path) -> bool:
    """Whether the disk of `cache` has room for another build."""
    cache.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(cache).free >= ROOM_BYTES


def venv_script(pins: Sequence[str], python: str) -> str:
    """Return the commands that make the virtual environment from the wheels in `WHEELS_DIR`."""
    find = f"interpreter=$(command -v python{python} || command -v python3)\n"
    if not pins:
        return f"{find}$interpreter -m venv --without-pip {ENV_DIR}\n"
    quoted = " ".join(shlex.quote(pin) for pin in pins)
    install = f"{ENV_DIR}/bin/pip install -q --no-index --find-links {WHEELS_DIR} {quoted}"
    return f"{find}$interpreter -m venv {ENV_DIR}\n{install}\n"


def environment_key(setup: EnvironmentSetup, *parts: object) -> str:
    """Return the content name of the layer that holds the packages alone."""
    return content_key(sorted(setup.pip), setup.python, *parts)


def tree_key(setup: EnvironmentSetup, *parts: object) -> str:
    """Return the content name of the layer that holds the installed tree."""
    return content_key(sorted(setup.pip), setup.python, setup.source, setup.install, setup.env, WORKDIR, *parts)
