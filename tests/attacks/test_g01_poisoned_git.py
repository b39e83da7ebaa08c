"""G01, G02: a poisoned `.git` starts nothing, whatever the host does with the repository.

Each vector names a program that leaves a canary. A command of plain git proves that the trap works (where one does),
then every operation of the host runs and the canary must stay away.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ostro.sandbox.branch import write_branch
from ostro.sandbox.clone import clone
from ostro.sandbox.git_process import run_git
from ostro.sandbox.host_git import changed_files, prepare_base
from ostro.sandbox.policy import check_patch
from ostro.sandbox.protocol import RepositoryError
from ostro.sandbox.repository import inspect_repository

PATCH = b"""diff --git a/a.txt b/a.txt
--- a/a.txt
+++ b/a.txt
@@ -1 +1 @@
-one
+two
"""


def git(cwd: Path, *args: str, check: bool = True) -> str:
    done = subprocess.run(
        ["git", *args], cwd=cwd, check=check, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20
    )
    return done.stdout.strip()


@dataclass
class Trap:
    """A repository and a program that must not run."""

    root: Path
    canary: Path
    program: Path

    def config(self, key: str, value: str) -> None:
        git(self.root, "config", "--add", key, value)

    def attributes(self, line: str) -> None:
        with (self.root / ".git" / "info" / "attributes").open("a") as file:
            file.write(line + "\n")

    def hooks(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in HOOKS:
            (folder / name).write_text(f"#!/bin/sh\nexec '{self.program}'\n")
            (folder / name).chmod(0o755)


HOOKS = (
    "applypatch-msg", "commit-msg", "fsmonitor-watchman", "post-checkout", "post-commit", "post-index-change",
    "post-merge", "post-rewrite", "pre-applypatch", "pre-auto-gc", "pre-commit", "pre-merge-commit", "pre-push",
    "pre-rebase", "pre-receive", "prepare-commit-msg", "push-to-checkout", "reference-transaction", "update",
    "proc-receive", "post-update", "post-receive",
)  # fmt: skip


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trap:
    (tmp_path / "gitconfig").write_text(
        "[user]\n\tname = A\n\temail = a@b.c\n[safe]\n\tdirectory = *\n[protocol]\n\tallow = always\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "a.txt").write_text("one\n")
    (root / "b.txt").write_text("b\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "Base")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho ran >> '{tmp_path}/canary'\n")
    program.chmod(0o755)
    return Trap(root, tmp_path / "canary", program)


def fsmonitor(trap: Trap) -> None:
    trap.config("core.fsmonitor", str(trap.program))


def include(trap: Trap) -> None:
    (trap.root / ".git" / "more").write_text(f"[core]\n\tfsmonitor = {trap.program}\n")
    trap.config("include.path", "more")


def include_if(trap: Trap) -> None:
    (trap.root / ".git" / "more").write_text(f"[core]\n\tfsmonitor = {trap.program}\n")
    trap.config(f"includeIf.gitdir:{trap.root}/.path", "more")


def worktree_config(trap: Trap) -> None:
    trap.config("extensions.worktreeConfig", "true")
    (trap.root / ".git" / "config.worktree").write_text(f"[core]\n\tfsmonitor = {trap.program}\n")


def gitfile(trap: Trap) -> None:
    fsmonitor(trap)
    (trap.root / ".git").rename(trap.root.parent / "elsewhere")
    (trap.root / ".git").write_text(f"gitdir: {trap.root.parent}/elsewhere\n")


def hooks(trap: Trap) -> None:
    trap.hooks(trap.root / ".git" / "hooks")


def hooks_path(trap: Trap) -> None:
    trap.hooks(trap.root / "tools")
    trap.config("core.hooksPath", str(trap.root / "tools"))


def filter_clean(trap: Trap) -> None:
    for side in ("clean", "smudge"):
        trap.config(f"filter.evil.{side}", str(trap.program))
    trap.attributes("* filter=evil")
    os.utime(trap.root / "a.txt", (1, 1))


def filter_process(trap: Trap) -> None:
    trap.config("filter.evil.process", str(trap.program))
    trap.attributes("* filter=evil")
    os.utime(trap.root / "a.txt", (1, 1))


def tracked_filter(trap: Trap) -> None:
    trap.config("filter.evil.clean", str(trap.program))
    (trap.root / ".gitattributes").write_text("*.txt filter=evil diff=evil merge=evil\n")
    trap.config("diff.evil.textconv", str(trap.program))
    os.utime(trap.root / "a.txt", (1, 1))


def textconv(trap: Trap) -> None:
    trap.config("diff.evil.textconv", str(trap.program))
    trap.attributes("* diff=evil")
    (trap.root / "a.txt").write_text("changed\n")


def diff_driver(trap: Trap) -> None:
    trap.config("diff.evil.command", str(trap.program))
    trap.attributes("* diff=evil")
    (trap.root / "a.txt").write_text("changed\n")


def diff_external(trap: Trap) -> None:
    trap.config("diff.external", str(trap.program))
    (trap.root / "a.txt").write_text("changed\n")


def merge_driver(trap: Trap) -> None:
    trap.config("merge.evil.driver", str(trap.program))
    trap.attributes("* merge=evil")
    git(trap.root, "checkout", "-qb", "other")
    (trap.root / "b.txt").write_text("other\n")
    git(trap.root, "commit", "-qam", "Other")
    git(trap.root, "checkout", "-q", "main")
    (trap.root / "b.txt").write_text("main\n")
    git(trap.root, "commit", "-qam", "Main")


def gpg(trap: Trap) -> None:
    trap.config("commit.gpgSign", "true")
    trap.config("gpg.program", str(trap.program))
    trap.config("user.signingKey", "x")


def pager_and_editor(trap: Trap) -> None:
    for key in ("core.pager", "pager.log", "pager.config", "pager.branch", "core.editor", "sequence.editor"):
        trap.config(key, str(trap.program))


def ssh(trap: Trap) -> None:
    trap.config("core.sshCommand", str(trap.program))
    trap.config("remote.origin.url", "ssh://git@host.invalid/x")


def ext(trap: Trap) -> None:
    trap.config("remote.origin.url", f"ext::{trap.program}")
    trap.config("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    trap.config("protocol.ext.allow", "always")


def upload_pack(trap: Trap) -> None:
    trap.config("remote.origin.url", str(trap.root))
    trap.config("remote.origin.uploadpack", str(trap.program))
    trap.config("uploadpack.packObjectsHook", str(trap.program))


def promisor(trap: Trap) -> None:
    upload_pack(trap)
    trap.config("remote.origin.promisor", "true")
    trap.config("extensions.partialClone", "origin")
    blob = git(trap.root, "rev-parse", "HEAD:b.txt")
    (trap.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()


def submodule(trap: Trap) -> None:
    git(trap.root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(trap.root), "sub")
    git(trap.root, "commit", "-qm", "Submodule")
    git(trap.root / "sub", "config", "core.fsmonitor", str(trap.program))


def submodule_update(trap: Trap) -> None:
    git(trap.root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(trap.root), "sub")
    git(trap.root, "commit", "-qm", "Submodule")
    trap.config("submodule.sub.update", f"!{trap.program}")
    git(trap.root / "sub", "commit", "-q", "--allow-empty", "-m", "Ahead")


def credentials(trap: Trap) -> None:
    trap.config("credential.helper", f"!{trap.program}")
    trap.config("core.askPass", str(trap.program))
    trap.config("core.gitProxy", str(trap.program))


def alternate_refs(trap: Trap) -> None:
    (trap.root / ".git" / "objects" / "info" / "alternates").write_text(f"{trap.root}/.git/objects\n")
    trap.config("core.alternateRefsCommand", str(trap.program))


def aliases(trap: Trap) -> None:
    for name in ("status", "rev-parse", "config", "update-ref", "for-each-ref", "x"):
        trap.config(f"alias.{name}", f"!{trap.program}")


def embedded(trap: Trap) -> None:
    inner = trap.root / "vendor" / "x"
    inner.mkdir(parents=True)
    git(inner, "init", "-q")
    (inner / "f").write_text("f\n")
    git(inner, "add", "-A")
    git(inner, "commit", "-qm", "Inner")
    git(trap.root, "-c", "advice.addEmbeddedRepo=false", "add", "-A")
    git(inner, "config", "core.fsmonitor", str(trap.program))


def remote_helper(trap: Trap) -> None:
    trap.config("remote.origin.vcs", "ext")
    trap.config("remote.origin.url", str(trap.program))


VECTORS: dict[Callable[[Trap], None], tuple[str, ...]] = {
    fsmonitor: ("status",),
    include: ("status",),
    include_if: ("status",),
    worktree_config: ("status",),
    gitfile: ("status",),
    hooks: ("commit", "--allow-empty", "-m", "x"),
    hooks_path: ("commit", "--allow-empty", "-m", "x"),
    filter_clean: ("status",),
    filter_process: ("status",),
    tracked_filter: ("diff",),
    textconv: ("diff",),
    diff_driver: ("diff",),
    diff_external: ("diff",),
    merge_driver: ("merge", "other"),
    gpg: ("commit", "--allow-empty", "-m", "x"),
    pager_and_editor: ("commit", "--allow-empty"),
    ssh: ("fetch", "origin"),
    ext: ("fetch", "origin"),
    upload_pack: ("fetch", "origin"),
    promisor: ("cat-file", "-p", "HEAD:b.txt"),
    submodule: ("status",),
    submodule_update: ("submodule", "update"),
    embedded: ("status",),
    aliases: ("x",),
    remote_helper: (),
    credentials: (),
    alternate_refs: (),
}
"""Each vector, and a command of plain git that springs it; none where plain git here does not either."""


def everything_the_host_does(trap: Trap, scratch: Path, *, complete: bool) -> None:
    found = inspect_repository(trap.root)
    if not complete:
        with pytest.raises(RepositoryError, match="cannot be copied"):
            prepare_base(found, scratch / "base.git")
        return
    for number, depth in enumerate((1, 2, None)):
        base = prepare_base(found, scratch / f"base-{number}.git", depth=depth)
        changed_files(base, PATCH)
        check_patch(base, PATCH)
        write_branch(found, base, PATCH, branch="ostro/issue-1", message="Fix")
    clone(trap.root.as_uri(), scratch / "home")
    clone(trap.root.as_uri(), scratch / "home")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.__name__)
def test_g01_host_git_when_the_repository_is_poisoned_then_nothing_is_started(
    trap: Trap, tmp_path: Path, vector: Callable[[Trap], None]
) -> None:
    vector(trap)
    trap.canary.unlink(missing_ok=True)  # building some traps springs them
    everything_the_host_does(trap, tmp_path, complete=vector is not promisor)
    assert not trap.canary.exists()
    if VECTORS[vector]:
        git(trap.root, *VECTORS[vector], check=False)
        assert trap.canary.exists()


OPERATIONS = [
    "status", "status --porcelain", "diff", "diff HEAD", "diff --cached", "diff --stat", "diff-files",
    "diff-index HEAD", "diff-tree -p HEAD", "add -A", "add a.txt", "rm --cached a.txt", "mv a.txt z.txt",
    "commit -m x --allow-empty", "commit -am x --no-verify", "commit --amend -m x", "stash", "stash pop",
    "checkout -- .", "checkout -b fresh", "switch -", "restore .", "reset --hard", "clean -fdn", "merge other",
    "rebase other", "cherry-pick other", "am", "apply --index", "log -p", "show", "blame a.txt", "grep one",
    "ls-files -m", "archive HEAD", "worktree list", "gc", "fsck", "fetch origin", "pull", "push origin HEAD",
    "submodule update", "submodule status", "rev-parse HEAD", "for-each-ref", "config --list", "symbolic-ref HEAD",
    "cat-file -p HEAD:b.txt", "describe --always", "x",
]  # fmt: skip


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.__name__)
def test_g01_run_git_when_the_repository_is_poisoned_then_no_operation_starts_anything(
    trap: Trap, vector: Callable[[Trap], None]
) -> None:
    vector(trap)
    trap.canary.unlink(missing_ok=True)
    sprung: list[str] = []
    for operation in [*OPERATIONS, *OPERATIONS[:10]]:  # some only after what others did
        for git_dir in (None, trap.root / ".git"):
            with contextlib.suppress(RepositoryError):
                work_tree = trap.root if git_dir else None
                run_git(operation.split(), git_dir=git_dir, work_tree=work_tree, cwd=trap.root, stdin=b"", timeout_s=20)
            if trap.canary.exists():
                sprung.append(operation)
                trap.canary.unlink()
    assert sprung == []


def test_g02_inspect_when_the_work_tree_is_elsewhere_then_it_refuses_and_touches_nothing(
    trap: Trap, tmp_path: Path
) -> None:
    other = tmp_path / "precious"
    other.mkdir()
    (other / "a.txt").write_text("precious\n")
    trap.config("core.worktree", str(other))
    with pytest.raises(RepositoryError, match=r"core\.worktree"):
        inspect_repository(trap.root)
    assert (other / "a.txt").read_text() == "precious\n"


def test_g02_inspect_when_a_bare_repository_was_planted_then_nothing_is_started(trap: Trap, tmp_path: Path) -> None:
    planted = trap.root / "docs"
    git(trap.root, "clone", "-q", "--bare", str(trap.root), str(planted))
    trap.hooks(planted / "hooks")
    git(planted, "config", "core.fsmonitor", str(trap.program))
    git(planted, "config", "core.worktree", str(trap.root))
    git(planted, "config", "core.bare", "false")
    trap.canary.unlink(missing_ok=True)
    try:
        found = inspect_repository(planted)
    except RepositoryError:
        found = inspect_repository(trap.root)
    base = prepare_base(found, tmp_path / "base.git")
    write_branch(found, base, PATCH, branch="ostro/issue-1", message="Fix")
    assert not trap.canary.exists()


def test_g02_inspect_when_the_owner_is_somebody_else_then_it_works_and_nothing_is_started(
    trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsmonitor(trap)
    if os.geteuid() == 0:
        for path in [trap.root, *trap.root.rglob("*")]:
            os.chown(path, 12345, 12345, follow_symlinks=False)
    trap.canary.unlink(missing_ok=True)
    everything_the_host_does(trap, tmp_path, complete=True)
    assert not trap.canary.exists()


def test_g04_apply_when_patches_are_judged_and_written_then_the_base_stays_byte_identical(
    trap: Trap, tmp_path: Path
) -> None:
    found = inspect_repository(trap.root)
    base = prepare_base(found, tmp_path / "base.git")
    before = {path: path.read_bytes() for path in base.git_dir.rglob("*") if path.is_file()}

    check_patch(base, PATCH)
    write_branch(found, base, PATCH, branch="ostro/issue-1", message="Fix")

    after = {path: path.read_bytes() for path in base.git_dir.rglob("*") if path.is_file()}
    assert after == before
