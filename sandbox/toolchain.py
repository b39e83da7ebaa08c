"""Where the host's interpreters and compilers lie, for the embedded sandbox: it sees /usr, but no version manager.

Used by sandbox/environment.py. Only the tool chain's own folder is shown, never the home that it may lie in.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ostro.sandbox.detect import Language

_ASK_TIMEOUT_S = 10.0
_VISIBLE = (Path("/usr"), Path("/bin"), Path("/lib"))
"""What the embedded sandbox shows anyway (sandbox/jail.py)."""


@dataclass(frozen=True)
class Toolchain:
    """What to show and where its programs are.

    Attributes:
        folders: to be shown read-only at the same path.
        path: folders for PATH, before the system's.
        python: interpreter that virtual environments are made with.
        identity: names the version, for cache keys.
    """

    folders: tuple[Path, ...] = ()
    path: tuple[str, ...] = ()
    python: str = "python3"
    identity: str = ""


def host_toolchain(language: Language) -> Toolchain:
    """Find the tool chain of this host for `language`; an empty one where there is none."""
    if language == "python":
        return _python()
    if language == "javascript":
        return _prefix_of("node")
    if language == "go":
        return _prefix_of("go")
    if language == "rust":
        return _rust()
    return Toolchain()


def _python() -> Toolchain:
    """The interpreter that runs us: it is there, it is new enough, and it has the venv module."""
    prefix = Path(sys.base_prefix).resolve()
    program = prefix / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Toolchain(_unseen(prefix), python=str(program), identity=f"{program} {sys.version}")


def _prefix_of(program: str) -> Toolchain:
    found = shutil.which(program)
    if found is None:
        return Toolchain()
    binary = Path(found).resolve()
    # npm's launcher is a link into lib/node_modules of the same prefix; Debian's node is seen already.
    prefix = binary.parent.parent
    if not _unseen(prefix):
        return Toolchain(identity=str(binary))
    return Toolchain((prefix,), (str(binary.parent),), identity=f"{binary} {binary.stat().st_mtime_ns}")


def _rust() -> Toolchain:
    """The tool chain itself, not rustup's launchers: those want a home that they can write."""
    if shutil.which("rustc") is None:
        return Toolchain()
    try:
        done = subprocess.run(
            ["rustc", "--print", "sysroot"], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return Toolchain()
    root = Path(done.stdout.strip() or "/usr")
    return Toolchain(_unseen(root), (str(root / "bin"),), identity=str(root))


def _unseen(folder: Path) -> tuple[Path, ...]:
    """`folder`, unless it is seen anyway or holds more than a tool chain."""
    if folder == Path("/") or any(folder.is_relative_to(seen) for seen in _VISIBLE) or Path.home() == folder:
        return ()
    return (folder,)
