"""Build an instance's container image, layer by layer, through the engine's API.

base image -> `ostro/instance-env` (packages in /opt/env) -> `ostro/instance` (the base tree, installed, a git
repository with one commit at the workspace's path). Files go in and out as archives, so a remote engine works too.
A layer's tag is the hash of what made it.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ostro.benchmarks import official
from ostro.benchmarks.building import BuildSite
from ostro.benchmarks.instance import EnvironmentSetup, Instance
from ostro.benchmarks.recipe import (
    BUILD_ENVIRONMENT,
    BUILD_TIMEOUT_S,
    LOG_BYTES,
    PATH,
    WHEELS_DIR,
    WORKDIR,
    Environment,
    environment_key,
    keep_build_log,
    tree_key,
    venv_script,
)
from ostro.benchmarks.sources import (
    COMMIT_DATE,
    ERROR_TAIL_CHARS,
    SetupError,
    built_once,
    commit_tree,
    content_key,
    fetch_wheels,
    head_commit,
    unpack_archive,
    unpack_source,
)
from ostro.sandbox.scratch import scratch_folder

if TYPE_CHECKING:
    from ostro.sandbox.docker_engine import Engine, ImageInfo

LABELS = {"ostro.instance": "build"}
ENV_REPOSITORY = "ostro/instance-env"
TREE_REPOSITORY = "ostro/instance"

_COMMIT = f"""
git init -q -b main .
git add -A -f .
export GIT_AUTHOR_DATE='{COMMIT_DATE}' GIT_COMMITTER_DATE='{COMMIT_DATE}'
git -c user.name=base -c user.email=base@localhost commit -q --allow-empty -m base
"""


_SCRUB = "git rev-parse --git-dir >/dev/null\nfind . -name .git -prune -exec rm -rf {} +\n"


def build_image(instance: Instance, cache: Path, site: BuildSite, base_image: str = "") -> Environment:
    """Return the instance's image and its base tree as a repository below `cache`; see `build_environment`.

    Raises:
        SandboxError: no engine answers, or it cannot get the base image; the disk is nearly full.
        SetupError: a step failed.
    """
    from ostro.sandbox.docker import obtain_image
    from ostro.sandbox.docker_engine import Engine
    from ostro.sandbox.image import default_image

    setup = instance.environment
    with closing(Engine.connect()) as engine:
        base = base_image or default_image(lambda name: engine.image(name) is not None)
        identity = obtain_image(engine, base).id
        packages = f"{ENV_REPOSITORY}:{environment_key(setup, identity)}"
        tag = f"{TREE_REPOSITORY}:{tree_key(setup, identity)}"
        repository = cache / "docker" / tree_key(setup, identity)
        if engine.image(tag) is None or not repository.is_dir():
            with site.building(packages):
                site.make_room(cache, engine)
                if engine.image(packages) is None:
                    _build_packages(engine, base, packages, setup, cache)
                if engine.image(tag) is None:
                    _build_tree(engine, packages, tag, setup, cache)
                _keep_tree(engine, tag, WORKDIR, repository)
    return Environment("docker", repository, head_commit(repository), tag, digest=repository.name)


def official_image(instance: Instance, cache: Path, site: BuildSite) -> Environment:
    """Return the environment of an official image, or of the image that the row names, its history taken out.

    SWE-bench's images hold the project's repository in /testbed, and with it commits, tags and logs of its future
    (SWE-bench issue 465). Ours is made of it with one commit; what was ignored stays, for it may be compiled.

    Raises:
        SandboxError: no engine answers, it cannot get the image, or the disk is nearly full.
        SetupError: the image is not as SWE-bench makes them.
    """
    from ostro.sandbox.docker_engine import Engine

    name = official.image_name(instance)
    with closing(Engine.connect()) as engine:
        found = engine.image(name)
        if found is None:
            with site.building(name):
                site.make_room(cache, engine)
                found = _pull(engine, name, site)
        key = content_key("official", found.id)
        tag, repository = f"{TREE_REPOSITORY}:{key}", cache / "docker" / key
        if engine.image(tag) is None or not repository.is_dir():
            with site.building(tag):
                site.make_room(cache, engine)
                if engine.image(tag) is None:
                    _take_history_out(engine, name, tag, cache)
                _keep_tree(engine, tag, official.WORKDIR, repository)
    return Environment("docker", repository, head_commit(repository), tag, official.WORKDIR, found.id)


def _pull(engine: Engine, name: str, site: BuildSite) -> ImageInfo:
    """Pull an image unless another worker just did; note it as ours to remove."""
    from ostro.sandbox.docker import obtain_image

    if (there := engine.image(name)) is not None:
        return there
    found = obtain_image(engine, name)
    site.pulled(name, f"{TREE_REPOSITORY}:{content_key('official', found.id)}")
    return found


def _take_history_out(engine: Engine, name: str, tag: str, cache: Path) -> None:
    with _container(engine, name, workdir=official.WORKDIR, env={}) as container:
        _run(engine, container, _SCRUB + _COMMIT, partial(keep_build_log, cache, tag))
        engine.commit(container, tag)


def _keep_tree(engine: Engine, tag: str, workdir: str, repository: Path) -> None:
    """Have the base tree of an image as a repository on the host."""
    with built_once(repository) as scratch:
        if scratch is not None:
            _export_tree(engine, tag, workdir, scratch)


def _build_packages(engine: Engine, base: str, tag: str, setup: EnvironmentSetup, cache: Path) -> None:
    wheels = fetch_wheels(setup.pip, setup.python, cache)
    with _container(engine, base, workdir="/", env={"PATH": PATH}) as container:
        _put(engine, container, wheels, WHEELS_DIR)
        log = partial(keep_build_log, cache, tag)
        _run(engine, container, f"{venv_script(setup.pip, setup.python)}\nrm -rf {WHEELS_DIR}", log)
        engine.commit(container, tag)


def _build_tree(engine: Engine, packages: str, tag: str, setup: EnvironmentSetup, cache: Path) -> None:
    with (
        scratch_folder("tree") as scratch,
        _container(engine, packages, workdir=WORKDIR, env={"PATH": PATH, **setup.env}) as container,
    ):
        unpack_source(setup.source, scratch, cache)
        _put(engine, container, scratch, WORKDIR)
        _run(engine, container, "\n".join([*setup.install, _COMMIT]), partial(keep_build_log, cache, tag))
        engine.commit(container, tag)


def _export_tree(engine: Engine, tag: str, workdir: str, into: Path) -> None:
    """Copy the installed tree out of the image and commit it again on the host, where no file of the image runs."""
    with _container(engine, tag, workdir="/", env={}) as container, tempfile.TemporaryFile() as archive:
        for chunk in engine.get(container, workdir):
            archive.write(chunk)
        archive.seek(0)
        unpack_archive(archive, into, skip=".git")
    commit_tree(into)


@contextmanager
def _container(engine: Engine, image: str, *, workdir: str, env: Mapping[str, str]) -> Generator[str]:
    """Create a container whose shell takes its commands from us, and ends when we do; remove it afterwards."""
    config = {
        "Image": image,
        "Entrypoint": [],
        "Cmd": ["sh"],
        "Env": [f"{name}={value}" for name, value in env.items()],
        "WorkingDir": workdir,
        "User": "0",
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "Labels": LABELS,
        "HostConfig": {"NetworkMode": "none"},
    }
    container = engine.create_container(config, f"ostro-build-{uuid.uuid4().hex[:12]}")
    try:
        yield container
    finally:
        engine.remove_container(container)


def _run(engine: Engine, container: str, script: str, log: Callable[[str, bytes], None]) -> None:
    """Run the container's one shell on `script`, without leaving the script or its variables in the image."""
    exports = "\n".join(f"export {name}='{value}'" for name, value in BUILD_ENVIRONMENT.items())
    channel = engine.attach(container)
    output = bytearray()
    try:
        engine.start(container)
        channel.send(f"{{\nset -e\n{exports}\n{script}\nexit 0\n}} </dev/null 2>&1\n".encode())
        while piece := channel.receive(BUILD_TIMEOUT_S):
            output += piece
            del output[:-LOG_BYTES]
        if piece is None:
            raise SetupError(f"a build step was silent for {BUILD_TIMEOUT_S} s:\n{script}")
    finally:
        channel.close()
    engine.wait(container)
    log(script, bytes(output))
    state = engine.state(container)
    if state is None or state.exit_code:
        code = "nothing" if state is None else f"exit code {state.exit_code}"
        tail = output.decode("utf-8", "replace")[-ERROR_TAIL_CHARS:]
        raise SetupError(f"a build step ended with {code}:\n{script}\n{tail.strip()}")


def _put(engine: Engine, container: str, folder: Path, at: str) -> None:
    """Copy a host folder's content into the container, owned by root."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(folder, arcname=at.lstrip("/"), filter=plain)
    buffer.seek(0)
    engine.put(container, "/", buffer)
