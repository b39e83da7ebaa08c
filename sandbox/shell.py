"""The host's side of the one attached channel to a sandbox: commands go in, output and end records come out.

A backend starts `boot_argv()` as the first process of its isolated world, with stdin and stdout attached as a
`Channel`, and hands the channel to `Shell`. What runs inside is sandbox/supervisor.sh and its companions; the
protocol is described in sandbox/commands.sh.
"""

from __future__ import annotations

import io
import secrets
import shlex
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

from ostro.sandbox.exchange import Exchange, ShellLostError
from ostro.sandbox.output import Capture
from ostro.sandbox.protocol import Channel, Completed, Limits, SandboxError, SandboxSpec
from ostro.sandbox.records import Record, Records

__all__ = ["BASE_GIT", "STATE_DIR", "Request", "Shell", "ShellLostError", "base_environment", "boot_argv"]

STATE_DIR = "/ostro/state"
"""Private folder inside: saved variables, stdin of a command, the index of patch().

A backend mounts a tmpfs there; where it cannot be written the supervisor takes /tmp/.ostro.
"""

BASE_GIT = "/ostro/base.git"
"""Where a backend shows `SandboxSpec.base_git`."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FIXED_ENVIRONMENT = {
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "MANPAGER": "cat",
    "EDITOR": "false",
    "VISUAL": "false",
    "GIT_EDITOR": "false",
    "GIT_SEQUENCE_EDITOR": "false",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_NO_INPUT": "1",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "LANG": "C.UTF-8",
    "CI": "1",
}
"""So that no command waits for a person or paints. Pagers and editors: see tests/attacks, X07."""

PUT_BYTES = 1024 * 1024
SPOOLS = 16
"""Long outputs kept on the host, each of at most `SAVED_BYTES`."""
LONGEST_TEXT = 16 * 1024
"""Longer commands go in as a block: `read` takes one system call a byte."""

# Reads the program by lines with builtins only, then becomes it; bash, where there is one, does it instead of sh.
_READER = (
    'IFS= read -r n; s=; while [ "$n" -gt 0 ]; do IFS= read -r l; s="$s$l\n"; n=$((n - 1)); done; eval "unset n l s;$s"'
)
_BOOT = 'command -v bash >/dev/null 2>&1 && exec bash --norc --noprofile -c "$1" bash; eval "$1"'


def boot_argv() -> list[str]:
    """Return the command of the sandbox's first process (PID 1): `sh` on PATH, replaced by bash where there is one.

    It reads its program from the channel (`Shell.boot` sends it), so no file of ours has to lie in the image.
    """
    return ["sh", "-c", _BOOT, "sh", _READER]


def base_environment(spec: SandboxSpec) -> dict[str, str]:
    """Return the variables of every command: the fixed ones, then `spec.env`. A backend sets them for PID 1.

    PATH, HOME, USER and LOGNAME are in it; a backend may change what suits its image better.
    """
    person = {"PATH": DEFAULT_PATH, "HOME": "/tmp/home", "USER": "ostro", "LOGNAME": "ostro"}  # noqa: S108  # inside
    return {**person, **FIXED_ENVIRONMENT, **spec.env}


@dataclass(frozen=True)
class Request:
    """One command for `Shell.run`, see `Sandbox.run` for the meaning of the fields.

    Attributes:
        load_state: False runs it with the sandbox's first variables instead of the session's.
        stored: the standard input was sent before with `Shell.put`.
        sink: file on the host that takes the whole output, up to `sink_bytes`.
    """

    command: str
    timeout_s: float
    cwd: str | None = None
    stdin: bytes | None = None
    head_bytes: int = 64 * 1024
    tail_bytes: int = 64 * 1024
    keep_state: bool = True
    load_state: bool = True
    stored: bool = False
    sink: Path | None = None
    sink_bytes: int = 0


class Shell:
    """One conversation with the supervisor inside. Holds the session's directory and the slot of its variables.

    Not thread-safe: one command at a time.

    Args:
        channel: attached to a process started as `boot_argv()`.
        workdir: the workspace; the session starts there, and goes back there when its directory is gone.
        panic: kills every process inside but the first, from outside (SIGUSR1 to it).
        watch: looked at while a command runs long; a text ends the command and is the last line of its output.
        grace_s: how long the sandbox lives on after the channel broke.
        spools: folder on the host for long outputs; None keeps head and tail only.
        state_dir: see `STATE_DIR`.
        limits: what `ulimit` is to hold for every process inside; None for nothing.

    Attributes:
        torn: a request was interrupted; the first process has to be started again before the next one.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        workdir: str,
        panic: Callable[[], None],
        watch: Callable[[], str | None] = lambda: None,
        grace_s: float = 0.0,
        spools: Path | None = None,
        state_dir: str = STATE_DIR,
        limits: Limits | None = None,
    ) -> None:
        self.cwd = workdir
        self.state_dir = state_dir
        self.torn = False
        self._channel = channel
        self._workdir = workdir
        self._panic = panic
        self._watch = watch
        self._grace_s = grace_s
        self._spools = spools
        self._limits = limits
        self._outputs = 0
        self._slot = 0
        self._mark = secrets.token_hex(16)
        self._records = Records(self._mark.encode())

    @property
    def variables(self) -> str:
        """Path inside of the file with the session's exported variables."""
        return f"{self.state_dir}/v{self._slot}"

    def boot(self, timeout_s: float) -> None:
        """Send the supervisor's text and wait for its hello.

        Raises:
            SandboxError: `unavailable`, with the channel's diagnostics, when none came in time.
        """
        deadline = time.monotonic() + timeout_s
        heard = b""
        self._channel.send(self._program())
        while (left_s := deadline - time.monotonic()) > 0:
            piece = self._channel.receive(left_s)
            if piece == b"":
                break
            for item in self._records.feed(piece or b""):
                if isinstance(item, Record) and item.kind == "h":
                    self.state_dir = item.rest.decode("utf-8", "surrogateescape")
                    return
                heard += item if isinstance(item, bytes) else b""
        said = (self._channel.diagnostics() + heard[-2000:].decode("utf-8", "replace")).strip()
        raise SandboxError(
            f"The sandbox's shell did not start: {said or 'it said nothing'}",
            kind="unavailable",
            mend="The image needs a POSIX shell with mkdir, cat and dd (busybox will do).",
        )

    def run(self, request: Request) -> Completed:
        """Run one command and wait for its end or its deadline.

        Raises:
            ShellLostError: the channel broke or the sandbox does not answer any more.
            OSError: ENOSPC, the standard input could not be stored.
            SandboxError: `usage`, a NUL byte or a character that is not Unicode in the command.
        """
        step = secrets.token_hex(8)
        text = encode(request.command)
        blob = request.stdin
        if blob is None and not request.stored and len(text) > LONGEST_TEXT:
            blob, text = text, f". {shlex.quote(self.state_dir + '/in')}".encode()
        load = self._slot if request.load_state else "-"
        save = 1 - self._slot if request.keep_state else "-"
        has_input = request.stored or request.stdin is not None
        frame = (b"" if blob is None else b"".join(self._blocks(io.BytesIO(blob)))) + self._lines(
            f"run {step} {load} {save} {int(request.cwd is not None)} {int(has_input)}",
            encode(self.cwd if request.cwd is None else request.cwd),
            text,
        )
        with self._whole():
            ended = self._exchange(step, frame, self._capture(request)).wait(request.timeout_s)
        if ended.output.spool is not None and request.sink is None:
            self._drop_old_outputs(ended.output.spool.parent)
        if ended.saved:
            self._slot = 1 - self._slot
            if request.cwd is None:
                self.cwd = ended.cwd
        return ended.completed(self.cwd)

    def start(self, number: int, command: str, log: str) -> int:
        """Start a background job, its output appended to `log`; return the process id of its leader inside."""
        header = f"start {{step}} {number} {self._slot} - -"
        return self._ask(header, encode(self.cwd), encode(command), before=encode(log) + b"\n")

    def stop(self, leader: int) -> None:
        """End a background job by the process id of its leader, with all that it started."""
        self._ask(f"stop {{step}} {leader}")

    def _ask(self, header: str, *texts: bytes, before: bytes = b"", timeout_s: float = 10.0) -> int:
        """Send a request that is answered at once, return the number in the answer."""
        step = secrets.token_hex(8)
        frame = self._lines(header.format(step=step), *texts, before=before)
        with self._whole():
            return self._exchange(step, frame, Capture()).answer(timeout_s)

    @contextmanager
    def _whole(self) -> Generator[None]:
        """Note when a request was left in the middle: its command goes on, and the channel is out of step."""
        try:
            yield
        except (OSError, SandboxError):
            raise
        except BaseException:
            self.torn = True
            raise

    def _exchange(self, step: str, frame: bytes, capture: Capture) -> Exchange:
        return Exchange(
            self._channel,
            self._records,
            self._mark,
            step,
            frame,
            capture=capture,
            panic=self._panic,
            watch=self._watch,
        )

    def _lines(self, header: str, *texts: bytes, before: bytes = b"") -> bytes:
        """Frame a request: its header with the number of lines of each text, then the texts."""
        counts = "".join(f" {text.count(10) + 1}" for text in texts)
        return f"{self._mark} {header}{counts}\n".encode() + before + b"".join(text + b"\n" for text in texts)

    def put(self, source: BinaryIO, path: str) -> None:
        """Store what `source` holds in a file inside; a `Request` with `stored` then has it as standard input."""
        with self._whole():
            for block in self._blocks(source, path):
                self._channel.send(block)

    def _blocks(self, source: BinaryIO, path: str = "") -> Iterator[bytes]:
        """Frame raw bytes for a file inside, the private file `in` where no path is given."""
        first = True
        while (part := source.read(PUT_BYTES)) or first:
            header = f"{self._mark} put {secrets.token_hex(4)} {len(part)} {int(first)}\n".encode()
            yield header + encode(path) + b"\n" + part
            first = False

    def _capture(self, request: Request) -> Capture:
        if request.sink is not None:
            return Capture(head_bytes=0, tail_bytes=0, spool=request.sink, saved_bytes=request.sink_bytes)
        self._outputs += 1
        spool = self._spools / f"{self._outputs:05d}.out" if self._spools else None
        return Capture(head_bytes=request.head_bytes, tail_bytes=request.tail_bytes, spool=spool)

    @staticmethod
    def _drop_old_outputs(folder: Path) -> None:
        """Keep the last `SPOOLS` long outputs: whoever wants an older one has read it long ago."""
        for old in sorted(folder.glob("*.out"))[:-SPOOLS]:
            old.unlink(missing_ok=True)

    def _program(self) -> bytes:
        """Return the supervisor's text with its assignments in front, as `_READER` wants it."""
        values = {
            "mark": self._mark,
            "dir": self.state_dir,
            "quoted": shlex.quote(self.state_dir),
            "grace": str(int(self._grace_s)),
            "workdir": self._workdir,
            "limits": _ulimits(self._limits) if self._limits else "",
            "loop": _script("commands"),
            "job": _script("job"),
            "scan": _script("scan"),
            "sweep": _script("sweep"),
        }
        text = "".join(f"ostro_{name}={shlex.quote(value)}\n" for name, value in values.items()) + _script("supervisor")
        return f"{text.count(chr(10))}\n{text}".encode()


def encode(text: str) -> bytes:
    """Encode a command or path for the shell.

    Raises:
        SandboxError: `usage`, it holds a NUL byte or a lone surrogate that stands for no byte.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as broken:
        raise SandboxError(f"Not Unicode text: {broken}", kind="usage", mend="Leave out the surrogate.") from broken
    if b"\0" in data:
        raise SandboxError("A command or path cannot hold a NUL byte.", kind="usage", mend="Leave it out.")
    return data


def _ulimits(limits: Limits) -> str:
    """Return the commands that set limits in bash, dash and busybox; those that a shell does not know fail quietly.

    Data, not address space: programs reserve far more than they use (node, Go, the JVM).
    """
    return "\n".join(
        [
            "ulimit -c 0",
            f"ulimit -n {limits.open_files}",
            f"ulimit -u {limits.processes} || ulimit -p {limits.processes}",
            f"ulimit -d {limits.memory_bytes // 1024}",
            f"ulimit -f {limits.workspace_bytes // 1024}",
        ]
    )


def _script(name: str) -> str:
    """Return a script of this package without comments and indentation: it is read byte by byte inside."""
    lines = (files("ostro.sandbox") / f"{name}.sh").read_text("utf-8").splitlines()
    kept = (line.strip() for line in lines)
    return "".join(f"{line}\n" for line in kept if line and not line.startswith("#"))
