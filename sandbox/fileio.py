"""Read and write files inside a sandbox: the commands, and what their exit codes mean as builtin exceptions."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable

from ostro.sandbox.protocol import Completed, SandboxError
from ostro.sandbox.shell import Request

FILE_S = 120.0
PROBE_S = 20.0

_ABSENT, _FOLDER, _SPECIAL, _DENIED, _FULL, _OTHER = 41, 42, 43, 44, 45, 46

# `-e` is false for a file in a folder that cannot be entered, too; the folder tells the two apart.
_READ = """p={path}
[ -d "$p" ] && exit {folder}
if [ ! -e "$p" ]; then d=${{p%/*}}; [ -d "${{d:-/}}" ] && [ ! -x "${{d:-/}}" ] && exit {denied}; exit {absent}; fi
[ -f "$p" ] || exit {special}
[ -r "$p" ] || exit {denied}
exec head -c {limit} -- "$p" 2>/dev/null"""

_WRITE = """p={path}
d=${{p%/*}}
[ -d "$p" ] && exit {folder}
[ -e "$p" ] && [ ! -f "$p" ] && exit {special}
[ -e "$p" ] && [ ! -w "$p" ] && exit {denied}
if [ ! -d "${{d:-/}}" ]; then
mkdir -p -- "$d" || {{ [ -e "$d" ] && exit {other}; exit {denied}; }}
fi
[ -e "$p" ] || [ -w "${{d:-/}}" ] || exit {denied}
o={state}/before k=new
[ -e "$p" ] && {{ k=; cat <"$p" >|"$o" 2>/dev/null && k=kept; }}
cat >|"$p" && {{ [ "$k" = new ] || exec rm -f "$o"; exit 0; }}
case $k in kept) cat <"$o" >|"$p" ;; new) rm -f -- "$p" ;; esac
rm -f "$o"
exit {full}"""

Run = Callable[[Request], Completed]


def has(run: Run, program: str) -> bool:
    """Whether `program` is on the session's PATH inside."""
    done = run(Request(f"command -v -- {shlex.quote(program)} >/dev/null 2>&1", PROBE_S, keep_state=False))
    return done.exit_code == 0


def read(run: Run, workdir: str, path: str, max_bytes: int) -> bytes:
    """Return a file's content, see `Sandbox.read` for the exceptions."""
    full = _absolute(workdir, path)
    text = _READ.format(
        path=shlex.quote(full), folder=_FOLDER, denied=_DENIED, absent=_ABSENT, special=_SPECIAL, limit=max_bytes + 1
    )
    done = run(_internal(text, max_bytes=max_bytes + 1))
    if done.exit_code:
        raise _error(done, full)
    if done.output.total_bytes > max_bytes:
        raise ValueError(f"{full} is larger than {max_bytes} bytes")
    return done.output.head


def write(run: Run, workdir: str, state_dir: str, path: str, data: bytes) -> None:
    """Write a file through its existing inode, so that its mode and its links stay; see `Sandbox.write`.

    What was there comes back where the disk is full, but for a file that is too large for the private folder.
    """
    full = _absolute(workdir, path)
    text = _WRITE.format(
        path=shlex.quote(full),
        state=shlex.quote(state_dir),
        folder=_FOLDER,
        special=_SPECIAL,
        denied=_DENIED,
        other=_OTHER,
        full=_FULL,
    )
    done = run(_internal(text, stdin=data))
    if done.exit_code:
        raise _error(done, full)


def _internal(text: str, *, stdin: bytes | None = None, max_bytes: int = 4096) -> Request:
    return Request(
        text, FILE_S, stdin=stdin, head_bytes=max_bytes, tail_bytes=0, keep_state=False, load_state=False, cwd="/"
    )


def _absolute(workdir: str, path: str) -> str:
    if not path:
        raise SandboxError("An empty path names no file.", kind="usage")
    return path if path.startswith("/") else f"{workdir}/{path}"


def _error(done: Completed, path: str) -> Exception:
    """Return the builtin exception for an exit code of ours."""
    code = done.exit_code
    if code == _SPECIAL:
        return ValueError(f"{path} is not a regular file")
    numbers = {_ABSENT: errno.ENOENT, _FOLDER: errno.EISDIR, _DENIED: errno.EACCES, _OTHER: errno.ENOTDIR}
    said = done.output.text().strip()
    if code == _FULL:
        number = errno.ENOSPC if "space" in said or "quota" in said.lower() else errno.EIO
    else:
        number = numbers.get(code, errno.EIO)
    return OSError(number, os.strerror(number) if number != errno.EIO else said or f"exit code {code}", path)
