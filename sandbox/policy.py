"""What a patch may hold. The agent may have been talked into anything, so its patch is judged before it is committed.

(sandbox) -> check_patch -> branch.write_branch. A patch that could only have been forged is refused as a whole; what a
run has no business to change (continuous integration, hooks, submodules, links out of the repository) is stripped, the
rest of the work is kept; what a person should look at is reported. policy_rules.py is the table. The same rules hold
whatever made the patch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ostro.sandbox.binary_patch import unpacked_bytes
from ostro.sandbox.host_git import NO_BLOB, Base, Blob, Change, PatchedTree, patched
from ostro.sandbox.policy_content import (
    driver_lines,
    hidden_characters,
    install_scripts,
    is_binary,
    is_small_picture,
    program_in,
)
from ostro.sandbox.policy_links import MAX_TARGET_BYTES, follow
from ostro.sandbox.policy_rules import RULES, Action, Level, RuleName, canonical, rules_for
from ostro.sandbox.protocol import MAX_PATCH_BYTES, RepositoryError
from ostro.sandbox.secret_formats import secrets_in

MAX_FILE_BYTES = 5 * 1024 * 1024
MAX_UNPACKED_BYTES = 256 * 1024 * 1024
MANY_FILES = 200
SHOWN_LINES = 5

_MODES = frozenset({b"100644", b"100755", b"120000", b"160000"})
_MODE_LINE = re.compile(rb"^(?:old mode|new mode|new file mode|deleted file mode) ([0-9]+)$", re.MULTILINE)
_INDEX_MODE_LINE = re.compile(rb"^index [0-9a-f]+\.\.[0-9a-f]+ ([0-9]+)$", re.MULTILINE)
_REFUSED_BY_GIT = ("invalid path", "beyond a symbolic link", "affected file")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_ORDINARY = ("100644", "100755")


def _no_levels() -> dict[RuleName, Level]:
    return {}


def _no_secret(_: bytes) -> bool:
    return False


@dataclass(frozen=True)
class PatchPolicy:
    """What is allowed. The defaults are those of every run; only the user changes them.

    Attributes:
        levels: what happens to what a rule finds, where it is not the rule's default.
        max_patch_bytes: a larger patch is refused.
        max_file_bytes: a larger new or changed file is stripped.
        known_secret: tells whether bytes hold a secret of the user's.
    """

    levels: Mapping[RuleName, Level] = field(default_factory=_no_levels)
    max_patch_bytes: int = MAX_PATCH_BYTES
    max_file_bytes: int = MAX_FILE_BYTES
    known_secret: Callable[[bytes], bool] = _no_secret

    def level(self, name: RuleName) -> Level:
        """Return what happens to what the rule finds."""
        rule = RULES[name]
        return rule.level if rule.fixed else self.levels.get(name, rule.level)


@dataclass(frozen=True)
class Finding:
    """One thing about a patch that the rules speak of.

    Attributes:
        path: the file, escaped for printing; "" for the patch as a whole.
        reason: for a person, one line.
    """

    path: str
    rule: RuleName
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


_Found = tuple[RuleName, str]
"""A rule that was broken, and its reason where the table's is not exact enough ("")."""


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
        return PolicyReport(b"", (Finding("", forged[0], "refused", forged[1]),))
    try:
        with patched(base, patch) as tree:
            return _judged(tree, policy)
    except RepositoryError as error:
        refused_path = any(sign in str(error) for sign in _REFUSED_BY_GIT)
        return PolicyReport(b"", (Finding("", "path" if refused_path else "apply", "refused", str(error)),))


def _forged(patch: bytes, policy: PatchPolicy) -> _Found | None:
    if len(patch) > policy.max_patch_bytes:
        return "size", f"it has {len(patch)} bytes, the limit is {policy.max_patch_bytes // 1024} KiB"
    modes = [*_MODE_LINE.findall(patch), *_INDEX_MODE_LINE.findall(patch)]
    odd = next((mode for mode in modes if mode not in _MODES), None)
    if odd is not None:
        return "mode", f"file mode {odd.decode('ascii')} is none that git keeps"
    if unpacked_bytes(patch) > MAX_UNPACKED_BYTES:
        return "size", f"its binary parts unpack to more than {MAX_UNPACKED_BYTES // 1024**2} MiB"
    return None


def _judged(tree: PatchedTree, policy: PatchPolicy) -> PolicyReport:
    changes = tree.changes()
    blobs = tree.blobs((oid for change in changes for oid in change.blobs), max_bytes=policy.max_file_bytes)
    bad_links = _bad_links(tree, changes)
    found = {change: _findings(change, blobs, bad_links, policy) for change in changes}
    findings = [finding for about in found.values() for finding in about]
    if len(changes) > MANY_FILES:
        findings += _at_level("", [("many-files", f"it changes {len(changes)} files")], policy)
    if any(finding.action == "refused" for finding in findings):
        return PolicyReport(b"", tuple(findings))
    stripped = [change for change, about in found.items() if any(finding.action == "stripped" for finding in about)]
    if stripped:
        tree.restore(stripped)
        changes = tree.changes()
    # Made anew even so: what stands between the sections of a forged patch must not be kept.
    return PolicyReport(tree.patch(), tuple(findings), tuple(sorted(change.name for change in changes)))


def _findings(
    change: Change, blobs: Mapping[str, Blob], bad_links: Mapping[str, str], policy: PatchPolicy
) -> list[Finding]:
    path = canonical(change.name)
    forbidden = _forbidden_path(change, path)
    if forbidden:
        return _at_level(change.name, [("path", forbidden)], policy)
    old, new = blobs.get(change.old_blob, NO_BLOB), blobs.get(change.new_blob, NO_BLOB)
    found: list[_Found] = [(rule.name, "") for rule in rules_for(path)]
    if "160000" in (change.old_mode, change.new_mode):
        found.append(("submodule", ""))
    if change.new_mode == "120000" and path in bad_links:
        found.append(("symlink", bad_links[path]))
    if policy.known_secret(change.path) or (policy.known_secret(new.data) and not policy.known_secret(old.data)):
        found.append(("known-secret", ""))
    if change.new_mode in _ORDINARY:
        found += _content(change, path, old, new, policy.max_file_bytes)
    return _at_level(change.name, found, policy)


def _at_level(path: str, found: Iterable[_Found], policy: PatchPolicy) -> list[Finding]:
    findings: list[Finding] = []
    for name, reason in found:
        action = policy.level(name)
        if action == "stripped" and not path:
            action = "refused"  # what is wrong with the whole cannot be taken out
        if action != "allowed":
            findings.append(Finding(path, name, action, reason or RULES[name].reason))
    return findings


def _forbidden_path(change: Change, path: str) -> str:
    if _CONTROL.search(change.path) and change.status != "D":
        return "its name holds a control character"
    parts = path.split("/")
    if ".." in parts or "." in parts or "" in parts:
        return RULES["path"].reason
    if ".git" in parts:
        return "it lies in a .git folder, or in what some file systems take for one"
    return ""


def _bad_links(tree: PatchedTree, changes: list[Change]) -> dict[str, str]:
    """Return canonical path -> why, of the changed links that lead out, or let another link lead out."""
    changed = {canonical(change.name) for change in changes if change.new_mode == "120000"}
    if not changed:
        return {}
    paths = {canonical(path.decode("utf-8", "backslashreplace")): blob for path, blob in tree.links().items()}
    blobs = tree.blobs(paths.values(), max_bytes=MAX_TARGET_BYTES)
    # A target that is too long to be one is taken for a way out.
    links = {path: (blobs[blob].data or b"/").decode("utf-8", "backslashreplace") for path, blob in paths.items()}
    bad: dict[str, str] = {}
    for link in links:
        walk = follow(link, links)
        if walk.trouble:
            bad |= dict.fromkeys(walk.through & changed, walk.trouble)
    return bad


def _content(change: Change, path: str, old: Blob, new: Blob, max_bytes: int) -> Iterator[_Found]:
    if new.size > max_bytes:
        if old.size <= max_bytes:
            yield "large-file", f"it has {new.size} bytes, the limit is {max_bytes // 1024} KiB"
        return
    program = program_in(new.data)
    if program and program_in(old.data) != program:
        yield "program", f"it is {program}"
    elif is_binary(new.data) and not is_small_picture(new.data):
        yield "binary", f"it is binary, {new.size} bytes"
    if change.new_mode == "100755" != change.old_mode and not new.data.startswith(b"#!"):
        yield "executable-bit", ""
    yield from _text(path, old.data, new.data)


def _text(path: str, old: bytes, new: bytes) -> Iterator[_Found]:
    name = path.rpartition("/")[2]
    if name == ".gitattributes" and driver_lines(new) - driver_lines(old):
        yield "git-attributes", ""
    if name == "package.json" and install_scripts(old, new):
        yield "install-script", ""
    hidden = {} if is_binary(new) else hidden_characters(old, new)
    if hidden:
        lines = ", ".join(map(str, list(hidden)[:SHOWN_LINES])) + (", ..." if len(hidden) > SHOWN_LINES else "")
        yield "hidden-text", f"{sum(hidden.values())} characters that a reader does not see (line {lines})"
    secrets = sorted(set(secrets_in(new)) - set(secrets_in(old)))
    if secrets:
        yield "secret", f"{RULES['secret'].reason} ({', '.join(secrets)})"
