"""Row E02 of the fault matrix with a real restart: an engine of the test's own, stopped and started under a sandbox."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostro.sandbox.docker import DockerSandbox
from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.host_git import prepare_base
from ostro.sandbox.protocol import Limits, SandboxSpec
from ostro.sandbox.repository import inspect_repository

START_S = 60.0

# docker-py leaves the socket of a refused connection to the garbage collector; a look at the disk may meet one.
pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
]


class OwnEngine:
    """A second dockerd beside the machine's: its own data, sockets, containerd and network namespace.

    The namespace is not for show: with `--bridge=none` an engine removes the docker0 that it finds, whoever made it.
    """

    def __init__(self, folder: Path) -> None:
        self.address = f"unix://{folder}/sock"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        places = [f"--{name}={self._folder}/{name}" for name in ("data-root", "exec-root", "pidfile")]
        nothing_of_the_host = ["--bridge=none", "--iptables=false", "--ip-masq=false", "--ip-forward=false"]
        argv = ["unshare", "--net", "dockerd", *places, "-H", self.address, *nothing_of_the_host]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while subprocess.run(["docker", "-H", self.address, "info"], capture_output=True, check=False).returncode:
            assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()  # it ends its containers, as for `systemctl restart docker`
            self._process.wait(60)

    def restart(self) -> None:
        self.stop()
        self.start()


@pytest.fixture(scope="module")
def own_engine(docker_image: str) -> Iterator[OwnEngine]:
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("an engine of its own needs root and dockerd")
    with tempfile.TemporaryDirectory(prefix="ostro-engine-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        engine = OwnEngine(Path(name))
        try:
            engine.start()
            with subprocess.Popen(["docker", "save", docker_image], stdout=subprocess.PIPE) as saved:
                load = ["docker", "-H", engine.address, "load", "-q"]
                subprocess.run(load, stdin=saved.stdout, check=True, stdout=subprocess.DEVNULL)
            yield engine
        finally:
            engine.stop()


@pytest.fixture
def sandbox(own_engine: OwnEngine, repository: Path, tmp_path: Path, docker_image: str) -> Iterator[DockerSandbox]:
    base = prepare_base(inspect_repository(repository), tmp_path / "base.git")
    limits = Limits(memory_bytes=256 * 1024**2, processes=64, grace_s=5.0)
    spec = SandboxSpec("restarted", tmp_path / "state", base.git_dir, base.commit, image=docker_image, limits=limits)
    with contextlib.closing(Engine.connect({"DOCKER_HOST": own_engine.address})) as engine:
        with DockerSandbox(spec, engine).open() as opened:
            yield opened
        assert not engine.containers({"ostro.run": "restarted"})
        assert not engine.volumes({"ostro.run": "restarted"})


def test_e02_engine_when_restarted_between_commands_keeps_the_workspace(
    own_engine: OwnEngine, sandbox: DockerSandbox, tmp_path: Path
) -> None:
    sandbox.run("mkdir sub; cd sub; export KEPT=1; echo work >file")
    point = sandbox.checkpoint(tmp_path / "points")
    own_engine.restart()
    done = sandbox.run("pwd; cat file")
    assert done.restarted
    assert done.output.text() == f"{sandbox.workdir}/sub\nwork\n"
    assert sandbox.digest() == point.digest
    sandbox.restore(point)
    assert sandbox.run('echo "$KEPT"').output.text() == "1\n"


def test_e02_engine_when_restarted_under_a_command_says_that_it_was_cut_off(
    own_engine: OwnEngine, sandbox: DockerSandbox
) -> None:
    sandbox.write("before", b"kept\n")
    restart = threading.Timer(1.0, own_engine.restart)
    restart.start()
    done = sandbox.run("echo begun >>log; sleep 60", timeout_s=90)
    restart.join()
    assert done.restarted
    assert done.exit_code != 0
    assert sandbox.run("cat before log").output.text() == "kept\nbegun\n"
