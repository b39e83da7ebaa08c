"""Fixtures: a real sandbox of every kind that this machine can run, and a small base repository to put in it.

`sandbox` is one sandbox a kind for the whole session, its workspace cleaned before each test: opening one takes a
second in Docker. `own_sandbox` is a fresh one, for tests that break things or count processes.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.bare import open_bare
from ostro.sandbox.local import find_means, open_local
from ostro.sandbox.protocol import Limits, SandboxError, SandboxSpec

KINDS = ("bubblewrap", "unshare", "dash", "busybox", "none", "docker")
"""`dash` and `busybox` are bubblewrap with another shell and busybox's tools; `busybox` has no git either."""

LIMITS = Limits(memory_bytes=512 * 1024**2, processes=256, tmp_bytes=256 * 1024**2, grace_s=2.0)

Open = Callable[..., AttachedSandbox]


@functools.cache
def missing(kind: str) -> str:
    """Say why a kind of sandbox cannot run here; "" when it can."""
    if kind in {"none", "docker"}:
        return ""  # the mark `docker` has its own check
    if kind in {"dash", "busybox"} and not shutil.which("busybox"):
        return "busybox is not installed (apt-get install busybox-static)"
    try:
        find_means("unshare" if kind == "unshare" else "bubblewrap")
    except SandboxError as error:
        return str(error)
    return ""


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A bare repository and its one commit, with files of every sort."""
    folder = tmp_path_factory.mktemp("base")
    tree = folder / "tree"
    (tree / "package").mkdir(parents=True)
    (tree / "package" / "code.py").write_text("def one():\n    return 1\n")
    (tree / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
    (tree / "latin.txt").write_bytes(b"caf\xe9\n")
    (tree / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "data.bin").write_bytes(bytes(range(256)) * 8)
    (tree / "link").symlink_to("package/code.py")
    (tree / ".gitignore").write_text("ignored/\n*.log\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], [*identity, "commit", "-qm", "base"]):
        subprocess.run(["git", *arguments], cwd=tree, env=environment, check=True)
    bare = folder / "base.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(tree), str(bare)], env=environment, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=bare, env=environment, check=True, capture_output=True)
    return bare, head.stdout.decode().strip()


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders that serve as the whole PATH of a sandbox: busybox alone, and dash with busybox's tools and git."""
    folders: dict[str, Path] = {}
    for kind in ("busybox", "dash") if shutil.which("busybox") else ():
        folder = tmp_path_factory.mktemp(kind)
        folder.chmod(0o755)
        shutil.copy(str(shutil.which("busybox")), folder / "busybox")
        listed = subprocess.run([folder / "busybox", "--list"], check=True, capture_output=True, text=True)
        for applet in listed.stdout.split():
            if applet != "busybox":
                (folder / applet).symlink_to("busybox")
        if kind == "dash":
            (folder / "sh").unlink()
            (folder / "sh").symlink_to("/usr/bin/dash")
            (folder / "git").symlink_to("/usr/bin/git")
        folders[kind] = folder
    return folders


@pytest.fixture(scope="session")
def open_kind(
    base: tuple[Path, str],
    tools: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Open:
    """Open a sandbox of a kind: `open_kind("docker", limits=...)`; the caller closes it."""

    def open_one(kind: str, *, limits: Limits = LIMITS, **changes: object) -> AttachedSandbox:
        state = tmp_path_factory.mktemp(f"state-{kind}")
        shell = {"env": {"PATH": str(tools[kind])}, "read_only": (tools[kind],)} if kind in tools else {}
        if kind == "docker":
            changes.setdefault("image", request.getfixturevalue("docker_image"))
        values = {"base_git": base[0], "base_commit": base[1], **shell, **changes}
        values.setdefault("state_dir", state)
        spec = SandboxSpec(run_id=f"test-{state.name}", limits=limits, **values)  # type: ignore[arg-type]
        if kind == "none":
            return open_bare(spec)
        if kind == "docker":
            return _open_docker(spec)
        return open_local(spec, only="unshare" if kind == "unshare" else "bubblewrap")

    return open_one


def _open_docker(spec: SandboxSpec) -> AttachedSandbox:
    from ostro.sandbox.docker import DockerSandbox
    from ostro.sandbox.docker_engine import Engine

    return DockerSandbox(spec, Engine.connect()).open()


def mark_slow(items: list[pytest.Item], quick: dict[str, set[str]]) -> None:
    """Mark the tests of these files `slow` for every kind of sandbox that is not in the file's set."""
    for item in items:
        one = getattr(item, "callspec", None)
        if (
            item.path.name in quick
            and one is not None
            and one.params.get("kind", "bubblewrap") not in quick[item.path.name]
        ):
            item.add_marker(pytest.mark.slow)


def _parameters() -> list[object]:
    return [pytest.param(kind, marks=[pytest.mark.docker] if kind == "docker" else []) for kind in KINDS]


@pytest.fixture(scope="session", params=_parameters())
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of sandbox in turn."""
    name = str(request.param)
    if reason := missing(name):
        pytest.skip(reason)
    return name


@pytest.fixture(scope="session")
def session_sandbox(kind: str, open_kind: Open) -> Iterator[AttachedSandbox]:
    with open_kind(kind) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(session_sandbox: AttachedSandbox, kind: str, base: tuple[Path, str]) -> AttachedSandbox:
    """The session's sandbox of this kind, in its workspace at the base commit."""
    box = session_sandbox
    if box.has("git"):
        clean = f"cd {box.workdir} && git reset -q --hard {base[1]} && git clean -qfdx"
        assert box.run(clean).exit_code == 0
    else:
        assert box.run(f"cd {box.workdir} && rm -rf ./new* && mkdir -p /tmp").exit_code == 0
    return box


@pytest.fixture
def own_sandbox(kind: str, open_kind: Open) -> Iterator[AttachedSandbox]:
    """A fresh sandbox of this kind."""
    with open_kind(kind) as box:
        yield box
