"""Row X08 of the fault matrix, the kernel's doors: calls that lead to them are refused, one by one and for real."""

from __future__ import annotations

import errno
import json
import platform

import pytest

from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.seccomp import DENIED, DENIED_AFTER_SETUP, DENIED_AS_MISSING, MACHINES

OUR_FILTER = {"bubblewrap", "unshare"}
HARMLESS = {"name_to_handle_at", "get_mempolicy", "kcmp", "process_vm_readv", "process_vm_writev"}
"""What an engine may let its containers do; our own filter does not."""

RAW = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    done = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(one) for one in arguments])
    return 0 if done >= 0 else ctypes.get_errno()
print(json.dumps([call(*one) for one in json.loads(sys.argv[1])]))
"""


@pytest.fixture
def python(kind: str, sandbox: AttachedSandbox) -> AttachedSandbox:
    """A sandbox that isolates and has Python inside."""
    if kind == "none":
        pytest.skip("nothing is isolated there")
    if not sandbox.has("python3"):
        pytest.skip("no python3 inside to make the calls with")
    if platform.machine() not in MACHINES:
        pytest.skip(f"no numbers of calls for {platform.machine()}")
    return sandbox


def errors_of(box: AttachedSandbox, calls: list[list[int]]) -> list[int]:
    """Make the calls inside and return the error number of each, 0 for one that passed."""
    box.write("/tmp/raw.py", RAW.encode())
    done = box.run(f"python3 /tmp/raw.py '{json.dumps(calls)}'")
    assert done.exit_code == 0, done.output.text()
    return list(json.loads(done.output.text()))


def numbers(table: dict[str, tuple[int | None, int | None]]) -> dict[str, int]:
    column = MACHINES[platform.machine()].column
    return {name: number for name, pair in table.items() if (number := pair[column]) is not None}


def test_x08_denied_calls_when_made_fail(python: AttachedSandbox, kind: str) -> None:
    denied = numbers({**DENIED, **DENIED_AFTER_SETUP})
    if kind == "unshare":
        del denied["unshare"]  # with no flag it does nothing, and may
    # All arguments 0: where a call came through, the kernel would mostly complain of those instead.
    for (name, number), error in zip(denied.items(), errors_of(python, [[n] for n in denied.values()]), strict=True):
        if kind in OUR_FILTER and (name in DENIED or kind == "bubblewrap"):
            assert error == errno.EPERM, (name, number)
        elif name not in HARMLESS:
            assert error != 0, (name, number)


def test_x08_calls_that_have_a_fallback_when_made_look_missing(python: AttachedSandbox, kind: str) -> None:
    if kind not in OUR_FILTER:
        pytest.skip("the engine's own profile decides")
    missing = numbers(dict(DENIED_AS_MISSING))
    errors = errors_of(python, [[number] for number in missing.values()])
    assert dict(zip(missing, errors, strict=True)) == dict.fromkeys(missing, errno.ENOSYS)


NEW_USER, NEW_NET, NEW_MOUNT = 0x1000_0000, 0x4000_0000, 0x0002_0000


@pytest.mark.parametrize("flags", [NEW_USER, NEW_NET | NEW_USER, NEW_MOUNT | NEW_USER, 0x7E02_0000])
def test_x08_namespaces_when_asked_for_are_refused(python: AttachedSandbox, kind: str, flags: int) -> None:
    about = MACHINES[platform.machine()]
    unshare = numbers(dict(DENIED_AFTER_SETUP))["unshare"]
    refusals = {errno.EPERM} if kind != "unshare" else {errno.EPERM, errno.ENOSPC}  # the cap on namespaces
    cloned, unshared = errors_of(python, [[about.clone, flags | 17, 0, 0, 0, 0], [unshare, flags]])
    assert cloned == errno.EPERM
    assert unshared in refusals


def test_x08_exotic_sockets_when_opened_are_refused(python: AttachedSandbox, kind: str) -> None:
    about = MACHINES[platform.machine()]
    families = {"AF_PACKET": 17, "AF_ALG": 38, "AF_VSOCK": 40, "AF_TIPC": 30, "AF_XDP": 44, "AF_BLUETOOTH": 31}
    errors = errors_of(python, [[about.socket, family, 3, 0] for family in families.values()])
    if kind in OUR_FILTER:
        assert errors == [errno.EAFNOSUPPORT] * len(families)
        assert errors_of(python, [[about.socket, 16, 3, 15]]) == [errno.EAFNOSUPPORT]  # uevents of the kernel
    else:
        assert errors[0] in {errno.EPERM, errno.EAFNOSUPPORT}


def test_x08_terminal_when_words_are_put_into_it_refuses(python: AttachedSandbox, kind: str) -> None:
    if kind not in OUR_FILTER:
        pytest.skip("the engine gives no terminal")
    about = MACHINES[platform.machine()]
    assert errors_of(python, [[about.ioctl, 0, request, 0] for request in (0x5412, 0x541C)]) == [errno.EPERM] * 2


def test_x08_calls_of_another_architecture_when_made_end_the_program(python: AttachedSandbox, kind: str) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("it has one way of calling")
    x32_getpid = 0x4000_0000 | 39
    done = python.run(f'python3 -c \'import ctypes; print("came", "back", ctypes.CDLL(None).syscall({x32_getpid}))\'')
    if kind in OUR_FILTER:
        assert done.exit_code == 128 + 31  # SIGSYS
        assert "came back" not in done.output.text()
    else:
        assert "came back -1" in done.output.text()
    assert python.run("echo alive").output.text() == "alive\n"
