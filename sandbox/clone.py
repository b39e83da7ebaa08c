"""Clone a repository given by URL into OSTRO_HOME, with the user's own credentials, on the host.

Called by cli/run before inspect_repository when `--repo` is a URL. Nothing that a remote sends is started: no hooks,
no submodules, no filters of Git LFS; of git's transports only https, ssh and files are allowed (`ext::` runs a shell).
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from ostro.sandbox.branch import slug
from ostro.sandbox.git_process import GitResult, must, run_git
from ostro.sandbox.protocol import RepositoryError
from ostro.sandbox.reaper import reap_scratch
from ostro.sandbox.repository import without_password
from ostro.sandbox.scratch import scratch_folder

CLONE_TIMEOUT_S = 1800.0

_SCHEMES = ("https", "ssh", "file")
_SCP_LIKE = re.compile(r"(?P<user>[A-Za-z0-9_.][\w.-]*)@(?P<host>[A-Za-z0-9][\w.-]*):(?P<path>[^-\s:][^\s]*)")
_ALLOWED = {"GIT_ALLOW_PROTOCOL": "https:ssh:file", "GIT_PROTOCOL_FROM_USER": "0"}
_CLONE_SETTINGS = (
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.ssh.allow=always",
    "protocol.file.allow=always",
    "init.templateDir=",
)

_CAUSES = (
    (("Could not resolve host", "Name or service not known", "Temporary failure in name"), "the host is not known"),
    (
        ("Authentication failed", "could not read Username", "Permission denied", "could not read Password"),
        "access is denied",
    ),
    (
        ("not found", "does not exist", "does not appear to be a git repository", "not a git repository"),
        "there is no such repository, or it is private",
    ),
    (
        ("Connection refused", "Failed to connect", "timed out", "Network is unreachable", "Connection reset"),
        "the host does not answer",
    ),
)
_MENDS = {
    "the host is not known": "Check the URL and the network.",
    "access is denied": "Set up git's credentials for it; git clone of the same URL must work without a question.",
    "there is no such repository, or it is private": "Check the URL, and that git can clone it without a question.",
    "the host does not answer": "Check the network and its proxy, then try again.",
}


def is_repository_url(text: str) -> bool:
    """Whether `--repo` names a remote repository rather than a folder."""
    return "://" in text or "::" in text or _SCP_LIKE.fullmatch(text) is not None


def clone(url: str, home: Path) -> Path:
    """Clone `url` below `home`, or bring the clone that is there up to date.

    Args:
        url: https, ssh, file, `user@host:path`, or a local path.
        home: OSTRO_HOME; the clone is in `clones/<name>-<hash of the URL>`.

    Returns:
        The folder of the clone, its default branch checked out at what the remote has.

    Raises:
        RepositoryError: the URL is not allowed, or the remote refuses or cannot be reached.
        SandboxError: no room on the disk, or git is missing.
    """
    source = _checked(url)
    folder = home / "clones" / _folder_name(source)
    with _locked(folder.with_suffix(".lock")):
        if (folder / ".git").is_dir():
            _update(folder, source)
        else:
            _clone_fresh(source, folder)
    return folder


def _checked(url: str) -> str:
    """Return the URL as git gets it; a local path absolute."""
    shown = without_password(url)
    if any(ord(char) < 0x20 for char in url) or not url.strip() or url.startswith("-"):
        raise RepositoryError(f"{shown!r} is not the URL of a repository", mend="Give an https or ssh URL.")
    if _SCP_LIKE.fullmatch(url):
        return url
    if "://" not in url and "::" not in url:
        return str(Path(url).expanduser().resolve())
    return _checked_parts(url, shown)


def _checked_parts(url: str, shown: str) -> str:
    scheme = url.partition(":")[0].lower()
    if scheme not in _SCHEMES or "::" in url.partition("//")[0]:
        raise RepositoryError(
            f"{shown}: {scheme} is not a transport that Ostro uses", mend="Use https://, ssh:// or git@host:path."
        )
    try:
        parts = urlsplit(url)
        host, password = parts.hostname or "", parts.password
    except ValueError as error:
        raise RepositoryError(f"{shown} is not a valid URL: {error}") from error
    if password is not None:
        raise RepositoryError(
            f"{shown}: the URL holds a password, which would be kept in the clone's configuration",
            mend="Leave it out and let git's credential helper give it.",
        )
    if scheme != "file" and (not host or host.startswith("-")):
        raise RepositoryError(f"{shown} names no host", mend="Give an https or ssh URL.")
    return url


def _folder_name(source: str) -> str:
    last = re.split(r"[/:]", source.removesuffix("/").removesuffix(".git"))[-1]
    return f"{slug(last)}-{hashlib.sha256(source.encode('utf-8', 'surrogateescape')).hexdigest()[:10]}"


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Let one process at a time work on a clone; the lock goes with the process."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise RepositoryError(
            f"{path.parent} cannot be written: {error.strerror}", mend="Set OSTRO_HOME to another folder."
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _clone_fresh(source: str, folder: Path) -> None:
    reap_scratch(folder.parent)  # a clone that was killed may have brought gigabytes
    with scratch_folder("clone", place=folder.parent) as scratch:
        told = run_git(
            [
                "clone",
                "--quiet",
                "--no-recurse-submodules",
                "--no-local",
                "--template=",
                "--",
                source,
                scratch / "clone",
            ],
            cwd=folder.parent,
            settings=_CLONE_SETTINGS,
            env=_ALLOWED,
            users_own=True,
            timeout_s=CLONE_TIMEOUT_S,
        )
        _raise_for(told, source)
        if folder.exists():
            shutil.rmtree(folder)
        (scratch / "clone").rename(folder)


def _update(folder: Path, source: str) -> None:
    told = run_git(
        ["fetch", "--quiet", "--prune", "--no-recurse-submodules", "--", "origin"],
        cwd=folder,
        settings=_CLONE_SETTINGS,
        env=_ALLOWED,
        users_own=True,
        own_clone=True,
        timeout_s=CLONE_TIMEOUT_S,
    )
    _raise_for(told, source)
    mend = f"Commit or discard what was changed there, or remove the folder: rm -r {folder}"
    remote = _default_branch(folder)
    if remote is None:
        return
    doing = f"{folder}: the clone cannot be brought up to date"
    for arguments in (
        ["checkout", "--quiet", remote.removeprefix("origin/")],
        ["merge", "--quiet", "--ff-only", remote],
    ):
        must(run_git(arguments, cwd=folder, own_clone=True), doing=doing, mend=mend)


def _default_branch(folder: Path) -> str | None:
    """Return the remote's default branch as `origin/<name>`; None when it has none, as an empty repository."""
    import git

    # Our own clone, so its configuration is trusted; reading references starts no process.
    with git.Repo(folder) as repo:
        head = next((ref for ref in repo.remotes.origin.refs if ref.remote_head == "HEAD"), None)
        return head.reference.name if head is not None else None


def _raise_for(told: GitResult, source: str) -> None:
    if told.code == 0:
        return
    shown = without_password(source)
    for signs, cause in _CAUSES:
        if any(sign in told.stderr for sign in signs):
            raise RepositoryError(f"{shown} cannot be cloned: {cause}", mend=_MENDS[cause])
    must(told, doing=f"{shown} cannot be cloned")
