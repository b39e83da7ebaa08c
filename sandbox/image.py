"""Which container image a sandbox takes by default, and how to make one where no registry can be reached.

`ostro image build` calls `build_image`; sandbox/docker.py calls `default_image`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ostro.sandbox.protocol import SandboxError

if TYPE_CHECKING:
    from ostro.sandbox.docker_engine import Engine

BASE_TAG = "ostro/base:bookworm"
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
BASE_PACKAGES = (
    "ca-certificates",
    "git",
    "patch",
    "procps",
    "python3",
    "python3-pip",
    "python3-venv",
    "ripgrep",
)
PUBLIC_IMAGES = {
    "python": "python:3.11-bookworm",
    "javascript": "node:22-bookworm",
    "typescript": "node:22-bookworm",
    "go": "golang:1.24-bookworm",
    "rust": "rust:1-bookworm",
    "java": "maven:3-eclipse-temurin-21",
    "ruby": "ruby:3.3-bookworm",
    "c": "gcc:14-bookworm",
    "c++": "gcc:14-bookworm",
}
DEFAULT_LANGUAGE = "python"
ACCOUNT = "ostro:x:1000:1000::/ostro/home:/bin/sh\n"
GROUP = "ostro:x:1000:\n"
TAIL_CHARS = 600


def default_image(has: Callable[[str], bool], *, language: str = DEFAULT_LANGUAGE, tag: str = BASE_TAG) -> str:
    """Return the image to take when none is named.

    Args:
        has: whether the engine holds an image of this name.
        language: the repository's main language, lower case.
        tag: an image of one's own, taken wherever the engine holds it.
    """
    if has(tag):
        return tag
    return PUBLIC_IMAGES.get(language, PUBLIC_IMAGES[DEFAULT_LANGUAGE])


def build_image(
    engine: Engine,
    tag: str = BASE_TAG,
    packages: Sequence[str] = (),
    *,
    suite: str = SUITE,
    mirror: str = MIRROR,
    say: Callable[[str], None] = lambda _: None,
) -> str:
    """Make an image from Debian packages alone, without any registry; return its id.

    Args:
        engine: where the image goes.
        tag: its name.
        packages: Debian packages over `BASE_PACKAGES`.
        suite: Debian release.
        mirror: URL of the package mirror; debootstrap checks its signature.
        say: told what is going on, a line at a time.

    Raises:
        SandboxError: `image`: not root, no debootstrap, or a package that cannot be had.
    """
    _require_debootstrap()
    include = sorted({*BASE_PACKAGES, *packages})
    # Not one of sandbox/scratch.py: a debootstrap that outlives us may have this machine's folders mounted in it.
    with tempfile.TemporaryDirectory(prefix="ostro-image-") as folder:
        root = Path(folder) / "root"
        say(f"debootstrap {suite}: {len(include)} packages and what they need, from {mirror}")
        argv = ["debootstrap", "--variant=minbase", f"--include={','.join(include)}", suite, str(root), mirror]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            mend = "Check the names of the packages and that the mirror can be reached"
            raise SandboxError(f"debootstrap failed: {done.stdout[-TAIL_CHARS:].strip()}", kind="image", mend=mend)
        finish_tree(root)
        say(f"importing {tag}")
        return import_tree(engine, root, tag)


def _require_debootstrap() -> None:
    if shutil.which("debootstrap") is None:
        mend = "Install it: sudo apt-get install debootstrap"
        raise SandboxError("debootstrap is not installed", kind="image", mend=mend)
    if os.geteuid() != 0:
        mend = "Run it as root: sudo ostro image build"
        raise SandboxError("making an image from Debian packages needs root", kind="image", mend=mend)


def finish_tree(root: Path) -> None:
    """Take the package cache out of a root tree and give the sandbox's user a name."""
    for cached in (root / "var/cache/apt/archives").glob("*.deb"):
        cached.unlink()
    for file, line in (("etc/passwd", ACCOUNT), ("etc/group", GROUP)):
        with (root / file).open("a", encoding="ascii") as opened:
            opened.write(line)


def import_tree(engine: Engine, root: Path, tag: str) -> str:
    """Import a root tree as an image named `tag`; return its id.

    Raises:
        SandboxError: `image`, when tar or the engine fails.
    """
    tar = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
    assert tar.stdout is not None
    try:
        made = engine.import_image(tar.stdout, tag, ["ENV LANG=C.UTF-8"])
    finally:
        tar.stdout.close()
        failed = tar.wait() != 0
    if failed:
        engine.remove_image(tag)
        raise SandboxError(f"the tree {root} could not be packed", kind="image")
    return made
