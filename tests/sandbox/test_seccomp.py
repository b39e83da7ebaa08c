"""The system call filter: what the program decides, checked by running it, and that real programs work under it."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.seccomp import (
    ALLOW,
    DENIED,
    DENIED_AFTER_SETUP,
    DENIED_AS_MISSING,
    FAIL,
    KILL_PROCESS,
    MACHINES,
    X32_BIT,
    filter_program,
)
from tests.worlds import Open, missing

EPERM, ENOSYS, EAFNOSUPPORT = FAIL | errno.EPERM, FAIL | errno.ENOSYS, FAIL | errno.EAFNOSUPPORT
FILTERED = ("bubblewrap", "unshare")


def decide(program: bytes, arch: int, number: int, arguments: Sequence[int] = ()) -> int:
    """Run the filter as the kernel would, on one call."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, arch, 0, *(value & (2**64 - 1) for value in padded))
    steps = list(struct.iter_unpack("<HBBI", program))
    at, loaded = 0, 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            loaded = struct.unpack_from("<I", data, value)[0]
            continue
        taken = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
        at += yes if taken else no


def program_of(machine: str, *, during_setup: bool = False) -> bytes:
    program = filter_program(machine, during_setup=during_setup)
    assert program is not None
    return program


def numbers_of(machine: str, *tables: object) -> dict[str, int]:
    column = MACHINES[machine].column
    found: dict[str, int] = {}
    for table in tables:
        assert hasattr(table, "items")
        found |= {name: pair[column] for name, pair in table.items() if pair[column] is not None}
    return found


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_filter_when_a_denied_call_comes_then_its_error(machine: str) -> None:
    program, arch = program_of(machine), MACHINES[machine].audit_arch
    for name, number in numbers_of(machine, DENIED, DENIED_AFTER_SETUP).items():
        assert decide(program, arch, number) == EPERM, name
    for name, number in numbers_of(machine, DENIED_AS_MISSING).items():
        assert decide(program, arch, number) == ENOSYS, name


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_filter_when_made_for_setup_then_only_what_builds_a_sandbox_passes(machine: str) -> None:
    whole, setup = program_of(machine), program_of(machine, during_setup=True)
    arch = MACHINES[machine].audit_arch
    differ = {n for n in range(1000) if decide(whole, arch, n) != decide(setup, arch, n)}
    assert differ == set(numbers_of(machine, DENIED_AFTER_SETUP).values())


@given(st.sampled_from(sorted(MACHINES)), st.integers(0, X32_BIT - 1), st.integers(0, 2**64 - 1))
def test_filter_when_the_call_is_not_on_a_list_then_it_passes(machine: str, number: int, argument: int) -> None:
    about = MACHINES[machine]
    listed = numbers_of(machine, DENIED, DENIED_AFTER_SETUP, DENIED_AS_MISSING).values()
    if number in listed or number in {about.clone, about.ioctl, about.socket, about.socketpair}:
        return
    assert decide(program_of(machine), about.audit_arch, number, [argument] * 6) == ALLOW


@given(st.sampled_from(sorted(MACHINES)), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_filter_when_the_architecture_is_another_then_killed(machine: str, arch: int, number: int) -> None:
    if arch != MACHINES[machine].audit_arch:
        assert decide(program_of(machine), arch, number) == KILL_PROCESS


def test_filter_when_the_call_is_of_x32_then_killed() -> None:
    program, arch = program_of("x86_64"), MACHINES["x86_64"].audit_arch
    assert decide(program, arch, X32_BIT) == KILL_PROCESS
    assert decide(program, arch, X32_BIT | 165) == KILL_PROCESS


@pytest.mark.parametrize("machine", sorted(MACHINES))
@pytest.mark.parametrize(
    ("call", "arguments", "verdict"),
    [
        ("ioctl", [0, 0x5412], EPERM),
        ("ioctl", [0, 0x541C], EPERM),
        ("ioctl", [0, 0xDEAD_0000_0000 | 0x5412], EPERM),  # the kernel looks at the lower half alone
        ("ioctl", [0, 0x5413], ALLOW),
        ("clone", [0x1000_0000], EPERM),
        ("clone", [0x0002_0000 | 17], EPERM),
        ("clone", [0x4000_0000], EPERM),
        ("clone", [0x003D_0F00], ALLOW),  # a thread of the C library
        ("clone", [0x0120_0011], ALLOW),  # fork
        ("socket", [1, 1, 0], ALLOW),
        ("socket", [2, 1, 6], ALLOW),
        ("socket", [10, 2, 0], ALLOW),
        ("socket", [16, 3, 0], ALLOW),
        ("socket", [16, 3, 15], EAFNOSUPPORT),
        ("socket", [17, 3, 0], EAFNOSUPPORT),
        ("socket", [38, 5, 0], EAFNOSUPPORT),
        ("socket", [40, 1, 0], EAFNOSUPPORT),
        ("socketpair", [1, 1, 0], ALLOW),
        ("socketpair", [30, 1, 0], EAFNOSUPPORT),
    ],
)
def test_filter_when_arguments_decide_then_by_them(machine: str, call: str, arguments: list[int], verdict: int) -> None:
    about = MACHINES[machine]
    assert decide(program_of(machine), about.audit_arch, getattr(about, call), arguments) == verdict


def test_filter_when_the_processor_is_unknown_then_none() -> None:
    assert filter_program("riscv64") is None


PROGRAMS = {
    "threads": "import threading; t = threading.Thread(target=print, args=('worked',)); t.start(); t.join()",
    "multiprocessing": (
        "import multiprocessing as m; p = m.Pool(2); print('worked' if p.map(abs, [-1, 2]) == [1, 2] else 'no'); "
        "p.close(); p.join()"
    ),
    "spawned": "import subprocess; print(subprocess.run(['echo', 'worked'], capture_output=True, text=True).stdout)",
    "asyncio": "import asyncio; asyncio.run(asyncio.create_subprocess_exec('echo', 'worked'))",
    "interfaces": "import socket; print('worked' if socket.if_nameindex() else 'no')",
    "loopback": (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "c = socket.create_connection(s.getsockname()); print('worked')"
    ),
    "names": "import socket; socket.getaddrinfo('localhost', 80); print('worked')",
    "sqlite": "import sqlite3; print('worked' if sqlite3.connect('/tmp/x.db').execute('select 1').fetchall() else '')",
    "mmap": "import mmap; m = mmap.mmap(-1, 4096); m[:6] = b'worked'; print(m[:6].decode())",
    "pty": "import pty; pty.spawn(['echo', 'worked'])",
}


@pytest.mark.parametrize("name", FILTERED)
def test_programs_when_run_under_the_filter_work(name: str, open_kind: Open) -> None:
    if reason := missing(name):
        pytest.skip(reason)
    with open_kind(name) as box:
        assert "seccomp filter" in box.description
        for what, program in PROGRAMS.items():
            done = box.run(f'python3 -c "{program}"')
            assert "worked" in done.output.text(), (what, done.output.text())
        tools(box)


def tools(box: AttachedSandbox) -> None:
    """What agents start most, as far as the machine has it."""
    commands = {
        "git": "git commit -q --allow-empty -m x && git gc -q && git worktree add -q /tmp/w && git -C /tmp/w log -1",
        "node": "node -e \"new (require('worker_threads').Worker)('process.exit(0)', {eval: true})\"",
        "make": "printf 'all: a b\\na b:; @echo $@\\n' >/tmp/Makefile; make -j 4 -f /tmp/Makefile",
        "gcc": "echo 'int main(){return 0;}' >/tmp/a.c; gcc -o /tmp/a /tmp/a.c && /tmp/a",
        "strace": "strace -f -o /tmp/trace true && grep -q exit_group /tmp/trace",
        "gdb": "gdb -q -batch -ex run --args true 2>&1 | grep -q 'exited normally'",
    }
    for program, command in commands.items():
        if box.has(program):
            done = box.run(command, timeout_s=60)
            assert done.exit_code == 0, (program, done.output.text())
