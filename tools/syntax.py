"""Check that a file still parses after an edit, and say where it does not.

JSON and TOML are parsed here; programs are parsed by the sandbox's own interpreters (`python`, `bash`, `node`),
whose version is the one that counts, and only where they exist. Nothing of the file is executed.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
import tomllib
from collections.abc import Callable

from ostro.sandbox.protocol import Sandbox

CHECK_TIMEOUT_S = 10.0
MAX_CHECKED_BYTES = 1024 * 1024
MAX_MESSAGE_CHARS = 300

_PYTHON = (
    "import sys\n"
    "try:\n"
    "    compile(sys.stdin.buffer.read(), 'file', 'exec', dont_inherit=True)\n"
    "except SyntaxError as error:\n"
    "    print('line %s: %s' % (error.lineno, error.msg))\n"
    "except ValueError as error:\n"
    "    print(error)\n"
)
# A module or a top-level await in a file that node takes for a script is no mistake of the edit.
_NODE_MODULE = re.compile(r"import statement outside a module|Unexpected token 'export'|import\.meta|await is only")

Check = Callable[[bytes, Sandbox], str]


def syntax_error(path: str, data: bytes, sandbox: Sandbox) -> str:
    """Return where and why `data` does not parse as the language of `path`; "" when it does or cannot be checked.

    Raises:
        SandboxError: the sandbox is gone.
    """
    check = _check_for(path, data)
    if check is None or len(data) > MAX_CHECKED_BYTES or not data.strip():
        return ""
    return check(data, sandbox)[:MAX_MESSAGE_CHARS]


def _check_for(path: str, data: bytes) -> Check | None:
    by_suffix = _CHECKS.get(posixpath.splitext(path)[1].lower())
    if by_suffix is not None or not data.startswith(b"#!"):
        return by_suffix
    interpreter = data.split(b"\n", 1)[0]
    if re.search(rb"python[0-9.]*\b", interpreter):
        return _python
    return _shell if re.search(rb"\b(?:ba|da)?sh\b", interpreter) else None


def _json(data: bytes, sandbox: Sandbox) -> str:
    del sandbox
    try:
        json.loads(data)
    except json.JSONDecodeError as error:
        return f"line {error.lineno}: {error.msg}"
    except (UnicodeDecodeError, RecursionError) as error:
        return str(error)
    return ""


def _toml(data: bytes, sandbox: Sandbox) -> str:
    del sandbox
    try:
        tomllib.loads(data.decode("utf-8").replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        return str(error)
    return ""


def _python(data: bytes, sandbox: Sandbox) -> str:
    program = next((name for name in ("python", "python3") if sandbox.has(name)), None)
    if program is None:
        return ""
    return _output_of(f"{program} -I -S -W ignore -c {shlex.quote(_PYTHON)} 2>/dev/null", data, sandbox)


def _shell(data: bytes, sandbox: Sandbox) -> str:
    program = "bash" if sandbox.has("bash") else "sh"
    output = _output_of(f"{program} -n 2>&1", data, sandbox)
    first = output.split("\n", 1)[0]
    found = re.search(r"line (\d+): (.*)|: (\d+): (.*)", first)
    return f"line {found[1] or found[3]}: {found[2] or found[4]}" if found else first


def _node(data: bytes, sandbox: Sandbox) -> str:
    if not sandbox.has("node"):
        return ""
    output = _output_of("node --check - 2>&1", data, sandbox)
    line = re.search(r"^\[stdin\]:(\d+)", output, re.MULTILINE)
    error = re.search(r"^SyntaxError: .*", output, re.MULTILINE)
    if error is None or _NODE_MODULE.search(output):
        return ""
    return f"line {line[1]}: {error[0]}" if line else error[0]


def _output_of(command: str, data: bytes, sandbox: Sandbox) -> str:
    """Return what `command` prints about `data`; "" when it took too long."""
    done = sandbox.run(command, stdin=data, timeout_s=CHECK_TIMEOUT_S, cwd="/", keep_state=False)
    return "" if done.timed_out else done.output.text().strip()


_CHECKS: dict[str, Check] = {
    ".py": _python,
    ".pyi": _python,
    ".json": _json,
    ".toml": _toml,
    ".sh": _shell,
    ".bash": _shell,
    ".js": _node,
    ".cjs": _node,
}
