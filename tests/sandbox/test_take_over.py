"""A world survives the process that made it: another one goes on in it, or starts a fresh one where it is not whole."""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ostro.sandbox import world
from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.bare import open_bare
from ostro.sandbox.docker import DockerSandbox
from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.local import open_local
from ostro.sandbox.owner import claim
from ostro.sandbox.protocol import Checkpoint, Limits, SandboxSpec
from ostro.sandbox.reaper import RUN_LABEL, is_orphan, reap_folders
from tests.worlds import missing

BACKENDS = (
    "bubblewrap",
    pytest.param("unshare", marks=pytest.mark.slow),
    "none",
    pytest.param("docker", marks=pytest.mark.docker),
)

# A process that opens a sandbox, runs a command in it, makes a checkpoint and is killed at once.
KILLED = """
import os, pickle, sys
from dataclasses import replace
from pathlib import Path
from tests.sandbox.test_take_over import open_backend
kind, folder, command = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
spec = replace(pickle.loads((folder / "spec").read_bytes()), take_over=True)
box = open_backend(kind, spec)
box.run("export MARK=1; echo one >>one.txt; cd package; echo tmp >/tmp/ostro-take-over-test; rm -f ../crlf.txt")
(folder / "point").write_bytes(pickle.dumps(box.checkpoint(folder / "points")))
print("ready", flush=True)
box.run(command)
os.kill(os.getpid(), 9)
"""

SLOW = "while :; do echo x >>running.txt; sleep 0.05; done"


def open_backend(kind: str, spec: SandboxSpec) -> AttachedSandbox:
    claim(spec.state_dir)
    if kind == "docker":
        return DockerSandbox(spec, Engine.connect()).open()
    if kind == "none":
        return open_bare(spec)
    return open_local(spec, only="unshare" if kind == "unshare" else "bubblewrap")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    if reason := missing(request.param):
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture
def spec(backend: str, base: tuple[Path, str], tmp_path: Path, request: pytest.FixtureRequest) -> SandboxSpec:
    image = request.getfixturevalue("docker_image") if backend == "docker" else None
    name = f"t-{secrets.token_hex(4)}"
    limits = Limits(memory_bytes=512 * 1024**2, processes=64, grace_s=30)
    return SandboxSpec(name, tmp_path / "sandboxes" / name, base[0], base[1], image=image, limits=limits)


@pytest.fixture
def crash(backend: str, spec: SandboxSpec, tmp_path: Path) -> Callable[..., Checkpoint]:
    """Let a process with a sandbox be killed; return the checkpoint that it made."""

    def crashed(command: str = "true", *, while_running: bool = False) -> Checkpoint:
        (tmp_path / "spec").write_bytes(pickle.dumps(replace(spec, env={})))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, backend, str(tmp_path), command],
            stdout=subprocess.PIPE,
            env=environment,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            if while_running:
                process.kill()
            assert process.wait(120) == -signal.SIGKILL
        point: Checkpoint = pickle.loads((tmp_path / "point").read_bytes())
        return point

    return crashed


@pytest.fixture
def reopened(backend: str, spec: SandboxSpec) -> Iterator[Callable[[], AttachedSandbox]]:
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(open_backend(backend, replace(spec, take_over=True, env={})))


def on_engine(run_id: str) -> list[str]:
    """Return what the engine has of a run: container ids and volume names."""
    found: list[str] = []
    for listing in (["ps", "-a"], ["volume", "ls"]):
        argv = ["docker", *listing, "-q", "--filter", f"label=ostro.run={run_id}"]
        found += subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    return found


def test_take_over_when_the_owner_was_killed_goes_on_in_its_workspace(
    crash: Callable[..., Checkpoint], reopened: Callable[[], AttachedSandbox], backend: str, spec: SandboxSpec
) -> None:
    point = crash("echo later >../later.txt")
    box = reopened()
    assert box.taken_over
    assert box.run("cat one.txt later.txt; ls crlf.txt").output.text().startswith("one\nlater\nls: ")
    assert box.digest() != point.digest
    box.restore(point)
    assert box.digest() == point.digest
    seen = box.run('pwd; echo "$MARK"; ls; ls ../later.txt').output.text()
    assert seen.startswith(f"{box.workdir}/package\n1\ncode.py\nls: ")
    if backend != "none":
        assert box.read("/tmp/ostro-take-over-test") == b"tmp\n"
    reap_folders(spec.state_dir.parent, grace_s=0)
    assert b"one.txt" in box.patch()
    if backend == "docker":
        with contextlib.closing(Engine.connect()) as engine:
            volumes = engine.volumes({RUN_LABEL: spec.run_id})
        assert len(volumes) == 2
        assert not list(filter(is_orphan, volumes))
    box.close()
    if backend == "docker":
        assert on_engine(spec.run_id) == []


def test_take_over_when_a_command_was_running_ends_it_first(
    crash: Callable[..., Checkpoint], reopened: Callable[[], AttachedSandbox], backend: str
) -> None:
    point = crash(SLOW, while_running=True)
    box = reopened()
    assert box.taken_over
    size = "wc -c <package/running.txt 2>/dev/null | tr -d ' '"
    before = box.run(size).output.text()
    assert box.run(f"sleep 0.3; {size}").output.text() == before
    box.restore(point)
    assert box.digest() == point.digest


def test_take_over_when_nothing_happened_since_has_the_digest_of_the_checkpoint(
    crash: Callable[..., Checkpoint], reopened: Callable[[], AttachedSandbox]
) -> None:
    point = crash()
    box = reopened()
    assert box.taken_over
    assert box.digest() == point.digest


def test_take_over_when_it_happens_twice_works_twice(
    crash: Callable[..., Checkpoint], reopened: Callable[[], AttachedSandbox]
) -> None:
    crash()
    crash("echo two >>../one.txt")
    box = reopened()
    assert box.taken_over
    assert box.read("one.txt") == b"one\none\ntwo\n"


def test_take_over_when_there_is_nothing_starts_a_fresh_world(reopened: Callable[[], AttachedSandbox]) -> None:
    box = reopened()
    assert not box.taken_over
    assert box.patch() == b""


def test_take_over_when_a_part_is_gone_starts_a_fresh_world_and_removes_the_rest(
    crash: Callable[..., Checkpoint], reopened: Callable[[], AttachedSandbox], backend: str, spec: SandboxSpec
) -> None:
    point = crash()
    if backend == "docker":
        for container in on_engine(spec.run_id)[:-2]:
            subprocess.run(["docker", "rm", "-f", container], check=True, stdout=subprocess.DEVNULL)
        *_, one = sorted(on_engine(spec.run_id))
        subprocess.run(["docker", "volume", "rm", one], check=True, stdout=subprocess.DEVNULL)
    else:
        shutil.rmtree(spec.state_dir / "workspace")
    box = reopened()
    assert not box.taken_over
    assert box.patch() == b""
    box.restore(point)
    assert box.digest() == point.digest
    if backend == "docker":
        assert len(on_engine(spec.run_id)) == 3


def test_take_over_when_its_removal_had_begun_starts_a_fresh_world(
    crash: Callable[..., Checkpoint], reopened: Callable[[], AttachedSandbox], spec: SandboxSpec
) -> None:
    crash()
    world.forget(spec.state_dir)
    box = reopened()
    assert not box.taken_over
    assert box.patch() == b""


def test_take_over_when_the_base_is_another_starts_a_fresh_world(
    crash: Callable[..., Checkpoint], reopened: Callable[[], AttachedSandbox], spec: SandboxSpec
) -> None:
    crash()
    found = world.noted(spec.state_dir)
    assert found is not None
    world.note(spec.state_dir, replace(found, base="0" * 40))
    assert not reopened().taken_over


def test_note_when_it_is_torn_is_none(tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"name": "none"}', '{"volumes": 1, "processes": []}'):
        (tmp_path / world.NOTE).write_text(text)
        assert world.noted(tmp_path) is None
