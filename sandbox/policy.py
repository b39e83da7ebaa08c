"""What a patch may hold. The agent may have been talked into anything, so its patch is judged before it is committed.

(sandbox) -> check_patch -> branch.write_branch. A patch that could only have been forged is refused as a whole; what a
run has no business to change (continuous integration, hooks, submodules, links out of the repository) is stripped, the
rest of the work is kept; what a person should look at is flagged. The same rules hold whatever made the patch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from ostro.sandbox.binary_patch import unpacked_bytes
from ostro.sandbox.host_git import NO_BLOB, Base, Blob, Change, PatchedTree, patched
from ostro.sandbox.protocol import MAX_PATCH_BYTES, RepositoryError
from ostro.sandbox.secret_formats import secrets_in

Action = Literal["refused", "stripped", "flagged"]

Rule = Literal[
    "size",
    "path",
    "mode",
    "apply",
    "submodule",
    "symlink",
    "git-attributes",
    "hook",
    "ci",
    "large-file",
    "binary",
    "autorun",
    "secret",
    "many-files",
]

MAX_FILE_BYTES = 5 * 1024 * 1024
MAX_UNPACKED_BYTES = 256 * 1024 * 1024
MANY_FILES = 200
BINARY_PROBE_BYTES = 8000  # git's own, xdiff-interface.c

_MODES = frozenset({b"100644", b"100755", b"120000", b"160000"})
_MODE_LINE = re.compile(rb"^(?:old mode|new mode|new file mode|deleted file mode) ([0-9]+)$", re.MULTILINE)
_INDEX_MODE_LINE = re.compile(rb"^index [0-9a-f]+\.\.[0-9a-f]+ ([0-9]+)$", re.MULTILINE)

_CI = re.compile(
    r"\.github/(workflows|actions)/.*|\.github/(dependabot\.ya?ml|codeowners)|codeowners|docs/codeowners"
    r"|\.gitlab-ci\.ya?ml|\.gitlab/.*|\.circleci/.*|\.travis\.ya?ml|\.?appveyor\.ya?ml|\.cirrus\.(ya?ml|star)"
    r"|azure-pipelines.*\.ya?ml|\.azure-pipelines/.*|(.*/)?jenkinsfile|\.drone\.(ya?ml|star|jsonnet)|\.buildkite/.*"
    r"|bitbucket-pipelines\.ya?ml|\.woodpecker(/.*|\.ya?ml)|\.semaphore/.*|\.teamcity/.*|\.forgejo/.*|\.gitea/.*"
    r"|\.harness/.*|buildspec\.ya?ml|cloudbuild\.ya?ml|\.builds/.*|\.build\.ya?ml",
    re.IGNORECASE,
)
_HOOKS = re.compile(
    r"(.*/)?(\.husky|\.githooks|\.git-hooks|githooks)/.*|\.pre-commit-config\.ya?ml|\.?lefthook(-local)?\.ya?ml"
    r"|\.overcommit\.yml|(.*/)?hooks/(pre|post|commit|prepare|update|applypatch|fsmonitor|sendemail|push|reference)-?[a-z-]*",
    re.IGNORECASE,
)
_AUTORUN = re.compile(
    r"(.*/)?(\.vscode/(tasks|settings|launch)\.json|\.devcontainer/.*|\.devcontainer\.json|\.envrc|\.mcp\.json"
    r"|\.claude/.*|\.cursor/.*|\.idea/.*|agents\.md|claude\.md|\.npmrc|\.yarnrc(\.yml)?|pip\.conf)",
    re.IGNORECASE,
)
_REFUSED_BY_GIT = ("invalid path", "beyond a symbolic link", "affected file")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_DOT_GIT = re.compile(r"(\.git|git~[0-9]+)[ .]*", re.IGNORECASE)
_IGNORED_BY_HFS = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


@dataclass(frozen=True)
class PatchPolicy:
    """What is allowed. The defaults are those of every run.

    Attributes:
        allow_ci: keep changes of continuous integration, hooks and submodules.
        max_patch_bytes: a larger patch is refused.
        max_file_bytes: a larger new or changed file is stripped.
    """

    allow_ci: bool = False
    max_patch_bytes: int = MAX_PATCH_BYTES
    max_file_bytes: int = MAX_FILE_BYTES


@dataclass(frozen=True)
class Finding:
    """One thing about a patch that the rules speak of.

    Attributes:
        path: the file, escaped for printing; "" for the patch as a whole.
        reason: for a person, one line.
    """

    path: str
    rule: Rule
    action: Action
    reason: str


@dataclass(frozen=True)
class PolicyReport:
    """What became of a patch.

    Attributes:
        patch: the bytes to go on with; b"" when it was refused or nothing is left.
        files: what `patch` changes, sorted.
    """

    patch: bytes
    findings: tuple[Finding, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the patch as a whole was refused."""
        return any(finding.action == "refused" for finding in self.findings)

    def notices(self) -> tuple[str, ...]:
        """Return one line for each finding, for the summary."""
        return tuple(f"{finding.action}: {finding.path or 'the patch'}: {finding.reason}" for finding in self.findings)


def check_patch(base: Base, patch: bytes, policy: PatchPolicy | None = None) -> PolicyReport:
    """Judge a patch against the base; never raises for what a patch holds.

    Returns:
        The accepted patch, made anew by git, and the findings.

    Raises:
        SandboxError: git is missing or the disk is full.
    """
    policy = policy or PatchPolicy()
    if not patch.strip():
        return PolicyReport(b"")
    forged = _forged(patch, policy)
    if forged is not None:
        return PolicyReport(b"", (forged,))
    try:
        with patched(base, patch) as tree:
            return _judged(tree, policy)
    except RepositoryError as error:
        refused_path = any(sign in str(error) for sign in _REFUSED_BY_GIT)
        return PolicyReport(b"", (Finding("", "path" if refused_path else "apply", "refused", str(error)),))


def _forged(patch: bytes, policy: PatchPolicy) -> Finding | None:
    if len(patch) > policy.max_patch_bytes:
        limit = policy.max_patch_bytes // 1024
        return Finding("", "size", "refused", f"it has {len(patch)} bytes, the limit is {limit} KiB")
    modes = [*_MODE_LINE.findall(patch), *_INDEX_MODE_LINE.findall(patch)]
    odd = next((mode for mode in modes if mode not in _MODES), None)
    if odd is not None:
        return Finding("", "mode", "refused", f"file mode {odd.decode('ascii')} is none that git keeps")
    unpacked = unpacked_bytes(patch)
    if unpacked > MAX_UNPACKED_BYTES:
        limit = MAX_UNPACKED_BYTES // 1024**2
        return Finding("", "size", "refused", f"its binary parts unpack to more than {limit} MiB")
    return None


def _judged(tree: PatchedTree, policy: PatchPolicy) -> PolicyReport:
    changes = tree.changes()
    blobs = tree.blobs((oid for change in changes for oid in change.blobs), max_bytes=policy.max_file_bytes)
    found = {change: tuple(_findings(change, blobs, policy)) for change in changes}
    findings = [finding for about in found.values() for finding in about]
    if len(changes) > MANY_FILES:
        findings.append(Finding("", "many-files", "flagged", f"it changes {len(changes)} files"))
    if any(finding.action == "refused" for finding in findings):
        return PolicyReport(b"", tuple(findings))
    stripped = [change for change, about in found.items() if any(finding.action == "stripped" for finding in about)]
    if stripped:
        tree.restore(stripped)
        changes = tree.changes()
    # Made anew even so: what stands between the sections of a forged patch must not be kept.
    return PolicyReport(tree.patch(), tuple(findings), tuple(sorted(change.name for change in changes)))


def _findings(change: Change, blobs: Mapping[str, Blob], policy: PatchPolicy) -> Iterator[Finding]:
    forbidden = _forbidden_path(change)
    if forbidden:
        yield Finding(change.name, "path", "refused", forbidden)
        return
    old, new = blobs.get(change.old_blob, NO_BLOB), blobs.get(change.new_blob, NO_BLOB)
    yield from _structure(change, old, new)
    yield from _executed_elsewhere(change, policy)
    if change.new_mode in ("100644", "100755"):
        yield from _content(change, old, new, policy)


def _forbidden_path(change: Change) -> str:
    if _CONTROL.search(change.path) and change.status != "D":
        return "its name holds a control character"
    parts = PurePosixPath(change.name).parts
    if change.path.startswith(b"/") or ".." in parts or "" in change.name.split("/"):
        return "its path leads out of the repository"
    names = [_IGNORED_BY_HFS.sub("", name) for part in parts for name in part.split("\\")]
    if any(_DOT_GIT.fullmatch(name.partition(":")[0]) for name in names):
        return "it lies in a .git folder, or in what some file systems take for one"
    return ""


def _structure(change: Change, old: Blob, new: Blob) -> Iterator[Finding]:
    if "160000" in (change.old_mode, change.new_mode) or change.name.casefold() == ".gitmodules":
        yield Finding(change.name, "submodule", "stripped", "a run does not add, change or remove submodules")
    elif change.new_mode == "120000":
        reason = _bad_link(change, new.data)
        if reason:
            yield Finding(change.name, "symlink", "stripped", reason)
    elif PurePosixPath(change.name).name.casefold() == ".gitattributes":
        added = _filter_lines(new.data) - _filter_lines(old.data)
        if added:
            yield Finding(change.name, "git-attributes", "stripped", "it binds files to a filter program")


def _bad_link(change: Change, target: bytes) -> str:
    if target.startswith((b"/", b"\\")) or target[1:3] in (b":\\", b":/"):
        return "the symbolic link has an absolute target"
    depth = change.path.count(b"/")
    for part in target.replace(b"\\", b"/").split(b"/"):
        if part == b"..":
            depth -= 1
        elif part not in (b"", b"."):
            depth += 1
        if depth < 0:
            return "the symbolic link leads out of the repository"
        if part.lower() == b".git":
            return "the symbolic link leads into .git"
    return ""


def _filter_lines(data: bytes) -> set[bytes]:
    return {line.strip() for line in data.splitlines() if re.search(rb"\sfilter=", line)}


def _executed_elsewhere(change: Change, policy: PatchPolicy) -> Iterator[Finding]:
    """Judge by name what a server or a developer's machine runs without being asked."""
    action: Action = "flagged" if policy.allow_ci else "stripped"
    verdict = "which was allowed" if policy.allow_ci else "which was not allowed"
    # A link or a file in the place of the folder would do as well, so the folder's own name counts.
    names = (change.name, f"{change.name}/x", f"{change.name}/workflows/x")
    if any(_CI.fullmatch(name) for name in names):
        yield Finding(change.name, "ci", action, f"it changes continuous integration, {verdict}")
    if any(_HOOKS.fullmatch(name) for name in names):
        yield Finding(change.name, "hook", action, f"it changes hooks of git, {verdict}")
    if _AUTORUN.fullmatch(change.name):
        yield Finding(change.name, "autorun", "flagged", "editors, agents or package managers act on it by themselves")


def _content(change: Change, old: Blob, new: Blob, policy: PatchPolicy) -> Iterator[Finding]:
    if new.size > policy.max_file_bytes:
        if old.size <= policy.max_file_bytes:
            limit = policy.max_file_bytes // 1024
            yield Finding(change.name, "large-file", "stripped", f"it has {new.size} bytes, the limit is {limit} KiB")
        return
    if b"\0" in new.data[:BINARY_PROBE_BYTES]:
        yield Finding(change.name, "binary", "flagged", f"it is binary, {new.size} bytes")
    secrets = sorted(set(secrets_in(new.data)) - set(secrets_in(old.data)))
    if secrets:
        yield Finding(change.name, "secret", "flagged", f"it looks like it holds a secret ({', '.join(secrets)})")
