"""Run git on the host so that nothing a repository holds can start a program.

The only place of Ostro that starts a git process outside a sandbox. A repository's configuration, attributes and
hooks can name programs that git runs at the most harmless commands (252 of 1,000 combinations of 25 vectors and 40
commands do so with plain git, 59 with every `-c` flag that exists). So the rooms above follow two rules:

- In a repository that somebody else wrote, only commands that never start a program: rev-parse, symbolic-ref,
  config, for-each-ref, update-ref (with the hooks path switched off).
- Everything else runs in a git directory made here (`pristine_git_dir`) that borrows the objects of the other one.

git_guard.py checks both before each process; the linter lets no other module start one.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ostro.sandbox.git_guard import check_place
from ostro.sandbox.protocol import RepositoryError, SandboxError

GIT_TIMEOUT_S = 300.0

_NOTHING = os.devnull

_SETTINGS = (
    f"core.hooksPath={_NOTHING}",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.pager=cat",
    "core.editor=false",
    f"core.attributesFile={_NOTHING}",
    "core.alternateRefsCommand=true",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.quotePath=true",
    "diff.external=",
    "commit.gpgSign=false",
    "gpg.program=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "protocol.ext.allow=never",
    "safe.bareRepository=explicit",
    # The owner check guards against what a foreign configuration starts; nothing is started here.
    "safe.directory=*",
)
"""Settings that win over every configuration file; each switches off something that starts a program."""

_CLOSED = (
    "core.sshCommand=false",
    "core.askPass=false",
    "credential.helper=",
    f"core.excludesFile={_NOTHING}",
)
"""Switched off as well where the user's own configuration is not wanted."""

_PASSED_ON = ("PATH", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH")

_USERS_OWN = (
    "HOME",
    "USER",
    "LOGNAME",
    "EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "DISPLAY",
    "DBUS_SESSION_BUS_ADDRESS",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "ALL_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "GIT_ASKPASS",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
)
_USERS_OWN_PREFIXES = ("SSH_", "XDG_", "GIT_SSL_", "SSL_CERT_", "KRB5")
"""What reaching a remote with the user's own credentials may need: an allow-list, so that no API key is in it."""

_FIXED = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "GIT_EDITOR": "false",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "LC_ALL": "C",
    "LANGUAGE": "C",
}


@dataclass(frozen=True)
class GitResult:
    """What one git process left behind."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def line(self) -> str:
        """The output as one line of text."""
        return os.fsdecode(self.stdout).strip("\n")

    @property
    def complaint(self) -> str:
        """The first line in which git says what is wrong, without its prefix."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines or [f"exit code {self.code}"]
        return told[0].removeprefix("fatal: ").removeprefix("error: ")


def run_git(
    args: Sequence[str | Path],
    *,
    git_dir: Path | None = None,
    work_tree: Path | None = None,
    cwd: Path | None = None,
    settings: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    users_own: bool = False,
    own_clone: bool = False,
    timeout_s: float = GIT_TIMEOUT_S,
) -> GitResult:
    """Run one git command with everything off that could start another program; never raises for its exit code.

    Args:
        args: the verb and its arguments.
        git_dir: explicit git directory; without it git looks upward from `cwd`.
        work_tree: explicit work tree.
        cwd: where to run; defaults to the git directory.
        settings: further `key=value` settings, which win over the fixed ones.
        env: further variables.
        stdin: bytes for standard input; nothing otherwise.
        users_own: read the user's configuration and pass on what reaching a remote with their credentials needs.
        own_clone: it runs in a clone that Ostro made and only the user writes, so its configuration is trusted.
        timeout_s: seconds after which the command is ended.

    Raises:
        SandboxError: git is not installed (`unavailable`).
        RepositoryError: the time limit ended the command, or it could start a program (git_guard.py).
    """
    if not own_clone:
        check_place(args, git_dir=git_dir, cwd=cwd)
    flags = _SETTINGS if users_own else _SETTINGS + _CLOSED
    command = ["git", "--no-pager"]
    for setting in (*flags, *settings):
        command += ["-c", setting]
    if git_dir is not None:
        command.append(f"--git-dir={git_dir}")
    if work_tree is not None:
        command.append(f"--work-tree={work_tree}")
    command += [str(arg) for arg in args]
    try:
        done = subprocess.run(
            command,
            cwd=cwd or git_dir,
            env=_environment(users_own) | dict(env or {}),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            check=False,
            timeout=timeout_s,
            process_group=0,  # Ctrl-C is meant for us, who end it when it should
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        place = cwd or git_dir
        if place is not None and not place.is_dir():
            raise RepositoryError(f"{place} is gone, or no folder") from error
        raise SandboxError(
            "git is not installed", kind="unavailable", mend="Install it, for example: apt-get install git"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise RepositoryError(
            f"git {args[0]} did not end within {timeout_s:.0f} seconds", mend="Try the same command by hand."
        ) from error
    return GitResult(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))


def must(result: GitResult, *, doing: str, mend: str = "") -> GitResult:
    """Return `result` when git succeeded.

    Raises:
        SandboxError: there was no room on the disk (`disk_full`).
        RepositoryError: anything else, in git's own words.
    """
    if result.code == 0:
        return result
    if "No space left on device" in result.stderr:
        raise SandboxError(f"{doing}: no space left on the disk", kind="disk_full", mend="Free some space.")
    raise RepositoryError(f"{doing}: {result.complaint}", mend=mend)


def pristine_git_dir(into: Path, *, borrow: Path | None = None, head: str, object_format: str = "sha1") -> Path:
    """Make an empty bare git directory by hand: no hooks, no remotes, no template, nothing of anybody's.

    Args:
        into: the folder to make.
        borrow: an objects folder whose objects it can read (`objects/info/alternates`).
        head: content of HEAD: a commit id, or `ref: refs/heads/...`.
        object_format: sha1 or sha256.
    """
    (into / "objects" / "info").mkdir(parents=True)
    (into / "objects" / "pack").mkdir()
    (into / "refs" / "heads").mkdir(parents=True)
    (into / "HEAD").write_text(f"{head}\n", encoding="ascii")
    config = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
    if object_format != "sha1":
        config = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n"
        config += f"[extensions]\n\tobjectformat = {object_format}\n"
    (into / "config").write_text(config, encoding="ascii")
    if borrow is not None:
        (into / "objects" / "info" / "alternates").write_bytes(c_quoted(os.fsencode(borrow)) + b"\n")
    return into


def c_quoted(path: bytes) -> bytes:
    """Quote a path as git's own files do, so that any byte but NUL can stand in it."""
    escaped = b"".join(
        b"\\%03o" % byte if byte < 0x20 or byte > 0x7E else b"\\" + bytes([byte]) if byte in b'"\\' else bytes([byte])
        for byte in path
    )
    return b'"' + escaped + b'"'


def _environment(users_own: bool) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if users_own:
        passed |= {name: value for name, value in os.environ.items() if _is_users_own(name)}
        passed.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
    else:
        passed |= {"HOME": _NOTHING, "XDG_CONFIG_HOME": _NOTHING}
        passed |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": _NOTHING, "GIT_CONFIG_SYSTEM": _NOTHING}
        passed["GIT_ALLOW_PROTOCOL"] = "file"
    return passed | _FIXED


def _is_users_own(name: str) -> bool:
    return name.upper() in _USERS_OWN or name.startswith(_USERS_OWN_PREFIXES)
