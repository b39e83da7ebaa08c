"""Build an instance's folder for the embedded sandbox: `env`, shown at /opt/env, and `source`, the repository.

Build steps run isolated as commands of the sandbox do: they see the system's programs, the environment at its final
path, the tree at the workspace's path, and no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ostro.benchmarks.building import BuildSite
from ostro.benchmarks.instance import EnvironmentSetup, Instance
from ostro.benchmarks.recipe import (
    BUILD_ENVIRONMENT,
    BUILD_TIMEOUT_S,
    ENV_DIR,
    PATH,
    WHEELS_DIR,
    WORKDIR,
    Environment,
    environment_key,
    keep_build_log,
    require_room,
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
from ostro.sandbox import jail
from ostro.sandbox.jail import Mount
from ostro.sandbox.local import NOBODY, find_means
from ostro.sandbox.scratch import scratch_folder

TMP_BYTES = 4 * 1024**3

Log = Callable[[str, bytes], None]


def build_folder(instance: Instance, cache: Path, site: BuildSite) -> Environment:
    """Return the instance's folder below `cache`; see `build_environment`.

    Raises:
        SandboxError: this machine allows no isolation; the disk is nearly full.
        SetupError: a step failed.
    """
    setup = instance.environment
    folder = cache / "local" / tree_key(setup)
    if not folder.is_dir():
        with site.building(str(folder)), built_once(folder) as scratch:
            if scratch is not None:
                require_room(cache)
                _fill(scratch, setup, cache, partial(keep_build_log, cache, f"local-{folder.name}"))
    repository = folder / "source"
    return Environment("local", repository, head_commit(repository), str(folder), digest=folder.name)


def _fill(scratch: Path, setup: EnvironmentSetup, cache: Path, log: Log) -> None:
    packages = _packages(setup, cache)
    shutil.copytree(packages / "env", scratch / "env", symlinks=True)
    tree = scratch / "source"
    tree.mkdir()
    unpack_source(setup.source, tree, cache)
    if setup.install:
        _run_isolated("\n".join(setup.install), scratch / "env", log, tree=tree)
    commit_tree(tree)


def _packages(setup: EnvironmentSetup, cache: Path) -> Path:
    folder = cache / "packages" / environment_key(setup)
    wheels = fetch_wheels(setup.pip, setup.python, cache)
    with built_once(folder) as scratch:
        if scratch is not None:
            (scratch / "env").mkdir()
            log = partial(keep_build_log, cache, f"local-{folder.name}")
            _run_isolated(venv_script(setup.pip, setup.python), scratch / "env", log, wheels=wheels)
    return folder


def _run_isolated(script: str, env: Path, log: Log, *, wheels: Path | None = None, tree: Path | None = None) -> None:
    """Run a build step in the embedded sandbox's own isolation, but with what it builds writable."""
    workdir = WORKDIR if tree is not None else "/tmp"  # noqa: S108  # inside
    with scratch_folder("build") as folder:
        (folder / "root").mkdir()
        jail.write_stubs(folder / "etc")
        mounts = [*jail.system_mounts(folder / "etc"), Mount("tmpfs", "/tmp", size_bytes=TMP_BYTES)]  # noqa: S108
        mounts.append(Mount("rw", ENV_DIR, str(env)))
        if wheels is not None:
            mounts.append(Mount("ro", WHEELS_DIR, str(wheels)))
        if tree is not None:
            mounts.append(Mount("rw", WORKDIR, str(tree)))
        for written in filter(None, (env, tree, folder / "root")):
            _hand_over(written)
        variables = BUILD_ENVIRONMENT | {"PATH": PATH}
        command = find_means().argv(mounts, variables, workdir, ["sh", "-ec", script], folder / "root")
        _run(command, script, log)


def _run(command: list[str], script: str, log: Log) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, cwd="/", timeout=BUILD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"a build step took more than {BUILD_TIMEOUT_S} s:\n{script}") from error
    log(script, done.stdout + done.stderr)
    if done.returncode:
        output = (done.stdout + done.stderr).decode("utf-8", "replace")[-ERROR_TAIL_CHARS:].strip()
        raise SetupError(f"a build step ended with exit code {done.returncode}:\n{script}\n{output}")


def _hand_over(folder: Path) -> None:
    """Give a folder to the plain user that the sandbox is on the host when we are root."""
    if os.geteuid() != 0:
        return
    os.chown(folder, NOBODY, NOBODY)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent, name), NOBODY, NOBODY, follow_symlinks=False)
