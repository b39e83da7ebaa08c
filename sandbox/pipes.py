"""A `Channel` over the pipes of a child process, for the embedded backend."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from ostro.sandbox.protocol import SandboxError

PIPE_BYTES = 1024 * 1024
"""Size of the output pipe, where the kernel allows it (fs.pipe-max-size): fewer turns for a flood."""

SEND_S = 60.0
DIAGNOSTIC_BYTES = 4096


class PipeChannel:
    """Stdin and stdout of a process that was started with three pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._process = process
        self._into = process.stdin.fileno()
        self._out = process.stdout.fileno()
        self._said = process.stderr.fileno()
        for descriptor in (self._into, self._out, self._said):
            os.set_blocking(descriptor, False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._out, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._reader = select.poll()
        self._reader.register(self._out, select.POLLIN)
        self._writer = select.poll()
        self._writer.register(self._into, select.POLLOUT)
        self._closed = False

    def send(self, data: bytes) -> None:
        """See `Channel.send`."""
        if self._closed:
            raise SandboxError("The sandbox's channel is closed.", kind="transport")
        left = memoryview(data)
        deadline = time.monotonic() + SEND_S
        while left:
            if not self._writer.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise SandboxError(f"The sandbox took no input for {SEND_S:.0f} s.", kind="transport")
            try:
                left = left[os.write(self._into, left) :]
            except BlockingIOError:
                continue
            except OSError as broken:
                raise SandboxError(f"The sandbox's first process is gone: {broken}", kind="transport") from broken

    def receive(self, timeout_s: float) -> bytes | None:
        """See `Channel.receive`."""
        if self._closed:
            return b""
        if not self._reader.poll(timeout_s * 1000):
            return None
        try:
            return os.read(self._out, PIPE_BYTES)
        except BlockingIOError:
            return None

    def diagnostics(self) -> str:
        """See `Channel.diagnostics`."""
        if self._closed:
            return ""
        said = b""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._said, DIAGNOSTIC_BYTES):
                said = (said + piece)[-DIAGNOSTIC_BYTES:]
        return said.decode("utf-8", "replace")

    def close(self) -> None:
        """See `Channel.close`."""
        if self._closed:
            return
        self._closed = True
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def start_process(
    argv: list[str], environment: dict[str, str], cwd: Path, *, mend: str, pass_fds: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start the first process of a sandbox with three pipes and `pass_fds`, in a session of its own.

    Raises:
        SandboxError: `unavailable`, the program cannot be run.
    """
    try:
        return _starter().submit(_start, argv, environment, cwd, pass_fds).result()
    except OSError as failed:
        raise SandboxError(f"{argv[0]} could not be started: {failed}", kind="unavailable", mend=mend) from failed


@cache
def _starter() -> ThreadPoolExecutor:
    """Return a thread that lives as long as the program: `bwrap --die-with-parent` means the thread that started it."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="ostro-start")


def _start(
    argv: list[str], environment: dict[str, str], cwd: Path, pass_fds: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    """Start `argv` with default signals: what `nohup` or a shell's `&` ignores would stay ignored in every command."""
    ignored = [
        name for name in ("HUP", "INT", "QUIT") if signal.getsignal(signal.Signals[f"SIG{name}"]) is signal.SIG_IGN
    ]
    defaults = ["env", f"--default-signal={','.join(ignored)}"] if ignored else []
    return subprocess.Popen(
        [*defaults, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=cwd,
        start_new_session=True,
        pass_fds=pass_fds,
    )


def end_process(process: subprocess.Popen[bytes] | None) -> None:
    """Kill a process that `start_process` made and wait for it; the kernel ends what lives in its namespaces."""
    if process is None:
        return
    first = first_process(process)
    for pid in (first, process.pid) if process.poll() is None else ():
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def first_process(process: subprocess.Popen[bytes] | None) -> int | None:
    """Return the host's id of the process that is PID 1 inside: the child of bwrap or unshare. None when gone."""
    if process is None or process.poll() is not None:
        return None
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None
