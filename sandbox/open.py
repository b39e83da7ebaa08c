"""Choose a backend and start a sandbox: what `--sandbox auto|docker|local|none` means.

Never silently unsandboxed: `none` has to be typed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ostro.sandbox.image import default_image
from ostro.sandbox.owner import claim
from ostro.sandbox.protocol import Sandbox, SandboxError, SandboxSpec

if TYPE_CHECKING:
    from ostro.sandbox.docker_engine import Engine

SandboxChoice = Literal["auto", "docker", "local", "none"]


@dataclass(frozen=True)
class Chosen:
    """The backend that a choice came down to.

    Attributes:
        engine: the connection of the docker backend, None for the others.
        image: the image that the engine has ready; None for the others.
        reason: one line for people, why this one.
    """

    backend: Literal["docker", "local", "none"]
    reason: str
    engine: Engine | None = None
    image: str | None = None


def open_sandbox(choice: SandboxChoice, spec: SandboxSpec, *, say: Callable[[str], None] = lambda _: None) -> Sandbox:
    """Start a sandbox of the chosen kind; close it, or use it as a context manager.

    Args:
        choice: `auto` is Docker where an engine answers and has or gets the image, else local.
        spec: what to start.
        say: told which backend was taken and why, and of a slow pull.

    Raises:
        SandboxError: nothing could be started; `unavailable` or `image` before anything was made.
    """
    chosen = choose(choice, spec, say=say)
    say(f"sandbox: {chosen.backend}, {chosen.reason}")
    claim(spec.state_dir)
    if chosen.backend == "docker":
        from ostro.sandbox.docker import DockerSandbox

        assert chosen.engine is not None
        return DockerSandbox(replace(spec, image=chosen.image), chosen.engine).open()
    if chosen.backend == "none":
        from ostro.sandbox.bare import open_bare

        return open_bare(_for_local(spec))
    from ostro.sandbox.local import open_local

    return open_local(_for_local(spec))


def choose(choice: SandboxChoice, spec: SandboxSpec, *, say: Callable[[str], None] = lambda _: None) -> Chosen:
    """Find out which backend `choice` means on this machine; starts nothing but may pull the image.

    Raises:
        SandboxError: `usage` for an unknown choice; else why the named backend cannot serve.
    """
    if choice not in get_args(SandboxChoice):
        kinds = ", ".join(get_args(SandboxChoice))
        raise SandboxError(f"there is no sandbox {choice!r}", kind="usage", mend=f"Choose one of {kinds}")
    if choice == "none":
        return Chosen("none", "as asked: commands run on this machine, unprotected")
    if choice == "local":
        return Chosen("local", "as asked")
    if choice == "docker":
        return _docker(spec, "as asked", say)
    if _is_tree(spec.image):
        return Chosen("local", f"the environment {spec.image} is a tree for it")
    try:
        return _docker(spec, "an engine answers", say)
    except SandboxError as error:
        if spec.base_git is None or error.kind not in ("unavailable", "image", "transport"):
            raise  # only the image has the workspace: there is nothing to fall back to
        return Chosen("local", f"Docker cannot serve: {error}")


def _docker(spec: SandboxSpec, reason: str, say: Callable[[str], None]) -> Chosen:
    from ostro.sandbox.docker_engine import Engine

    engine = Engine.connect()
    try:
        image = spec.image or default_image(lambda name: engine.image(name) is not None)
        if engine.image(image) is None:
            say(f"pulling image {image}")
            engine.pull(image)
    except SandboxError:
        engine.close()
        raise
    return Chosen("docker", reason, engine, image)


def _for_local(spec: SandboxSpec) -> SandboxSpec:
    return spec if _is_tree(spec.image) else replace(spec, image=None)


def _is_tree(image: str | None) -> bool:
    return image is not None and Path(image).is_absolute() and Path(image).is_dir()
