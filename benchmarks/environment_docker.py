"""Build an instance's container image, layer by layer, through the engine's API.

base image -> `ostro/instance-env` (packages in /opt/env) -> `ostro/instance` (the base tree, installed, a git
repository with one commit at the workspace's path). Files go in and out as archives, so a remote engine works too.
A layer's tag is the hash of what made it.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ostro.benchmarks.instance import EnvironmentSetup, Instance
from ostro.benchmarks.recipe import (
    BUILD_ENVIRONMENT,
    PATH,
    WHEELS_DIR,
    WORKDIR,
    Environment,
    environment_key,
    tree_key,
    venv_script,
)
from ostro.benchmarks.sources import (
    COMMIT_DATE,
    ERROR_TAIL_CHARS,
    SetupError,
    built_once,
    commit_tree,
    fetch_wheels,
    head_commit,
    unpack_archive,
    unpack_source,
)

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

DEFAULT_BASE_IMAGE = "python:3.11-bookworm"
LABELS = {"ostro": "build"}
ENV_REPOSITORY = "ostro/instance-env"
TREE_REPOSITORY = "ostro/instance"
ENGINE_TIMEOUT_S = 600
LIFETIME_S = 3600

_COMMIT = f"""
git init -q -b main .
git add -A -f .
GIT_AUTHOR_DATE='{COMMIT_DATE}' GIT_COMMITTER_DATE='{COMMIT_DATE}' \\
git -c user.name=base -c user.email=base@localhost commit -q --allow-empty -m base
"""


def build_image(instance: Instance, cache: Path, base_image: str = "") -> Environment:
    """Return the instance's image and its base tree as a repository below `cache`; see `build_environment`.

    Raises:
        SetupError: no engine answers, the base image is missing, or a step failed.
    """
    import docker
    import requests

    setup = instance.environment
    base = base_image or DEFAULT_BASE_IMAGE
    try:
        client = docker.from_env(timeout=ENGINE_TIMEOUT_S)
        identity = client.images.get(base).id
        assert identity is not None  # of an image that exists
        packages = f"{ENV_REPOSITORY}:{environment_key(setup, identity)}"
        tag = f"{TREE_REPOSITORY}:{tree_key(setup, identity)}"
        if not _exists(client, packages):
            _build_packages(client, base, packages, setup, cache)
        if not _exists(client, tag):
            _build_tree(client, packages, tag, setup, cache)
        repository = cache / "docker" / tree_key(setup, identity)
        with built_once(repository) as scratch:
            if scratch is not None:
                _export_tree(client, tag, scratch)
    except docker.errors.ImageNotFound as error:
        raise SetupError(
            f"the engine has no image {base}", mend=f"Pull it (`docker pull {base}`) or name another base image."
        ) from error
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise SetupError(
            f"building the image of {instance.instance_id} failed: {error}", mend="Is a container engine running?"
        ) from error
    return Environment("docker", repository, head_commit(repository), tag)


def _exists(client: DockerClient, tag: str) -> bool:
    import docker

    try:
        client.images.get(tag)
    except docker.errors.ImageNotFound:
        return False
    return True


def _build_packages(client: DockerClient, base: str, tag: str, setup: EnvironmentSetup, cache: Path) -> None:
    wheels = fetch_wheels(setup.pip, setup.python, cache)
    with _container(client, base) as container:
        _put(container, wheels, WHEELS_DIR)
        _run(container, f"{venv_script(setup.pip, setup.python)}\nrm -rf {WHEELS_DIR}", workdir="/")
        _commit(container, tag, [f"ENV PATH={PATH}"])


def _build_tree(client: DockerClient, packages: str, tag: str, setup: EnvironmentSetup, cache: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ostro-tree-") as scratch, _container(client, packages) as container:
        unpack_source(setup.source, Path(scratch), cache)
        _put(container, Path(scratch), WORKDIR)
        _run(container, "\n".join([*setup.install, _COMMIT]), workdir=WORKDIR)
        changes = [f"WORKDIR {WORKDIR}", *(f'ENV {name}="{value}"' for name, value in setup.env.items())]
        _commit(container, tag, changes)


def _export_tree(client: DockerClient, tag: str, into: Path) -> None:
    """Copy the installed tree out of the image and commit it again on the host, where no file of the image runs."""
    container = client.containers.create(tag, command=["true"], network_mode="none", labels=LABELS)
    try:
        chunks, _ = container.get_archive(WORKDIR)
        with tempfile.TemporaryFile() as archive:
            for chunk in chunks:
                archive.write(chunk)
            archive.seek(0)
            unpack_archive(archive, into, skip=".git")
    finally:
        container.remove(force=True)
    commit_tree(into)


@contextmanager
def _container(client: DockerClient, image: str) -> Generator[Container]:
    """Run a container that waits for build steps; it ends by itself if we die."""
    container = client.containers.run(
        image, command=["sleep", str(LIFETIME_S)], detach=True, network_mode="none", labels=LABELS, init=True, user="0"
    )
    try:
        yield container
    finally:
        container.remove(force=True)


def _run(container: Container, script: str, *, workdir: str) -> None:
    result = container.exec_run(["sh", "-ec", script], workdir=workdir, environment=BUILD_ENVIRONMENT, user="0")
    if result.exit_code:
        assert isinstance(result.output, bytes)  # an iterator only when streaming
        output = result.output.decode("utf-8", "replace")[-ERROR_TAIL_CHARS:].strip()
        raise SetupError(f"a build step ended with exit code {result.exit_code}:\n{script}\n{output}")


def _put(container: Container, folder: Path, at: str) -> None:
    """Copy a host folder's content into the container, owned by root, with fixed dates."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(folder, arcname=at.lstrip("/"), filter=plain)
    buffer.seek(0)
    container.put_archive("/", buffer)


def _commit(container: Container, tag: str, changes: list[str]) -> None:
    repository, _, name = tag.partition(":")
    container.commit(repository=repository, tag=name, changes="\n".join([*changes, 'CMD ["sh"]']))
