"""Rows E01 to E10 of the fault matrix: the container engine fails, slows down, or somebody meddles with it.

E09, orphans of a crash, is in tests/sandbox/test_reaper.py beside the rest of the reaper.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ostro.sandbox.docker import DockerSandbox
from ostro.sandbox.docker_connection import find_socket
from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.host_git import prepare_base
from ostro.sandbox.open import choose
from ostro.sandbox.protocol import Limits, SandboxError, SandboxSpec
from ostro.sandbox.repository import inspect_repository
from tests.engine_proxy import EngineProxy


def listed(kind: str, run_id: str) -> list[str]:
    """Return the ids of the run's containers (`ps -a`) or the names of its volumes (`volume ls`)."""
    argv = ["docker", *kind.split(), "-q", "--filter", f"label=ostro.run={run_id}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


def meddle(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def proxy() -> Iterator[EngineProxy]:
    running = EngineProxy(str(find_socket(os.environ)))
    yield running
    running.close()


@pytest.fixture
def engine() -> Iterator[Engine]:
    connected = Engine.connect()
    yield connected
    connected.close()


@pytest.fixture
def far_engine(proxy: EngineProxy) -> Iterator[Engine]:
    """The same engine, reached over TCP through the proxy."""
    connected = Engine.connect({"DOCKER_HOST": proxy.address})
    yield connected
    connected.close()


@pytest.fixture
def spec(repository: Path, tmp_path: Path, docker_image: str, engine: Engine) -> Iterator[SandboxSpec]:
    """What to start; whatever a test leaves of it on the engine is removed."""
    base = prepare_base(inspect_repository(repository), tmp_path / "base.git")
    run_id = f"t-{secrets.token_hex(4)}"
    limits = Limits(memory_bytes=256 * 1024**2, processes=64, grace_s=1.0)
    yield SandboxSpec(run_id, tmp_path / "state", base.git_dir, base.commit, image=docker_image, limits=limits)
    for container in listed("ps -a", run_id):
        engine.remove_container(container)
    for volume in listed("volume ls", run_id):
        engine.remove_volume(volume)


@pytest.fixture
def sandbox(spec: SandboxSpec, engine: Engine) -> Iterator[DockerSandbox]:
    with DockerSandbox(spec, engine).open() as opened:
        yield opened


@pytest.mark.docker
def test_e01_sandbox_when_the_connection_is_cut_comes_back_with_the_workspace(
    spec: SandboxSpec, proxy: EngineProxy, far_engine: Engine
) -> None:
    with DockerSandbox(spec, far_engine).open() as sandbox:
        sandbox.write("file", b"kept")
        proxy.cut()
        assert sandbox.run("cat file").restarted
        assert sandbox.read("file") == b"kept"
    assert listed("ps -a", spec.run_id) == listed("volume ls", spec.run_id) == []


@pytest.mark.docker
def test_e01_command_that_had_begun_is_not_run_again(spec: SandboxSpec, proxy: EngineProxy, far_engine: Engine) -> None:
    with DockerSandbox(spec, far_engine).open() as sandbox:
        threading.Timer(1.0, proxy.cut).start()
        done = sandbox.run("echo begun >> log; sleep 20", timeout_s=30)
        assert done.restarted
        assert done.exit_code != 0
        assert sandbox.read("log") == b"begun\n"


@pytest.mark.docker
def test_e02_sandbox_when_the_engine_restarts_waits_for_it(
    spec: SandboxSpec, proxy: EngineProxy, far_engine: Engine
) -> None:
    with DockerSandbox(spec, far_engine).open() as sandbox:
        sandbox.write("file", b"kept")
        [container] = listed("ps -a", spec.run_id)
        proxy.refusing = True
        proxy.cut()
        meddle("rm", "-f", container)  # an engine that restarts has ended its containers
        threading.Timer(2.0, setattr, (proxy, "refusing", False)).start()
        assert sandbox.run("true").restarted
        assert sandbox.read("file") == b"kept"


@pytest.mark.docker
def test_e02_sandbox_when_the_engine_stays_away_fails_typed_and_in_time(
    spec: SandboxSpec, proxy: EngineProxy, far_engine: Engine
) -> None:
    sandbox = DockerSandbox(spec, far_engine, engine_wait_s=1.0).open()
    proxy.close()
    before = time.monotonic()
    with pytest.raises(SandboxError) as caught:
        sandbox.run("true")
    assert caught.value.kind == "transport"
    assert time.monotonic() - before < 10
    sandbox.close()


@pytest.mark.docker
def test_e03_sandbox_when_connections_break_all_the_time_makes_progress_or_says_so(
    spec: SandboxSpec, proxy: EngineProxy, far_engine: Engine
) -> None:
    enough = threading.Event()

    def cutting() -> None:
        while not enough.wait(2.0):
            proxy.cut()

    with DockerSandbox(spec, far_engine, engine_wait_s=5.0).open() as sandbox:
        thread = threading.Thread(target=cutting, daemon=True)
        thread.start()
        before = time.monotonic()
        for number in range(6):
            with contextlib.suppress(SandboxError):
                sandbox.run(f"sleep 1; echo {number} >> log", timeout_s=10)
        assert time.monotonic() - before < 90
        enough.set()
        thread.join()
        assert set(sandbox.read("log").split()) <= {b"0", b"1", b"2", b"3", b"4", b"5"}
    assert listed("ps -a", spec.run_id) == listed("volume ls", spec.run_id) == []


@pytest.mark.docker
def test_e04_sandbox_when_the_engine_is_slow_keeps_its_limits(
    spec: SandboxSpec, proxy: EngineProxy, far_engine: Engine
) -> None:
    with DockerSandbox(spec, far_engine).open() as sandbox:
        proxy.delay_s = 0.5
        assert sandbox.run("echo fine", timeout_s=5).output.text() == "fine\n"
        before = time.monotonic()
        done = sandbox.run("echo start; sleep 60", timeout_s=2)
        assert (done.exit_code, done.timed_out) == (124, True)
        assert time.monotonic() - before < 20
        proxy.delay_s = 0.0
        assert sandbox.run("echo alive").output.text() == "alive\n"


@pytest.mark.docker
def test_e05_sandbox_when_the_container_is_removed_comes_back_with_the_workspace(
    sandbox: DockerSandbox, spec: SandboxSpec
) -> None:
    sandbox.write("file", b"kept")
    [container] = listed("ps -a", spec.run_id)
    meddle("rm", "-f", container)
    assert sandbox.run("true").restarted
    assert sandbox.read("file") == b"kept"
    assert len(listed("ps -a", spec.run_id)) == 1


@pytest.mark.docker
def test_e06_sandbox_when_the_container_is_paused_ends_the_command_in_time(
    sandbox: DockerSandbox, spec: SandboxSpec
) -> None:
    sandbox.write("file", b"kept")
    [container] = listed("ps -a", spec.run_id)
    meddle("pause", container)
    before = time.monotonic()
    done = sandbox.run("echo hello", timeout_s=1)
    assert time.monotonic() - before < 30
    assert done.timed_out or done.restarted
    assert sandbox.read("file") == b"kept"


@pytest.mark.docker
def test_e07_sandbox_when_the_image_is_missing_leaves_nothing(spec: SandboxSpec, engine: Engine) -> None:
    with pytest.raises(SandboxError) as caught:
        DockerSandbox(replace(spec, image="localhost:1/no/such:1"), engine).open()
    assert caught.value.kind == "image"
    assert listed("volume ls", spec.run_id) == []


@pytest.mark.docker
def test_e08_sandbox_when_names_are_taken_gets_its_own(spec: SandboxSpec, engine: Engine) -> None:
    foreign = engine.create_container({"Image": spec.image, "Cmd": ["true"]}, f"ostro-{spec.run_id}")
    try:
        with DockerSandbox(spec, engine).open() as one, DockerSandbox(spec, engine).open() as two:
            one.write("mine", b"1")
            assert two.run("ls mine").exit_code == 2
        assert engine.state(foreign) is not None
    finally:
        engine.remove_container(foreign)


@pytest.mark.docker
def test_e07_docker_when_the_image_cannot_be_pulled_fails_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="localhost:1/nobody/nothing:1") as caught:
        choose("docker", SandboxSpec("r", tmp_path, image="localhost:1/nobody/nothing:1"))
    assert caught.value.kind == "image"
    assert "ostro image build" in caught.value.mend


@contextlib.contextmanager
def unprivileged() -> Generator[None]:
    """Drop root for the block, so that file permissions count."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_e10_connect_when_the_socket_is_forbidden_gives_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / "docker.sock"
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        Path(folder).chmod(0o711)
        with unprivileged(), pytest.raises(SandboxError, match="permission denied") as caught:
            Engine.connect({"DOCKER_HOST": f"unix://{path}"})
    assert caught.value.kind == "unavailable"
    assert "sudo usermod -aG docker $USER" in caught.value.mend
