"""Make the world that an instance's tests run in, from its row, and keep it by content.

Two flavours of the same layers (pinned packages in a virtual environment at /opt/env, then the base tree installed
at the workspace's path): a container image (benchmarks/environment_docker.py) and a folder for the embedded sandbox
(benchmarks/environment_local.py). Either comes with the base tree as a git repository on the host, one commit, which
a run takes as `--repo`. Building happens without a network; only pip on the host fetches. A row of SWE-bench's own has
no recipe: its official image is used where an engine has or gets it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ostro.benchmarks import official
from ostro.benchmarks.building import BuildSite
from ostro.benchmarks.environment_docker import build_image, official_image
from ostro.benchmarks.environment_local import build_folder
from ostro.benchmarks.instance import Instance, InstanceError
from ostro.benchmarks.recipe import Environment, Flavour


@contextmanager
def ready_environment(
    instance: Instance, flavour: Flavour, home: Path, *, base_image: str = "", site: BuildSite
) -> Generator[Environment]:
    """Build the environment of an instance, or find it, and keep it from being removed meanwhile.

    Raises:
        InstanceError, SetupError, SandboxError: as `build_environment`.
    """
    with site.using(official.image_name(instance) if instance.setup is None else ""):
        yield build_environment(instance, flavour, home, base_image=base_image, site=site)


def build_environment(
    instance: Instance, flavour: Flavour, home: Path, *, base_image: str = "", site: BuildSite | None = None
) -> Environment:
    """Return the environment of an instance, building what is not there yet below `home/instances`.

    Args:
        instance: the row.
        flavour: for which kind of sandbox.
        home: folder for what is kept (OSTRO_HOME).
        base_image: container image to build on, with Python of the row's version, its venv module and git.
        site: of the batch that this is for; by default nothing else is built meanwhile.

    Raises:
        InstanceError: the row has no environment block, and the sandbox takes no image.
        SetupError: a step failed.
        SandboxError: no engine answers or it cannot get the base image; no isolation on this machine.
    """
    cache = home.resolve() / "instances"
    site = site or BuildSite()
    if instance.setup is None:
        if flavour != "docker":
            raise InstanceError(
                f"{instance.instance_id}: the row has no environment_setup, so its image is needed",
                mend="Use --sandbox docker, or a row with that block.",
            )
        return official_image(instance, cache, site)
    if flavour == "docker":
        return build_image(instance, cache, site, base_image)
    return build_folder(instance, cache, site)
