"""The Docker backend for real: what the container is, how it is filled, how it comes back, what it leaves."""

import json
import os
import pickle
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ostro.sandbox import docker_config as config
from ostro.sandbox.docker import DockerSandbox
from ostro.sandbox.docker_connection import find_socket
from ostro.sandbox.docker_engine import Engine, ImageInfo
from ostro.sandbox.host_git import prepare_base
from ostro.sandbox.image import import_tree
from ostro.sandbox.owner import LABEL
from ostro.sandbox.protocol import Limits, SandboxError, SandboxSpec
from ostro.sandbox.reaper import MARKS, reap_engine
from ostro.sandbox.repository import inspect_repository
from tests.engine_proxy import EngineProxy

IMAGE = ImageInfo(id="sha256:0", user="", env={"PATH": "/opt/bin:/bin"})
VOLUMES = config.Volumes("o", "w")


def inspect(container: str) -> dict[str, Any]:
    done = subprocess.run(["docker", "inspect", container], capture_output=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found[0]


def volumes_of(run_id: str) -> list[str]:
    argv = ["docker", "volume", "ls", "-q", "--filter", f"label=ostro.run={run_id}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


def containers_of(run_id: str) -> list[str]:
    argv = ["docker", "ps", "-aq", "--no-trunc", "--filter", f"label=ostro.run={run_id}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture
def engine() -> Iterator[Engine]:
    connected = Engine.connect()
    yield connected
    connected.close()


@pytest.fixture
def spec(repository: Path, tmp_path: Path, docker_image: str) -> SandboxSpec:
    base = prepare_base(inspect_repository(repository), tmp_path / "base.git")
    return SandboxSpec(
        run_id=f"t-{secrets.token_hex(4)}",
        state_dir=tmp_path / "state",
        base_git=base.git_dir,
        base_commit=base.commit,
        image=docker_image,
        limits=Limits(memory_bytes=256 * 1024**2, processes=64, grace_s=1.0),
    )


@pytest.fixture
def sandbox(spec: SandboxSpec, engine: Engine) -> Iterator[DockerSandbox]:
    with DockerSandbox(spec, engine).open() as opened:
        yield opened


# The request, without an engine.


def test_container_config_is_hardened(tmp_path: Path) -> None:
    spec = SandboxSpec(run_id="r", state_dir=tmp_path, base_git=tmp_path, limits=Limits(cpus=1.5))
    body = config.container_config(spec, IMAGE, VOLUMES, {LABEL: "1"})
    host = body["HostConfig"]
    assert (body["User"], body["StdinOnce"], body["Tty"]) == ("1000:1000", True, False)
    assert (host["NetworkMode"], host["CapDrop"], host["ReadonlyRootfs"]) == ("none", ["ALL"], True)
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Memory"] == host["MemorySwap"] == 4 * 1024**3
    assert host["CpuQuota"] / host["CpuPeriod"] == 1.5
    assert host["LogConfig"] == {"Type": "none"}
    assert {mount["Type"] for mount in host["Mounts"]} == {"volume"}


def test_container_config_when_the_image_holds_the_workspace_keeps_its_user_and_root(tmp_path: Path) -> None:
    spec = SandboxSpec(run_id="r", state_dir=tmp_path, workdir="/testbed")
    body = config.container_config(spec, replace(IMAGE, user="dev"), config.Volumes("o", None), {})
    assert (body["User"], body["WorkingDir"]) == ("dev", "/testbed")
    assert not body["HostConfig"]["ReadonlyRootfs"]
    assert [mount["Target"] for mount in body["HostConfig"]["Mounts"]] == ["/ostro"]
    assert "USER=dev" in body["Env"]


def test_environment_keeps_the_image_path_and_ours_wins_elsewhere(tmp_path: Path) -> None:
    spec = SandboxSpec(run_id="r", state_dir=tmp_path, base_git=tmp_path, env={"LANG": "de_DE", "X": "1"})
    image = replace(IMAGE, env={"PATH": "/conda/bin", "PAGER": "less", "OTHER": "kept"})
    body = config.container_config(spec, image, VOLUMES, {})
    wanted = {"PATH=/conda/bin", "PAGER=cat", "OTHER=kept", "LANG=de_DE", "X=1", "HOME=/ostro/home", "USER=ostro"}
    assert wanted <= set(body["Env"])


@pytest.mark.parametrize(("text", "name"), [("a b/c", "a-b-c"), ("", "run"), ("../x", "x"), ("ü" * 3, "run")])
def test_safe_name_holds_what_a_container_name_may(text: str, name: str) -> None:
    assert config.safe_name(text) == name


# A container, seen from outside and inside.


@pytest.mark.docker
def test_sandbox_runs_as_nobody_special_and_cannot_reach_out(sandbox: DockerSandbox) -> None:
    said = sandbox.run(
        "id -u; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; ls /sys/class/net; ulimit -c; "
        "touch /usr/x /ostro/base.git/x; mv /ostro/base.git /ostro/moved; echo $USER $LOGNAME $HOME; "
        "touch ~/x /tmp/x /workspace/x && python3 -c 'import getpass; print(getpass.getuser())'"
    ).output.text()
    assert said.startswith("1000\n")
    assert "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\nlo\n0\n" in said
    assert "touch: cannot touch '/usr/x': Read-only file system" in said
    assert "touch: cannot touch '/ostro/base.git/x': Permission denied" in said
    assert "mv: cannot move '/ostro/base.git'" in said
    assert said.endswith("ostro ostro /ostro/home\nostro\n")


@pytest.mark.docker
def test_sandbox_has_no_bind_mount_and_says_whose_it_is(sandbox: DockerSandbox, spec: SandboxSpec) -> None:
    [container] = containers_of(spec.run_id)
    seen = inspect(container)
    assert {mount["Type"] for mount in seen["Mounts"]} == {"volume"}
    labels: dict[str, str] = seen["Config"]["Labels"]
    assert labels["ostro.owner"].startswith(f"{os.getpid()}:")
    assert labels["ostro.boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert sandbox.image_digest.startswith("sha256:")
    assert "no network" in sandbox.description


@pytest.mark.docker
def test_sandbox_when_closed_leaves_neither_container_nor_volume(spec: SandboxSpec, engine: Engine) -> None:
    sandbox = DockerSandbox(spec, engine).open()
    assert len(volumes_of(spec.run_id)) == 2
    sandbox.start("sleep 1000")
    before = time.monotonic()
    sandbox.close()
    assert time.monotonic() - before < 5
    sandbox.close()
    assert containers_of(spec.run_id) == []
    assert volumes_of(spec.run_id) == []
    with pytest.raises(SandboxError):
        sandbox.run("true")


# Crashes and interference.


@pytest.mark.docker
def test_sandbox_when_the_first_process_is_killed_comes_back_with_the_workspace(
    sandbox: DockerSandbox, spec: SandboxSpec
) -> None:
    sandbox.run("mkdir sub && cd sub && echo kept > file")
    [container] = containers_of(spec.run_id)
    subprocess.run(["docker", "kill", container], check=True, stdout=subprocess.DEVNULL)
    done = sandbox.run("pwd; cat file")
    assert done.restarted
    assert done.output.text() == "/workspace/sub\nkept\n"
    assert b"sub/file" in sandbox.patch()


@pytest.mark.docker
def test_memory_hog_is_reported_with_its_reason(sandbox: DockerSandbox) -> None:
    done = sandbox.run("python3 -c 'x = bytearray(1024**3)'", timeout_s=60)
    assert (done.exit_code, done.oom) == (137, True)
    done = sandbox.run("sh -c 'kill -9 $$'")
    assert (done.exit_code, done.oom) == (137, False)


@pytest.mark.docker
def test_fork_bomb_is_contained(sandbox: DockerSandbox) -> None:
    done = sandbox.run("b() { b | b & }; b; sleep 60", timeout_s=3)
    assert done.exit_code != 0 or done.leftovers
    before = time.monotonic()
    assert sandbox.run("echo alive").output.text() == "alive\n"
    assert time.monotonic() - before < 5
    assert int(sandbox.run("ls -d /proc/[0-9]* | wc -l").output.text()) < 12


@pytest.mark.docker
def test_sandbox_when_its_owner_is_killed_ends_by_itself_and_is_reaped(
    spec: SandboxSpec, engine: Engine, tmp_path: Path
) -> None:
    script = """
import pickle, sys
from ostro.sandbox.docker import DockerSandbox
from ostro.sandbox.docker_engine import Engine
spec = pickle.load(open(sys.argv[1], "rb"))
sandbox = DockerSandbox(spec, Engine.connect()).open()
sandbox.start("sleep 1000")
print("ready", flush=True)
sys.stdin.read()
"""
    (tmp_path / "spec").write_bytes(pickle.dumps(replace(spec, env={})))
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "spec")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        [container] = containers_of(spec.run_id)
        owner.send_signal(signal.SIGKILL)
    engine.wait(container, removed=True)
    reap_engine(engine, tmp_path / "sandboxes")
    assert len(volumes_of(spec.run_id)) == 2
    for mark in (tmp_path / "sandboxes" / MARKS).glob(f"*{spec.run_id}*"):
        os.utime(mark, (0, 0))
    reap_engine(engine, tmp_path / "sandboxes")
    assert volumes_of(spec.run_id) == []
    assert containers_of(spec.run_id) == []


# Forks, and workspaces that the image holds.


@pytest.mark.docker
def test_fork_has_the_workspace_and_is_independent(sandbox: DockerSandbox, tmp_path: Path) -> None:
    sandbox.run("echo one > new; echo '# more' >> hello.py")
    with sandbox.fork("forked", tmp_path / "fork") as fork:
        assert fork.patch() == sandbox.patch()
        fork.write("new", b"two\n")
        assert sandbox.read("new") == b"one\n"
        assert fork.read("new") == b"two\n"
        sandbox.close()
        assert fork.run("cat new").output.text() == "two\n"


@pytest.fixture
def task_image(engine: Engine, docker_image: str) -> Iterator[str]:
    """An image that holds a workspace of its own, as benchmark images do: /testbed, owned by root."""
    tag = f"ostro-test/task:{secrets.token_hex(4)}"
    make = (
        "mkdir /testbed && cd /testbed && git init -q && echo old > file && "
        "git add . && git -c user.name=T -c user.email=t@example.org commit -qm base && git rev-parse HEAD"
    )
    name = f"ostro-test-{secrets.token_hex(4)}"
    subprocess.run(["docker", "run", "--name", name, docker_image, "sh", "-c", make], check=True, capture_output=True)
    engine.commit(name, tag)
    engine.remove_container(name)
    yield tag
    engine.remove_image(tag)


@pytest.mark.docker
def test_workspace_of_the_image_is_used_where_it_lies(task_image: str, engine: Engine, tmp_path: Path) -> None:
    spec = SandboxSpec(run_id="task", state_dir=tmp_path / "state", image=task_image, workdir="/testbed")
    commit = subprocess.run(
        ["docker", "run", "--rm", task_image, "git", "-C", "/testbed", "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    with DockerSandbox(replace(spec, base_commit=commit), engine).open() as sandbox:
        assert sandbox.run("pwd; id -u; cat file").output.text() == "/testbed\n0\nold\n"
        sandbox.run("echo new > file; git add -A; git -c user.name=x -c user.email=x commit -qm mine")
        assert b"-old\n+new\n" in sandbox.patch()
        with sandbox.fork("task-2", tmp_path / "fork") as fork:
            assert b"-old\n+new\n" in fork.patch()
        [container] = containers_of("task")
        subprocess.run(["docker", "kill", container], check=True, stdout=subprocess.DEVNULL)
        assert sandbox.run("cat file").output.text() == "new\n"
        subprocess.run(["docker", "rm", "-f", container], check=True, stdout=subprocess.DEVNULL)
        with pytest.raises(SandboxError) as caught:
            sandbox.run("true")
        assert caught.value.kind == "workspace_lost"


# Images with next to nothing in them.


def busybox(folder: Path) -> Path:
    """Find a static busybox: installed, else from Debian's package."""
    for place in ("/bin/busybox", "/usr/bin/busybox"):
        if Path(place).exists():
            return Path(place)
    if shutil.which("apt-get") is None:
        pytest.skip("no busybox on this machine")
    fetch = "apt-get download -qq -o APT::Sandbox::User=root busybox-static && dpkg -x busybox-static_*.deb ."
    if subprocess.run(fetch, shell=True, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip("no busybox on this machine, and Debian's package cannot be fetched")
    return next(place for place in (folder / "bin/busybox", folder / "usr/bin/busybox") if place.exists())


@pytest.mark.docker
def test_image_when_its_tag_is_given_to_another_is_removed_unless_anything_else_uses_it(
    engine: Engine, tmp_path: Path
) -> None:
    tag, other = (f"ostro-test/again:{secrets.token_hex(4)}" for _ in range(2))
    container = f"ostro-test-{secrets.token_hex(4)}"
    ids: list[str] = []

    def made(text: str) -> str:
        (tmp_path / "tree").mkdir(exist_ok=True)
        (tmp_path / "tree" / "file").write_text(text)
        ids.append(import_tree(engine, tmp_path / "tree", tag))
        return ids[-1]

    try:
        first = made("1")
        second = made("2")
        assert engine.image(first) is None
        subprocess.run(["docker", "tag", second, other], check=True)
        third = made("3")
        assert engine.image(second) is not None
        engine.create_container({"Image": third, "Cmd": ["/file"]}, container)
        fourth = made("4")
        assert engine.image(third) is not None
        assert engine.commit(container, tag) != fourth
        assert engine.image(fourth) is None
    finally:
        engine.remove_container(container)
        for name in (tag, other, *ids):
            engine.remove_image(name)


@pytest.fixture
def busybox_image(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """An image of busybox alone: no git, no Python, no bash, no account."""
    tag = f"ostro-test/busybox:{secrets.token_hex(4)}"
    (tmp_path / "fetched").mkdir()
    program = busybox(tmp_path / "fetched")
    root = tmp_path / "busybox"
    (root / "bin").mkdir(parents=True)
    shutil.copy(program, root / "bin/busybox")
    applets = subprocess.run([str(program), "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    import_tree(engine, root, tag)
    yield tag
    engine.remove_image(tag)


@pytest.mark.docker
def test_image_with_only_busybox_works(busybox_image: str, spec: SandboxSpec, engine: Engine) -> None:
    with DockerSandbox(replace(spec, image=busybox_image), engine).open() as sandbox:
        assert sandbox.run("cat hello.py; echo $0; exit 3").exit_code == 3
        assert not sandbox.has("git")
        assert not sandbox.has("python3")
        sandbox.run("mkdir sub; cd sub; export KEPT=yes")
        assert sandbox.run("pwd; echo $KEPT").output.text() == "/workspace/sub\nyes\n"
        done = sandbox.run("sleep 100 & sleep 100", timeout_s=1)
        assert (done.exit_code, done.timed_out) == (124, True)
        sandbox.write("blob", bytes(range(256)) * 1000)
        assert sandbox.read("blob") == bytes(range(256)) * 1000
        sandbox.run("sed -i s/helo/hello/ /workspace/hello.py; rm blob")
        assert b'-    return "helo"\n+    return "hello"\n' in sandbox.patch()


@pytest.mark.docker
def test_image_without_a_shell_is_named_with_the_mend(spec: SandboxSpec, engine: Engine, tmp_path: Path) -> None:
    tag = f"ostro-test/empty:{secrets.token_hex(4)}"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/readme").write_text("x")
    import_tree(engine, tmp_path / "empty", tag)
    try:
        with pytest.raises(SandboxError, match="cannot run `sh`") as caught:
            DockerSandbox(replace(spec, image=tag), engine).open()
        assert caught.value.kind == "image"
        assert volumes_of(spec.run_id) == []
    finally:
        engine.remove_image(tag)


# An engine that is reached over TCP.


@pytest.mark.docker
def test_engine_over_tcp_serves_as_well(spec: SandboxSpec) -> None:
    proxy = EngineProxy(str(find_socket(os.environ)))
    engine = Engine.connect({"DOCKER_HOST": proxy.address})
    with DockerSandbox(spec, engine).open() as sandbox:
        assert sandbox.run("cat hello.py").exit_code == 0
        sandbox.write("blob", b"x" * 5_000_000)
        assert len(sandbox.read("blob")) == 5_000_000
        assert sandbox.run("head -c 20000000 /dev/zero").output.total_bytes == 20_000_000
        assert b"blob" in sandbox.patch()
    engine.close()
    proxy.close()
