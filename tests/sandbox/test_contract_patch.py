"""What every kind of sandbox promises of the patch: all of the work, nothing but the work, whatever the agent did."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.protocol import SandboxError

Apply = Callable[[bytes], Path]


@pytest.fixture
def apply(base: tuple[Path, str], tmp_path: Path) -> Apply:
    """Apply a patch to a clean checkout of the base with the host's git; return the checkout."""

    def apply_patch(patch: bytes) -> Path:
        tree = tmp_path / "applied"
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", "clone", "-q", str(base[0]), str(tree)], env=environment, check=True)
        if patch:
            subprocess.run(["git", "apply", "--index"], cwd=tree, env=environment, input=patch, check=True)
        return tree

    return apply_patch


def test_patch_when_nothing_changed_is_empty(own_sandbox: AttachedSandbox) -> None:
    own_sandbox.run("touch package/code.py; mkdir empty; echo x >a.log; mkdir ignored; echo y >ignored/z")
    assert own_sandbox.patch() == b""


def test_patch_when_everything_changed_holds_it_all(own_sandbox: AttachedSandbox, apply: Apply) -> None:
    done = own_sandbox.run(
        "set -e; echo more >>package/code.py; echo new >new.txt; head -c 5000 /dev/urandom >new.bin; "
        "mv crlf.txt moved.txt; chmod 755 latin.txt; chmod 644 run.sh; rm data.bin; ln -sf /etc/passwd link; "
        "ln -s ../outside new-link; printf 'a\\r\\nb\\r\\n' >new-crlf.txt; printf '\\377\\376' >new-bytes; "
        "mkdir -p deep/er; echo x >deep/er/x; : >empty.txt; printf 'no newline' >end.txt; "
        "echo run >new.sh; chmod +x new.sh"
    )
    assert done.exit_code == 0, done.output.text()
    own_sandbox.write('new\udcff "quoted"\n.txt', b"odd name\n")
    tree = apply(own_sandbox.patch())
    assert (tree / "package" / "code.py").read_text() == "def one():\n    return 1\nmore\n"
    assert (tree / "new.txt").read_text() == "new\n"
    assert (tree / "new.bin").read_bytes() == own_sandbox.read("new.bin")
    assert not (tree / "crlf.txt").exists()
    assert (tree / "moved.txt").read_bytes() == b"one\r\ntwo\r\n"
    assert (tree / "latin.txt").stat().st_mode & 0o100
    assert not (tree / "run.sh").stat().st_mode & 0o100
    assert not (tree / "data.bin").exists()
    assert (tree / "link").readlink() == Path("/etc/passwd")
    assert (tree / "new-link").readlink() == Path("../outside")
    assert (tree / "new-crlf.txt").read_bytes() == b"a\r\nb\r\n"
    assert (tree / "new-bytes").read_bytes() == b"\xff\xfe"
    assert (tree / "deep" / "er" / "x").read_text() == "x\n"
    assert (tree / "empty.txt").read_bytes() == b""
    assert (tree / "end.txt").read_bytes() == b"no newline"
    assert (tree / "new.sh").stat().st_mode & 0o100
    assert (tree / 'new\udcff "quoted"\n.txt').read_bytes() == b"odd name\n"


def test_patch_when_taken_twice_follows_the_workspace(own_sandbox: AttachedSandbox) -> None:
    own_sandbox.run("echo a >new.txt")
    assert b"+a" in own_sandbox.patch()
    own_sandbox.run("echo b >new.txt")
    assert b"+b" in own_sandbox.patch()
    own_sandbox.run("rm new.txt")
    assert own_sandbox.patch() == b""


SABOTAGE = {
    "committed": "git add -A && git commit -qm mine",
    "git deleted": "rm -rf .git",
    "git replaced": "rm -rf .git && git init -q . && git add -A && git commit -qm other",
    "git is a file": "rm -rf .git && echo 'gitdir: /nowhere' >.git",
    "assume unchanged": "git update-index --assume-unchanged package/code.py; git update-index --skip-worktree run.sh",
    "info exclude": "mkdir -p .git/info; echo 'new*' >.git/info/exclude",
    "user configuration": "git config core.excludesFile /tmp/ex; echo 'new*' >/tmp/ex; git config core.fileMode false",
    "own index locked": "touch .git/index.lock",
    "hostile variables": "export GIT_DIR=/nowhere GIT_INDEX_FILE=/nowhere/x GIT_EXTERNAL_DIFF=false PATH=/nowhere",
    "diff configuration": "git config diff.external false; git config diff.noprefix true; git config core.abbrev 4",
    "filters": "git config filter.x.clean false; mkdir -p .git/info; echo '* filter=x' >.git/info/attributes",
}


@pytest.mark.parametrize("how", sorted(SABOTAGE))
def test_patch_when_the_agents_git_is_sabotaged_is_the_same(
    own_sandbox: AttachedSandbox,
    apply: Apply,
    how: str,
) -> None:
    if not own_sandbox.has("git") and "git " in SABOTAGE[how]:
        pytest.skip("no git inside")
    own_sandbox.run("echo more >>package/code.py; echo new >new.txt; chmod 755 latin.txt")
    own_sandbox.run(SABOTAGE[how])
    tree = apply(own_sandbox.patch())
    assert (tree / "package" / "code.py").read_text().endswith("more\n")
    assert (tree / "new.txt").read_text() == "new\n"
    assert (tree / "latin.txt").stat().st_mode & 0o100


def test_patch_when_there_is_a_repository_within_leaves_that_out(own_sandbox: AttachedSandbox) -> None:
    if not own_sandbox.has("git"):
        pytest.skip("no git inside")
    own_sandbox.run("git init -q vendor; echo x >vendor/x; echo new >new.txt")
    patch = own_sandbox.patch()
    assert b"new.txt" in patch
    assert b"vendor" not in patch


def test_patch_when_a_file_cannot_be_read_holds_the_rest(own_sandbox: AttachedSandbox) -> None:
    own_sandbox.run("echo s >secret.txt; chmod 000 secret.txt; mkfifo pipe; echo new >new.txt")
    assert b"new.txt" in own_sandbox.patch()
    own_sandbox.run("chmod 600 secret.txt")


def test_patch_when_a_folder_replaces_a_file_and_back_applies(own_sandbox: AttachedSandbox, apply: Apply) -> None:
    own_sandbox.run("rm crlf.txt; mkdir crlf.txt; echo x >crlf.txt/x; rm -r package; echo file >package")
    tree = apply(own_sandbox.patch())
    assert (tree / "crlf.txt" / "x").read_text() == "x\n"
    assert (tree / "package").read_text() == "file\n"


def test_patch_when_many_files_changed_holds_them_all(own_sandbox: AttachedSandbox) -> None:
    own_sandbox.run("mkdir many; i=0; while [ $i -lt 1500 ]; do echo $i >many/$i; i=$((i+1)); done")
    assert own_sandbox.patch().count(b"diff --git") == 1500


def test_x11_workspace_when_deleted_is_workspace_lost(own_sandbox: AttachedSandbox) -> None:
    own_sandbox.run(f"rm -rf {own_sandbox.workdir} {own_sandbox.workdir}/.[!.]* {own_sandbox.workdir}/*")
    with pytest.raises(SandboxError) as lost:
        own_sandbox.patch()
    assert lost.value.kind == "workspace_lost"


def test_x11_patch_when_too_large_says_so(own_sandbox: AttachedSandbox) -> None:
    own_sandbox.run("head -c 3000000 /dev/urandom >new.bin; echo ok >new.txt")
    with pytest.raises(SandboxError) as large:
        own_sandbox.patch(max_bytes=1_000_000)
    assert large.value.kind == "patch_too_large"
    own_sandbox.run("rm new.bin")
    assert b"new.txt" in own_sandbox.patch(max_bytes=1_000_000)


def test_workspace_when_opened_is_the_base_with_a_usable_repository(own_sandbox: AttachedSandbox) -> None:
    assert own_sandbox.run("cat package/code.py run.sh").output.text().startswith("def one():")
    if own_sandbox.has("git"):
        done = own_sandbox.run(
            "git status --porcelain; git log --oneline | wc -l | tr -d ' '; git fsck 2>&1 | grep -i error"
        )
        assert done.output.text() == "1\n"
        assert own_sandbox.run("echo x >x; git add x; git commit -qm x && git diff --stat HEAD~1").exit_code == 0
