"""The system calls that no command of an embedded sandbox may make, as a filter that the kernel runs.

A deny list, made into a classic-BPF program by a pure function (seccomp(2); linux/filter.h, linux/seccomp.h). What is
on it is what Docker's default profile keeps from a container without capabilities, so a program that works in a
container works here. Most of it the kernel would refuse anyway, after a look at the capabilities: the filter keeps
the code behind these calls, where kernel bugs have been ways out, from being entered at all.

Kept on purpose: ptrace, which debuggers and strace need; it reaches only the sandbox's own processes.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

NETLINK_ROUTE = 0
ALLOWED_FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6. AF_NETLINK passes for NETLINK_ROUTE alone: `getifaddrs` needs it."""

AF_NETLINK = 16
TERMINAL_INJECTIONS = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX (asm-generic/ioctls.h): put words into somebody else's terminal."""

NEW_NAMESPACES = 0x7E02_0000
"""The CLONE_NEW* flags of clone(2), linux/sched.h; CLONE_NEWTIME is none of them there."""

CLONE3 = 435
X32_BIT = 0x4000_0000

DENIED: Mapping[str, tuple[int | None, int | None]] = MappingProxyType(
    {
        # keys of the kernel
        "add_key": (248, 217),
        "keyctl": (250, 219),
        "request_key": (249, 218),
        # programs in the kernel, and what watches it
        "bpf": (321, 280),
        "kcmp": (312, 272),
        "lookup_dcookie": (212, 18),
        "perf_event_open": (298, 241),
        "syslog": (103, 116),
        "userfaultfd": (323, 282),
        # modules and other kernels
        "create_module": (174, None),
        "delete_module": (176, 106),
        "finit_module": (313, 273),
        "get_kernel_syms": (177, None),
        "init_module": (175, 105),
        "kexec_file_load": (320, 294),
        "kexec_load": (246, 104),
        "query_module": (178, None),
        "reboot": (169, 142),
        # the clock
        "adjtimex": (159, 171),
        "clock_adjtime": (305, 266),
        "clock_settime": (227, 112),
        "settimeofday": (164, 170),
        # files by handle, quotas, swap, old interfaces
        "_sysctl": (156, None),
        "acct": (163, 89),
        "fanotify_init": (300, 262),
        "name_to_handle_at": (303, 264),
        "nfsservctl": (180, 42),
        "open_by_handle_at": (304, 265),
        "quotactl": (179, 60),
        "quotactl_fd": (443, 443),
        "swapoff": (168, 225),
        "swapon": (167, 224),
        "sysfs": (139, None),
        "uselib": (134, None),
        "ustat": (136, None),
        "vhangup": (153, 58),
        # hardware
        "ioperm": (173, None),
        "iopl": (172, None),
        # where memory lies
        "get_mempolicy": (239, 236),
        "mbind": (237, 235),
        "migrate_pages": (256, 238),
        "move_pages": (279, 239),
        "set_mempolicy": (238, 237),
        "set_mempolicy_home_node": (450, 450),
        # names, roots and namespaces
        "chroot": (161, 51),
        "setdomainname": (171, 162),
        "setns": (308, 268),
    }
)
"""Refused from the start: numbers on x86-64 and arm64 (asm/unistd_64.h, asm-generic/unistd.h); None: it has none."""

DENIED_AS_MISSING: Mapping[str, tuple[int | None, int | None]] = MappingProxyType(
    {
        # The C library and others know what to do on an old kernel, so that is what they are told.
        "clone3": (CLONE3, CLONE3),  # its flags lie in memory, where no filter can read them
        "io_uring_enter": (426, 426),
        "io_uring_register": (427, 427),
        "io_uring_setup": (425, 425),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
    }
)

DENIED_AFTER_SETUP: Mapping[str, tuple[int | None, int | None]] = MappingProxyType(
    {
        "fsconfig": (431, 431),
        "fsmount": (432, 432),
        "fsopen": (430, 430),
        "fspick": (433, 433),
        "mount": (165, 40),
        "mount_setattr": (442, 442),
        "move_mount": (429, 429),
        "open_tree": (428, 428),
        "open_tree_attr": (467, 467),
        "pivot_root": (155, 41),
        "sethostname": (170, 161),
        "umount2": (166, 39),
        "unshare": (272, 97),
    }
)
"""What builds a sandbox, and may not be called in it. util-linux builds under the filter and leaves these out of it:
there no capability and no further user namespace is what refuses them."""


@dataclass(frozen=True)
class Machine:
    """What a filter needs to know of a processor: its AUDIT_ARCH value, which column of numbers, and four calls."""

    audit_arch: int
    column: int
    clone: int
    ioctl: int
    socket: int
    socketpair: int


MACHINES: Mapping[str, Machine] = MappingProxyType(
    {
        "x86_64": Machine(0xC000_003E, 0, clone=56, ioctl=16, socket=41, socketpair=53),
        "aarch64": Machine(0xC000_00B7, 1, clone=220, ioctl=29, socket=198, socketpair=199),
    }
)

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST = 0x35  # BPF_JGE
_ANY_BIT = 0x45  # BPF_JSET
_RETURN = 0x06  # BPF_RET | BPF_K

ALLOW = 0x7FFF_0000
KILL_PROCESS = 0x8000_0000
FAIL = 0x0005_0000  # SECCOMP_RET_ERRNO

_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data


@dataclass(frozen=True)
class _Step:
    """One instruction: `yes` and `no` say how many of the following ones a comparison skips."""

    code: int
    value: int
    yes: int = 0
    no: int = 0

    def packed(self) -> bytes:
        return struct.pack("<HBBI", self.code, self.yes, self.no, self.value)


def filter_program(machine: str, *, during_setup: bool = False) -> bytes | None:
    """Return the filter as an array of `struct sock_filter`, None for a processor that we have no numbers of.

    Args:
        machine: as `platform.machine()` names it.
        during_setup: let pass what builds a sandbox (`DENIED_AFTER_SETUP`).
    """
    about = MACHINES.get(machine)
    if about is None:
        return None
    return b"".join(step.packed() for step in _steps(about, during_setup=during_setup))


def own_filter(*, during_setup: bool = False) -> bytes | None:
    """Return the filter for this machine; see `filter_program`."""
    return filter_program(platform.machine(), during_setup=during_setup)


def _steps(about: Machine, *, during_setup: bool) -> Iterator[_Step]:
    yield _Step(_LOAD, _ARCH)
    yield _Step(_EQUAL, about.audit_arch, yes=1)
    yield _Step(_RETURN, KILL_PROCESS)  # 32-bit calls have other numbers
    yield _Step(_LOAD, _NUMBER)
    if about.column == 0:
        yield _Step(_AT_LEAST, X32_BIT, no=1)
        yield _Step(_RETURN, KILL_PROCESS)
    refused = DENIED if during_setup else {**DENIED, **DENIED_AFTER_SETUP}
    yield from _refuse(_numbers(refused, about.column), errno.EPERM)
    yield from _refuse(_numbers(DENIED_AS_MISSING, about.column), errno.ENOSYS)
    yield from _when((about.ioctl,), _refuse_requests())
    yield from _when((about.clone,), _refuse_namespaces())
    yield from _when((about.socket, about.socketpair), _refuse_families())
    yield _Step(_RETURN, ALLOW)


def _numbers(calls: Mapping[str, tuple[int | None, int | None]], column: int) -> list[int]:
    return sorted(number for numbers in calls.values() if (number := numbers[column]) is not None)


def _refuse(numbers: Iterable[int], code: int) -> Iterator[_Step]:
    for number in numbers:
        yield _Step(_EQUAL, number, no=1)
        yield _Step(_RETURN, FAIL | code)


def _when(numbers: tuple[int, ...], then: list[_Step]) -> Iterator[_Step]:
    """Run `then`, which returns on every way through it, for these calls."""
    for position, number in enumerate(numbers):
        last = position == len(numbers) - 1
        yield _Step(_EQUAL, number, yes=len(numbers) - 1 - position, no=len(then) if last else 0)
    yield from then


def _argument(number: int) -> _Step:
    """Load the lower half of an argument: the kernel takes these as 32 bits too."""
    return _Step(_LOAD, _ARGUMENTS + 8 * number)


def _refuse_requests() -> list[_Step]:
    return [_argument(1), *_refuse(TERMINAL_INJECTIONS, errno.EPERM), _Step(_RETURN, ALLOW)]


def _refuse_namespaces() -> list[_Step]:
    return [
        _argument(0),
        _Step(_ANY_BIT, NEW_NAMESPACES, no=1),
        _Step(_RETURN, FAIL | errno.EPERM),
        _Step(_RETURN, ALLOW),
    ]


def _refuse_families() -> list[_Step]:
    steps = [_argument(0)]
    for family in ALLOWED_FAMILIES:
        steps += [_Step(_EQUAL, family, no=1), _Step(_RETURN, ALLOW)]
    steps += [_Step(_EQUAL, AF_NETLINK, yes=1), _Step(_RETURN, FAIL | errno.EAFNOSUPPORT)]
    steps += [_argument(2), _Step(_EQUAL, NETLINK_ROUTE, yes=1), _Step(_RETURN, FAIL | errno.EAFNOSUPPORT)]
    return [*steps, _Step(_RETURN, ALLOW)]
