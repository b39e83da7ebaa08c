"""G03: a forged or hijacked patch is refused or stripped with a reason, and nothing of it reaches the host."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from pathlib import Path

import pytest

from ostro.sandbox.branch import write_branch
from ostro.sandbox.host_git import prepare_base
from ostro.sandbox.policy import check_patch
from ostro.sandbox.protocol import RepositoryError
from ostro.sandbox.repository import Repository, inspect_repository


def new_file(path: str, text: str = "x", mode: str = "100644", quoted: bool = False) -> bytes:
    old, new = (f'"a/{path}"', f'"b/{path}"') if quoted else (f"a/{path}", f"b/{path}")
    body = f"--- /dev/null\n+++ {new}\n@@ -0,0 +1 @@\n+{text}\n"
    end = "" if mode == "100644" else "\\ No newline at end of file\n"
    return f"diff --git {old} {new}\nnew file mode {mode}\n{body}{end}".encode()


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = A\n\temail = a@b.c\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    root = tmp_path / "work" / "repo"
    root.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=root, check=True)
    (root / "a.txt").write_text("one\n")
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", "commit", "-qm", "Base"], cwd=root, check=True)
    return inspect_repository(root)


def state(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "objects" not in path.parts
    }


REFUSED = {
    "hook": new_file(".git/hooks/pre-commit"),
    "hook in capitals": new_file(".GIT/hooks/pre-commit"),
    "git configuration": new_file(".git/config"),
    "nested .git": new_file("vendor/.git/config"),
    "short name of NTFS": new_file("git~1/config"),
    "trailing dot of NTFS": new_file(".git./config"),
    "stream of NTFS": new_file(".git::$INDEX_ALLOCATION/config"),
    "ignored by HFS+": new_file(".g\u200cit/config"),
    "upward": new_file("../escape.txt"),
    "upward inside": new_file("src/../../escape.txt"),
    "through a link": new_file("out", "/tmp", "120000") + new_file("out/escape.txt"),
    "setuid": new_file("run.sh", mode="104755"),
    "world writable": new_file("run.sh", mode="100777"),
    "folder mode": new_file("folder", mode="040000"),
    "control character": new_file("a\\033[2Jb", quoted=True),
    "line break": new_file("a\\nb", quoted=True),
}


@pytest.mark.parametrize("name", REFUSED)
def test_g03_patch_when_it_can_only_be_forged_then_it_is_refused(repo: Repository, tmp_path: Path, name: str) -> None:
    base = prepare_base(repo, tmp_path / "base.git")
    before = state(tmp_path)

    report = check_patch(base, REFUSED[name] + new_file("good.txt"))

    assert report.refused
    assert report.patch == b""
    assert report.findings[0].reason
    assert state(tmp_path) == before


def test_g03_patch_when_it_names_an_absolute_path_then_it_lands_inside(repo: Repository, tmp_path: Path) -> None:
    base = prepare_base(repo, tmp_path / "base.git")
    outside = tmp_path / "escape.txt"
    forged = f"rm -rf /\n--- /dev/null\n+++ {outside}\n@@ -0,0 +1 @@\n+x\n".encode()

    report = check_patch(base, forged)

    assert report.files == (str(outside)[1:],)
    assert b"rm -rf" not in report.patch
    assert not outside.exists()


STRIPPED = {
    "submodule": b"diff --git a/sub b/sub\nnew file mode 160000\nindex 0000000..1234567\n--- /dev/null\n+++ b/sub\n"
    b"@@ -0,0 +1 @@\n+Subproject commit " + b"1" * 40 + b"\n",
    "ext url": new_file(".gitmodules", '[submodule "x"] url = ext::sh -c evil'),
    "absolute link": new_file("out", "/etc/passwd", "120000"),
    "escaping link": new_file("out", "../../secret", "120000"),
    "link into .git": new_file("out", ".git/hooks", "120000"),
    "workflow": new_file(".github/workflows/evil.yml"),
    "workflow in capitals": new_file(".GITHUB/workflows/evil.yml"),
    "filter": new_file(".gitattributes", "* filter=evil"),
    "filter below": new_file("src/.gitattributes", "* filter=evil"),
    "short name of .github": new_file("GITHUB~1/workflows/evil.yml"),
    "invisible letter": new_file(".git\u200dhub/workflows/evil.yml"),
    "task of an editor": new_file(".vscode/tasks.json"),
    "configuration of an agent": new_file(".mcp.json"),
    "shared hook": new_file(".husky/post-checkout", mode="100644"),
}


@pytest.mark.parametrize("name", STRIPPED)
def test_g03_patch_when_a_part_is_off_limits_then_it_is_stripped_and_the_rest_committed(
    repo: Repository, tmp_path: Path, name: str
) -> None:
    base = prepare_base(repo, tmp_path / "base.git")

    report = check_patch(base, STRIPPED[name] + new_file("good.txt"))
    branch = write_branch(repo, base, report.patch, branch="ostro/x-1", message="Fix")

    assert [finding.action for finding in report.findings] == ["stripped"]
    assert report.findings[0].reason
    assert branch.files_changed == ("good.txt",)
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", branch.name], cwd=repo.root, check=True, capture_output=True, text=True
    ).stdout
    assert listed == "a.txt\ngood.txt\n"


ODD_MODES = ("setuid", "world writable", "folder mode")


@pytest.mark.parametrize("name", [name for name in REFUSED if name not in ODD_MODES])
def test_g03_write_branch_when_the_policy_was_forgotten_then_git_itself_lets_nothing_out(
    repo: Repository, tmp_path: Path, name: str
) -> None:
    base = prepare_base(repo, tmp_path / "base.git")
    before = state(tmp_path)
    with contextlib.suppress(RepositoryError):
        write_branch(repo, base, REFUSED[name], branch="ostro/x-1", message="Fix")
    changed = {path for path, digest in state(tmp_path).items() if before.get(path) != digest}
    assert all("/refs/heads/ostro/" in path or "/logs/refs/heads/ostro/" in path for path in changed)
