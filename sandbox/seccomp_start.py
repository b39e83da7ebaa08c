"""A program, not a module: install a system call filter and become another program.

    python -I -S seccomp_start.py DESCRIPTOR COMMAND...

The filter (sandbox/seccomp.py) is read from the descriptor. For util-linux, whose tools take no filter before 2.41;
bubblewrap installs it by itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_SECCOMP = 22  # linux/prctl.h
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
INSTRUCTION_BYTES = 8
MOST_BYTES = 4096 * INSTRUCTION_BYTES  # BPF_MAXINSNS


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]  # as ctypes wants it


def install(instructions: bytes) -> None:
    """Put this process and all its children under the filter, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(instructions) // INSTRUCTION_BYTES, instructions)
    libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    filtered = (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program), 0, 0)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, None, 0, 0), filtered):
        if libc.prctl(*arguments) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"the system call filter cannot be installed: {os.strerror(code)}")


def main(descriptor: int, command: list[str]) -> None:
    """Never returns."""
    instructions = os.read(descriptor, MOST_BYTES)
    os.close(descriptor)
    install(instructions)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and so would every command
    os.execvp(command[0], command)  # noqa: S606  # the point of this program


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), sys.argv[2:])
    except OSError as error:
        sys.exit(str(error))
