"""Row X08 of the fault matrix: secrets, privileges, network and sockets of the host are out of a sandbox's reach."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from ostro.sandbox.attached import AttachedSandbox
from tests.worlds import Open

CANARY = "canary-7f3a9c"


@pytest.fixture
def isolated(kind: str, sandbox: AttachedSandbox) -> AttachedSandbox:
    if kind == "none":
        pytest.skip("nothing is isolated there")
    return sandbox


def test_x08_environment_of_the_host_when_searched_for_is_not_there(
    kind: str, open_kind: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", CANARY)
    with open_kind(kind) as box:
        assert CANARY not in box.run("env; export; set", head_bytes=10**6).output.text()
        if kind != "none":
            found = box.run("cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'", head_bytes=10**6)
            assert CANARY not in found.output.text()


@pytest.mark.parametrize(
    "path",
    ["/etc/shadow", "/root", "/home/*", "/var/run/docker.sock", "/run/docker.sock", "/etc/ssl/private", "/sys/kernel"],
)
def test_x08_private_places_when_looked_at_show_nothing(isolated: AttachedSandbox, kind: str, path: str) -> None:
    if kind == "docker" and path in {"/sys/kernel", "/home/*"}:
        pytest.skip("an image has these of its own")
    assert isolated.run(f"cat {path} {path}/* 2>/dev/null; ls -A {path}/ 2>/dev/null").output.head == b""


def test_x08_files_of_the_host_when_searched_for_are_not_there(isolated: AttachedSandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(CANARY)
    for parent in (tmp_path, *tmp_path.parents[:-2]):
        parent.chmod(0o755)
    assert CANARY not in isolated.run(f"cat {secret}; ls -R /tmp | head -100; cat /proc/1/root{secret}").output.text()


def test_x08_system_folders_when_written_to_refuse(isolated: AttachedSandbox, kind: str) -> None:
    places = ["/", "/usr", "/usr/bin", "/etc", "/bin", "/lib", "/dev", "/proc/sys", "/ostro/base.git"]
    for place in places[:-1] if kind == "docker" else places:  # there it is in a volume of the sandbox's own
        done = isolated.run(f"echo x >{place}/new-file && echo written; mkdir {place}/new-folder && echo made")
        assert "written" not in done.output.text(), place
        assert "made" not in done.output.text(), place


def test_x08_identity_when_looked_at_is_a_plain_user_without_privileges(isolated: AttachedSandbox) -> None:
    status = dict(
        line.split(":", 1) for line in isolated.run("cat /proc/self/status").output.text().splitlines() if ":" in line
    )
    assert int(status["CapEff"], 16) == 0
    assert int(status["CapPrm"], 16) == 0
    assert int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert set(status["Uid"].split()) != {"0"}


@pytest.mark.parametrize(
    "command",
    [
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /usr",
        "umount /proc",
        "chroot / true",
        "hostname changed",
        "mknod /tmp/new-disk b 8 0",
        "kill -9 1; kill -STOP 1; ls /proc/1/fd/0 >/dev/null; nsenter -t 1 -m true",
        "echo x >/proc/sys/kernel/core_pattern",
        "echo 1 >/proc/sys/kernel/printk",
        "echo b >/proc/sysrq-trigger",
        "su -c true </dev/null",
        "dmesg | head -c 10",
    ],
)
def test_x08_privileged_commands_when_tried_fail(isolated: AttachedSandbox, kind: str, command: str) -> None:
    done = isolated.run(command, timeout_s=20)
    assert done.exit_code != 0 or (command.startswith("dmesg") and "ermitted" in done.output.text())
    assert isolated.run("echo alive").output.text() == "alive\n"


def test_x08_user_namespace_when_made_inside_gives_no_mount(isolated: AttachedSandbox) -> None:
    done = isolated.run("unshare -Urm sh -c 'mount -t tmpfs none /usr && echo mounted' 2>&1")
    assert "mounted" not in done.output.text()


def test_x08_network_when_tried_is_not_there(isolated: AttachedSandbox) -> None:
    assert isolated.run("cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '").output.text() in {"lo\n", ""}
    routes = isolated.run("tail -n +2 /proc/net/route").output.text()
    assert routes == ""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        port = listener.getsockname()[1]
        program = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); print('connected')"
        if isolated.has("python3"):
            assert "connected" not in isolated.run(f'python3 -c "{program}"').output.text()


def test_x08_abstract_sockets_of_the_host_when_tried_are_not_there(isolated: AttachedSandbox) -> None:
    if not isolated.has("python3"):
        pytest.skip("no python3 inside")
    name = f"\0ostro-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        program = (
            "import socket; s = socket.socket(socket.AF_UNIX); "
            f"s.connect(chr(0) + 'ostro-test-{os.getpid()}'); print('connected')"
        )
        assert "connected" not in isolated.run(f'python3 -c "{program}"').output.text()


def test_x08_processes_of_the_host_when_listed_are_not_there(isolated: AttachedSandbox) -> None:
    numbers = isolated.run("ls /proc | grep -E '^[0-9]+$' | wc -l").output.text()
    assert int(numbers) < 10
    assert isolated.run(f"kill -0 {os.getpid()} 2>&1").exit_code != 0 or os.getpid() < 10


def test_x08_shared_memory_when_looked_at_is_its_own(isolated: AttachedSandbox) -> None:
    name = f"ostro-{os.getpid()}"
    shared = Path("/dev/shm") / name
    try:
        shared.write_text(CANARY)
        assert CANARY not in isolated.run(f"cat /dev/shm/{name}").output.text()
    finally:
        shared.unlink(missing_ok=True)


def test_x08_terminal_when_pushed_into_is_none(isolated: AttachedSandbox) -> None:
    # TIOCSTI into the user's terminal, as with a sandbox that shares its session.
    assert isolated.run("tty; cat </dev/tty").exit_code != 0


UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)
HARMLESS_DEVICES = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console", "pts", "shm", "mqueue", "fd"}


def test_x08_devices_when_listed_are_the_harmless_ones(isolated: AttachedSandbox) -> None:
    listed = isolated.run("cd /dev && find . -mindepth 1 -maxdepth 1 ! -type l | sed 's|^./||'").output.text()
    assert set(listed.split()) <= HARMLESS_DEVICES
    blocks = isolated.run("find / -xdev -type b 2>/dev/null; find /dev -type b")
    assert blocks.output.text() == ""


def test_x08_sockets_when_searched_for_are_none_of_the_host(isolated: AttachedSandbox) -> None:
    found = isolated.run("find / -path /proc -prune -o -type s -print 2>/dev/null", timeout_s=60)
    assert found.output.text() == ""
    listed = isolated.run("tail -n +2 /proc/net/unix | awk '{print $8}'").output.text().split()
    assert [name for name in listed if "docker" in name or "dbus" in name or "ssh" in name] == []


def test_x08_cloud_metadata_when_asked_for_is_unreachable(isolated: AttachedSandbox) -> None:
    if not isolated.has("python3"):
        pytest.skip("no python3 inside")
    for address in ("169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"):
        program = f"import socket; socket.create_connection((\\'{address}\\', 80), 2); print(\\'connected\\')"
        done = isolated.run(f"python3 -c $'{program}' 2>&1 | tail -n 1", timeout_s=20)
        assert any(f"[Errno {number}]" in done.output.text() for number in UNREACHABLE), done.output.text()


def test_x08_processes_of_others_when_looked_into_are_our_own(isolated: AttachedSandbox) -> None:
    done = isolated.run("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | cut -d= -f1 | sort -u")
    names = set(done.output.text().split())
    assert not {name for name in names if name.endswith(("_KEY", "_TOKEN")) or name in {"SSH_AUTH_SOCK", "SUDO_USER"}}
    assert isolated.run("cat /proc/1/root/etc/shadow /proc/[0-9]*/root/etc/shadow 2>/dev/null").output.head == b""
