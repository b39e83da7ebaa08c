"""The base that enters a sandbox and the branch that leaves one, on real repositories."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.sandbox.branch import branch_name, slug, write_branch
from ostro.sandbox.host_git import changed_files, open_base, prepare_base
from ostro.sandbox.protocol import RepositoryError
from ostro.sandbox.repository import inspect_repository

pytestmark = pytest.mark.usefixtures("ada")


def git(cwd: Path, *args: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, input=stdin)
    return os.fsdecode(done.stdout).strip()


def commit_all(repo: Path, message: str = "Change") -> str:
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "--allow-empty", "-m", message)
    return git(repo, "rev-parse", "HEAD")


def sandbox_patch(repo: Path, scratch: Path) -> bytes:
    """Make the patch as a sandbox makes it: private index, everything added, binary, no renames."""
    env = os.environ | {"GIT_INDEX_FILE": str(scratch / "private-index")}
    subprocess.run(["git", "read-tree", "HEAD"], cwd=repo, env=env, check=True)
    subprocess.run(["git", "add", "-A"], cwd=repo, env=env, check=True)
    command = ["git", "diff", "--cached", "--binary", "--full-index", "--no-ext-diff", "--no-renames", "HEAD"]
    patch = subprocess.run(command, cwd=repo, env=env, check=True, capture_output=True).stdout
    subprocess.run(["git", "write-tree"], cwd=repo, env=env, check=True, capture_output=True)
    return patch


def tree_of(repo: Path, scratch: Path) -> str:
    env = os.environ | {"GIT_INDEX_FILE": str(scratch / "private-index")}
    return subprocess.run(["git", "write-tree"], cwd=repo, env=env, check=True, capture_output=True, text=True).stdout


def fingerprint(root: Path) -> dict[str, str]:
    """Hash every file below `root`, with its mode and time stamp."""
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        about = path.lstat()
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        digest = hashlib.sha256(content).hexdigest()
        when = about.st_mtime_ns if path.is_file() else 0
        found[os.fsdecode(os.fsencode(path.relative_to(root)))] = f"{about.st_mode:o} {when} {digest}"
    return found


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "a.txt").write_text("one\ntwo\nthree\n")
    (root / "sub").mkdir()
    (root / "sub" / "b.txt").write_text("b\n")
    commit_all(root, "First")
    (root / "a.txt").write_text("one\ntwo\nthree\nfour\n")
    commit_all(root, "Second")
    return root


def test_prepare_base_when_history_is_short_then_it_is_whole_and_self_contained(repo: Path, tmp_path: Path) -> None:
    base = prepare_base(inspect_repository(repo), tmp_path / "base.git")

    files = {str(path.relative_to(base.git_dir)) for path in base.git_dir.rglob("*") if path.is_file()}
    packs = {name for name in files if name.startswith("objects/pack/")}
    assert files - packs == {"HEAD", "config", "refs/heads/base"}
    assert {Path(name).suffix for name in packs} == {".pack", ".idx"}
    assert len(packs) == 2
    assert base.commit == git(repo, "rev-parse", "HEAD")
    assert base.tree == git(repo, "rev-parse", "HEAD^{tree}")
    repo.rename(tmp_path / "gone")
    git(base.git_dir, "fsck", "--strict")
    assert git(base.git_dir, "log", "--format=%s", "base") == "Second\nFirst"


def test_prepare_base_when_depth_is_less_than_history_then_older_commits_are_absent(repo: Path, tmp_path: Path) -> None:
    first = git(repo, "rev-parse", "HEAD~1")
    for number in range(3):
        commit_all(repo, f"More {number}")

    base = prepare_base(inspect_repository(repo), tmp_path / "base.git", depth=2)

    assert base.shallow
    assert git(base.git_dir, "log", "--format=%s", "base") == "More 2\nMore 1"
    with pytest.raises(subprocess.CalledProcessError):
        git(base.git_dir, "cat-file", "-e", first)


def test_prepare_base_when_depth_is_one_then_neither_message_nor_parent_is_known(repo: Path, tmp_path: Path) -> None:
    base = prepare_base(inspect_repository(repo), tmp_path / "base.git", depth=1)

    assert base.tree == git(repo, "rev-parse", "HEAD^{tree}")
    assert base.source_commit == git(repo, "rev-parse", "HEAD")
    assert git(base.git_dir, "rev-list", "--all", "--count") == "1"
    held = git(base.git_dir, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")
    commits = [line.split()[0] for line in held.splitlines() if line.endswith(" commit")]
    assert commits == [base.commit]
    again = prepare_base(inspect_repository(repo), tmp_path / "again.git", depth=1)
    assert again.commit == base.commit


def test_prepare_base_when_future_commits_tags_and_stashes_exist_then_none_of_them_is_there(
    repo: Path, tmp_path: Path
) -> None:
    git(repo, "checkout", "-q", "-b", "future")
    (repo / "secret.txt").write_text("the gold patch\n")
    future = commit_all(repo, "The fix")
    git(repo, "tag", "-a", "v9", "-m", "later")
    git(repo, "checkout", "-q", "main")
    (repo / "a.txt").write_text("stashed\n")
    git(repo, "stash")

    base = prepare_base(inspect_repository(repo), tmp_path / "base.git")

    assert git(base.git_dir, "for-each-ref", "--format=%(refname)") == "refs/heads/base"
    with pytest.raises(subprocess.CalledProcessError):
        git(base.git_dir, "cat-file", "-e", future)


@pytest.mark.parametrize("depth", [2, 3, 4, 5, 6, 50])
def test_prepare_base_when_branches_were_merged_then_history_is_cut_as_git_clone_does(
    repo: Path, tmp_path: Path, depth: int
) -> None:
    for number in range(3):
        git(repo, "checkout", "-q", "-b", f"side-{number}", "HEAD~1")
        commit_all(repo, f"Side {number}")
        commit_all(repo, f"Side {number} again")
        git(repo, "checkout", "-q", "main")
        commit_all(repo, f"Main {number}")
        git(repo, "merge", "-q", "--no-edit", f"side-{number}")
    git(tmp_path, "clone", "-q", "--bare", f"--depth={depth}", repo.as_uri(), "by-git")

    base = prepare_base(inspect_repository(repo), tmp_path / "base.git", depth=depth)

    assert git(base.git_dir, "rev-list", "--topo-order", "base") == git(
        tmp_path / "by-git", "rev-list", "--topo-order", "main"
    )


@pytest.mark.parametrize("depth", [1, 2, 200, None])
def test_prepare_base_when_the_repository_is_shallow_then_it_works(repo: Path, tmp_path: Path, depth: int) -> None:
    for number in range(4):
        commit_all(repo, f"More {number}")
    git(tmp_path, "clone", "-q", "--depth=3", repo.as_uri(), "shallow")

    base = prepare_base(inspect_repository(tmp_path / "shallow"), tmp_path / "base.git", depth=depth)

    assert base.tree == git(repo, "rev-parse", "HEAD^{tree}")
    git(base.git_dir, "fsck")
    assert int(git(base.git_dir, "rev-list", "--count", "base")) == min(depth or 3, 3)


def test_prepare_base_when_the_clone_is_partial_then_the_mend_is_said(repo: Path, tmp_path: Path) -> None:
    git(repo, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", repo.as_uri(), "partial")

    with pytest.raises(RepositoryError, match="cannot be copied") as caught:
        prepare_base(inspect_repository(tmp_path / "partial"), tmp_path / "base.git")

    assert "--refetch" in caught.value.mend


def test_open_base_when_prepared_earlier_then_it_is_the_same(repo: Path, tmp_path: Path) -> None:
    base = prepare_base(inspect_repository(repo), tmp_path / "base.git")
    assert open_base(tmp_path / "base.git") == base


def test_write_branch_when_the_tree_is_dirty_then_nothing_of_the_user_changes(repo: Path, tmp_path: Path) -> None:
    (repo / "a.txt").write_text("one\nfixed\nthree\nfour\n")
    patch = sandbox_patch(repo, tmp_path)
    (repo / "a.txt").write_text("my own unsaved work\n")
    (repo / "sub" / "b.txt").write_text("staged\n")
    git(repo, "add", "sub/b.txt")
    (repo / "untracked").write_text("new\n")
    git(repo, "stash", "create")
    found = inspect_repository(repo)
    base = prepare_base(found, tmp_path / "base.git")
    status = git(repo, "status", "--porcelain")
    before = fingerprint(repo)

    branch = write_branch(found, base, patch, branch="ostro/issue-1", message="Fix it\n\nBody.")

    after = fingerprint(repo)
    changed = {name for name in before if after.get(name) != before[name]}
    added = {name for name in after if name not in before}
    assert changed == set()
    assert all(
        name.startswith((".git/objects/", ".git/refs/heads/ostro", ".git/logs/refs/heads/ostro")) for name in added
    )
    assert git(repo, "status", "--porcelain") == status
    assert git(repo, "log", "-1", "--format=%P|%an|%ae|%cn|%B", branch.name) == (
        f"{base.commit}|Ada User|ada@example.org|Ada User|Fix it\n\nBody."
    )
    assert git(repo, "show", "ostro/issue-1:a.txt") == "one\nfixed\nthree\nfour"
    assert branch.files_changed == ("a.txt",)
    assert not branch.renamed
    git(repo, "fsck", "--strict")


def test_write_branch_when_the_patch_holds_every_kind_of_change_then_the_tree_is_the_sandboxs(
    repo: Path, tmp_path: Path
) -> None:
    (repo / "crlf.txt").write_bytes(b"a\r\nb\r\nc\r\n")
    (repo / "mixed.txt").write_bytes(b"a\r\nb\nc  \n\t\n")
    (repo / "picture.bin").write_bytes(bytes(range(256)) * 40)
    (repo / "latin.txt").write_bytes("Größe\n".encode("latin-1"))
    (repo / "no-newline").write_bytes(b"x\ny")
    (repo / "script.sh").write_text("#!/bin/sh\n")
    (repo / "link").symlink_to("a.txt")
    (repo / "becomes-link").write_text("file\n")
    (repo / "becomes-folder").write_text("file\n")
    (repo / "folder").mkdir()
    (repo / "folder" / "inner").write_text("x\n")
    (repo / "move-me.txt").write_text("".join(f"line {n}\n" for n in range(50)))
    commit_all(repo, "Kinds")
    (repo / "crlf.txt").write_bytes(b"a\r\nB\r\nc\r\n")
    (repo / "mixed.txt").write_bytes(b"a\nb\r\nc  \n\t\n \n")
    (repo / "picture.bin").write_bytes(bytes(range(256)) * 39 + b"\0end")
    (repo / "latin.txt").write_bytes("Größe\nÄnderung\n".encode("latin-1"))
    (repo / "no-newline").write_bytes(b"x\nz")
    (repo / "script.sh").chmod(0o755)
    (repo / "link").unlink()
    (repo / "link").symlink_to("sub/b.txt")
    (repo / "becomes-link").unlink()
    (repo / "becomes-link").symlink_to("a.txt")
    (repo / "becomes-folder").unlink()
    (repo / "becomes-folder").mkdir()
    (repo / "becomes-folder" / "x").write_text("in\n")
    (repo / "folder" / "inner").unlink()
    (repo / "folder").rmdir()
    (repo / "folder").write_text("now a file\n")
    (repo / "move-me.txt").rename(repo / "moved.txt")
    (repo / "empty").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(repo) + b'/n\xff\xfe "q" \\ \ttab')).write_text("odd name\n")
    (repo / "line\nbreak").write_text("odd name\n")
    (repo / "a.txt").unlink()
    patch = sandbox_patch(repo, tmp_path)
    found = inspect_repository(repo)
    base = prepare_base(found, tmp_path / "base.git")

    branch = write_branch(found, base, patch, branch="ostro/x-1", message="All")

    assert git(repo, "rev-parse", f"{branch.name}^{{tree}}") == tree_of(repo, tmp_path).strip()
    assert 'n\\xff\\xfe "q" \\ \ttab' in branch.files_changed
    assert {"move-me.txt", "moved.txt", "empty", "folder", "folder/inner"} <= set(branch.files_changed)
    assert changed_files(base, patch) == branch.files_changed


def test_write_branch_when_the_patch_says_renamed_then_it_applies(repo: Path, tmp_path: Path) -> None:
    git(repo, "mv", "sub/b.txt", "c.txt")
    patch = subprocess.run(
        ["git", "diff", "--cached", "-M", "--binary", "HEAD"], cwd=repo, check=True, capture_output=True
    ).stdout
    assert b"rename from" in patch
    found = inspect_repository(repo)

    branch = write_branch(found, prepare_base(found, tmp_path / "b.git"), patch, branch="ostro/r", message="Move")

    assert branch.files_changed == ("c.txt", "sub/b.txt")


@pytest.mark.parametrize("attributes", ["* text=auto\n", "*.txt text eol=crlf\n", "*.txt filter=lfs diff=lfs -text\n"])
def test_write_branch_when_attributes_convert_then_the_blobs_of_the_patch_are_taken(
    repo: Path, tmp_path: Path, attributes: str
) -> None:
    (repo / ".gitattributes").write_text(attributes)
    git(repo, "config", "core.autocrlf", "true")
    commit_all(repo, "Attributes")
    (repo / "a.txt").write_bytes(b"one\r\ntwo\r\nnew\r\n")
    patch = sandbox_patch(repo, tmp_path)
    found = inspect_repository(repo)

    branch = write_branch(found, prepare_base(found, tmp_path / "b.git"), patch, branch="ostro/c", message="CRLF")

    assert git(repo, "rev-parse", f"{branch.name}^{{tree}}") == tree_of(repo, tmp_path).strip()


PATCH = b"""diff --git a/sub/b.txt b/sub/b.txt
--- a/sub/b.txt
+++ b/sub/b.txt
@@ -1 +1 @@
-b
+B
"""


def test_write_branch_when_the_name_is_taken_then_it_gets_a_suffix_and_says_so(repo: Path, tmp_path: Path) -> None:
    git(repo, "branch", "ostro/issue-1", "HEAD~1")
    git(repo, "branch", "ostro/issue-1-2/below", "HEAD~1")
    old = git(repo, "rev-parse", "ostro/issue-1")
    found = inspect_repository(repo)
    base = prepare_base(found, tmp_path / "b.git")

    third = write_branch(found, base, PATCH, branch="ostro/issue-1", message="Fix")
    fourth = write_branch(found, base, PATCH, branch="ostro/issue-1", message="Fix")

    assert (third.name, fourth.name) == ("ostro/issue-1-3", "ostro/issue-1-4")
    assert third.renamed
    assert git(repo, "rev-parse", "ostro/issue-1") == old


def test_write_branch_when_a_branch_named_ostro_exists_then_the_slash_gives_way(repo: Path, tmp_path: Path) -> None:
    git(repo, "branch", "ostro")
    found = inspect_repository(repo)
    base = prepare_base(found, tmp_path / "b.git")
    assert write_branch(found, base, PATCH, branch="ostro/issue-1", message="Fix").name == "ostro-issue-1"


def test_write_branch_when_the_repository_is_a_linked_work_tree_then_it_works(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "side")
    found = inspect_repository(tmp_path / "linked")
    assert found.branch == "side"

    branch = write_branch(found, prepare_base(found, tmp_path / "b.git"), PATCH, branch="ostro/w", message="Fix")

    assert git(repo, "rev-parse", "ostro/w") == branch.commit
    assert git(tmp_path / "linked", "status", "--porcelain") == ""


def test_write_branch_when_the_repository_is_bare_then_it_works(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repo), "bare.git")
    found = inspect_repository(tmp_path / "bare.git")

    branch = write_branch(found, prepare_base(found, tmp_path / "b.git"), PATCH, branch="ostro/w", message="Fix")

    assert git(tmp_path / "bare.git", "show", f"{branch.name}:sub/b.txt") == "B"


def test_write_branch_when_objects_are_sha256_then_it_works(tmp_path: Path) -> None:
    root = tmp_path / "sha256"
    git(tmp_path, "init", "-q", "--object-format=sha256", str(root))
    (root / "sub").mkdir()
    (root / "sub" / "b.txt").write_text("b\n")
    commit_all(root)
    found = inspect_repository(root)
    base = prepare_base(found, tmp_path / "b.git")

    branch = write_branch(found, base, PATCH, branch="ostro/w", message="Fix")

    assert len(branch.commit) == 64
    assert git(root, "show", f"{branch.name}:sub/b.txt") == "B"
    assert open_base(base.git_dir) == base


def test_write_branch_when_the_base_is_rerooted_then_the_parent_is_the_users_commit(repo: Path, tmp_path: Path) -> None:
    found = inspect_repository(repo)
    base = prepare_base(found, tmp_path / "b.git", depth=1)
    branch = write_branch(found, base, PATCH, branch="ostro/w", message="Fix")
    assert git(repo, "rev-parse", f"{branch.name}^") == found.head_commit


def test_write_branch_when_the_user_has_no_identity_then_the_fixed_one_is_used(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = inspect_repository(repo)
    branch = write_branch(found, prepare_base(found, tmp_path / "b.git"), PATCH, branch="ostro/w", message="Fix")
    assert git(repo, "log", "-1", "--format=%an <%ae>", branch.name) == "Ostro <ostro@localhost>"


@pytest.mark.parametrize("patch", [b"", b"\n"])
def test_write_branch_when_the_patch_is_empty_then_it_is_refused(repo: Path, tmp_path: Path, patch: bytes) -> None:
    found = inspect_repository(repo)
    base = prepare_base(found, tmp_path / "b.git")
    with pytest.raises(RepositoryError, match="changes nothing"):
        write_branch(found, base, patch, branch="ostro/w", message="Fix")


@pytest.mark.parametrize("patch", [PATCH.replace(b"-b", b"-q"), PATCH[:-4], b"not a patch", b"\0" * 9])
def test_write_branch_when_the_patch_does_not_apply_then_no_branch_appears(
    repo: Path, tmp_path: Path, patch: bytes
) -> None:
    found = inspect_repository(repo)
    base = prepare_base(found, tmp_path / "b.git")
    before = fingerprint(repo)
    with pytest.raises(RepositoryError, match="does not apply"):
        write_branch(found, base, patch, branch="ostro/w", message="Fix")
    assert fingerprint(repo) == before


@pytest.mark.parametrize("name", ["a..b", "-x/../y", "with space", "x.lock", "", "a~1"])
def test_write_branch_when_the_name_is_not_valid_then_it_is_refused(repo: Path, tmp_path: Path, name: str) -> None:
    found = inspect_repository(repo)
    base = prepare_base(found, tmp_path / "b.git")
    with pytest.raises(RepositoryError, match="not a branch name"):
        write_branch(found, base, PATCH, branch=name, message="Fix")


def test_write_branch_when_the_objects_cannot_be_written_then_the_mend_is_said(repo: Path, tmp_path: Path) -> None:
    found = inspect_repository(repo)
    base = prepare_base(found, tmp_path / "b.git")
    blob = git(repo, "hash-object", "--stdin", stdin=b"B\n")
    # A file where the folder of the new object belongs: root is stopped by it as well.
    (repo / ".git" / "objects" / blob[:2]).write_text("in the way")
    with pytest.raises(RepositoryError, match="cannot be written") as caught:
        write_branch(found, base, PATCH, branch="ostro/w", message="Fix")
    assert "patch file" in caught.value.mend
    assert git(repo, "branch", "--list", "ostro/*") == ""


@given(st.text())
def test_slug_when_given_any_text_then_it_is_a_short_valid_name(text: str) -> None:
    name = slug(text)
    assert 1 <= len(name) <= 40
    assert not name.startswith("-")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_branch_name_when_the_issue_has_a_number_then_the_run_is_not_in_it() -> None:
    assert branch_name(issue=42, title="Crash", run_id="r1") == "ostro/issue-42"
    assert branch_name(title="Crash: in Größe!", run_id="r1") == "ostro/crash-in-groe-r1"
