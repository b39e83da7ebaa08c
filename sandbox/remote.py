"""Fetch from a forge and push to it over HTTPS; the token is only in the environment of the git process.

forge/publish -> fetch -> (commit) -> push. The token is a header that git reads from GIT_CONFIG_* variables: it is in
no argument, URL, file or log. All of it works in a bare git directory that Ostro made, so no hook and no configuration
of anybody's takes part; redirects are not followed, so the header goes to one host only.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ostro.sandbox.git_process import GitResult, must, pristine_git_dir, run_git
from ostro.sandbox.protocol import RepositoryError

TRANSFER_TIMEOUT_S = 1800.0
SHOWN_CHARS = 500
REJECTED = (
    "The remote refuses this branch: let its rules and hooks allow it, rename a branch that stands in its way, or "
    "check what the token may write."
)

_NETWORK = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
            "GIT_SSL_CAINFO", "GIT_SSL_CAPATH")  # fmt: skip
"""Variables on how the network is reached; proxies also in small letters, as curl reads them."""


@dataclass(frozen=True)
class Remote:
    """A repository on a forge.

    Attributes:
        url: https; http on loopback only.
        token: "" for a public repository that is only read.
        user: the name that the forge wants beside the token.
    """

    url: str
    token: str = field(default="", repr=False)
    user: str = "x-access-token"


def remote_heads(remote: Remote, git_dir: Path, pattern: str) -> dict[str, str]:
    """Return name -> commit of the branches that fit a pattern of `git ls-remote`.

    Raises:
        RepositoryError: the remote refuses or cannot be reached.
    """
    told = _git(remote, git_dir, ["ls-remote", "--heads", "--", remote.url, f"refs/heads/{pattern}"])
    lines = must(told, doing=f"{remote.url} cannot be read", mend=_mend(told)).line.splitlines()
    pairs = (line.split("\t", 1) for line in lines)
    return {name.removeprefix("refs/heads/"): commit for commit, name in pairs}


def fetch_commits(remote: Remote, git_dir: Path, wanted: Sequence[str], *, depth: int) -> None:
    """Bring branches and commits with `depth` commits of history.

    Args:
        remote: where they are.
        git_dir: bare, made by `pristine_git_dir`.
        wanted: branches, which become branches of `git_dir`, or full commit ids.
        depth: how many commits of history.

    Raises:
        RepositoryError: one is not there, or the remote cannot be reached.
    """
    specs = [name if _is_commit(name) else f"+refs/heads/{name}:refs/heads/{name}" for name in wanted]
    told = _git(
        remote,
        git_dir,
        ["fetch", "--quiet", "--no-tags", f"--depth={depth}", "--update-head-ok", "--", remote.url, *specs],
    )
    must(told, doing=f"{remote.url} cannot be fetched", mend=_mend(told))


def push_commit(remote: Remote, git_dir: Path, commit: str, branch: str, *, expected: str | None) -> bool:
    """Let a branch of the remote name `commit`, if it still names what was seen.

    Args:
        remote: where to.
        git_dir: holds the commit.
        commit: full hex id.
        branch: short name.
        expected: what the branch names now; None when there is none.

    Returns:
        False when somebody was quicker and the branch names another commit by now.

    Raises:
        RepositoryError: the remote refuses or cannot be reached.
    """
    lease = f"--force-with-lease=refs/heads/{branch}:{expected or ''}"
    told = _git(
        remote,
        git_dir,
        ["push", "--porcelain", "--no-verify", lease, "--", remote.url, f"{commit}:refs/heads/{branch}"],
    )
    if told.code == 0:
        return True
    in_the_way = "cannot create" in told.stderr  # a branch `a` where `a/b` is to be made: nobody was quicker
    if not in_the_way and ("stale info" in told.stderr + os.fsdecode(told.stdout) or "cannot lock ref" in told.stderr):
        return remote_heads(remote, git_dir, branch).get(branch) == commit
    if remote_heads(remote, git_dir, branch).get(branch) == commit:  # done, but the answer was lost
        return True
    rejected = [line.rpartition("\t")[2] for line in os.fsdecode(told.stdout).splitlines() if line[:1] == "!"]
    reason = "; ".join([*(rejected or [told.complaint]), *_remote_lines(told)])[:SHOWN_CHARS]
    raise RepositoryError(
        f"{remote.url}: the branch {branch} cannot be pushed: {reason}", mend=REJECTED if rejected else _mend(told)
    )


def _remote_lines(told: GitResult) -> list[str]:
    """Return what the remote itself says: which rule refuses, and where to read on."""
    lines = (line.removeprefix("remote:").strip() for line in told.stderr.splitlines() if line.startswith("remote:"))
    return [line for line in lines if line]


def _git(remote: Remote, git_dir: Path, arguments: Sequence[str]) -> GitResult:
    return run_git(
        arguments,
        git_dir=git_dir,
        env=_environment(remote),
        settings=("protocol.version=2", "http.followRedirects=false"),
        own_clone=True,
        timeout_s=TRANSFER_TIMEOUT_S,
    )


def _environment(remote: Remote) -> dict[str, str]:
    parts = urlsplit(remote.url)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not (parts.scheme == "https" or local) or parts.username or parts.password or not parts.hostname:
        raise RepositoryError(f"{parts.scheme}://{parts.hostname}: only https is used", mend="Check the server's URL.")
    names = set(_NETWORK) | {name.lower() for name in _NETWORK if name.endswith("PROXY")}
    passed = {name: os.environ[name] for name in names if name in os.environ}
    passed["GIT_ALLOW_PROTOCOL"] = parts.scheme
    if remote.token:
        basic = base64.b64encode(f"{remote.user}:{remote.token}".encode()).decode("ascii")
        passed |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{remote.url}.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }
    return passed


def _is_commit(name: str) -> bool:
    return len(name) in (40, 64) and all(digit in "0123456789abcdef" for digit in name)


def _mend(told: GitResult) -> str:
    if "couldn't find remote ref" in told.stderr:
        return "There is no such branch: push a first commit to an empty repository, then run the job again."
    if "could not read Username" in told.stderr or "Authentication failed" in told.stderr or " 403" in told.stderr:
        return "Check that the token may read and, for a push, write the repository's contents."
    return "Check the network and the server's URL, then run the job again."


def check_out(remote: Remote, folder: Path, branch: str, *, depth: int, commit: str = "") -> str:
    """Make a work tree of a branch, of its newest commit or a given one, and return the commit's id.

    Args:
        remote: where it is.
        folder: to be made; a repository with one branch, no remote and no hook.
        branch: short name.
        depth: how many commits of history.
        commit: full hex id; "" for the newest.

    Raises:
        RepositoryError: it is not there, or the remote cannot be reached.
    """
    git_dir = pristine_git_dir(folder / ".git", head=f"ref: refs/heads/{branch}")
    config = git_dir / "config"
    config.write_text(config.read_text("ascii").replace("bare = true", "bare = false"), encoding="ascii")
    fetch_commits(remote, git_dir, [branch, commit] if commit else [branch], depth=depth)
    if commit:
        told = run_git(["update-ref", f"refs/heads/{branch}", commit], git_dir=git_dir)
        must(told, doing=f"{commit[:12]} is not in {remote.url}")
    told = run_git(["checkout", "--quiet", "--force", branch, "--"], git_dir=git_dir, work_tree=folder, cwd=folder)
    must(told, doing=f"{branch} cannot be checked out")
    return must(run_git(["rev-parse", "HEAD"], git_dir=git_dir), doing=f"{branch} has no commit").line
