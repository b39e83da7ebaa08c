"""What inspect_repository says of every kind of repository that a user may point at."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ostro.sandbox.protocol import RepositoryError
from ostro.sandbox.repository import inspect_repository, without_password

pytestmark = pytest.mark.usefixtures("ada")


def git(cwd: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True)
    return os.fsdecode(done.stdout).strip()


def make_repository(root: Path) -> Path:
    root.mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    (root / "a.txt").write_text("one\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "First")
    return root


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repo")


def test_inspect_when_all_is_ordinary_then_there_is_nothing_to_warn_of(repo: Path) -> None:
    git(repo, "remote", "add", "origin", "https://ada:token@github.com/o/r.git")

    found = inspect_repository(repo)

    assert (found.root, found.git_dir, found.common_dir) == (repo, repo / ".git", repo / ".git")
    assert found.head_commit == git(repo, "rev-parse", "HEAD")
    assert (found.branch, found.dirty_files, found.shallow, found.bare) == ("main", 0, False, False)
    assert found.origin_url == "https://github.com/o/r.git"
    assert found.warnings == ()


def test_inspect_when_given_a_folder_inside_then_the_top_is_found(repo: Path) -> None:
    (repo / "deep" / "er").mkdir(parents=True)
    assert inspect_repository(repo / "deep" / "er").root == repo


def test_inspect_when_given_a_symlink_then_it_is_followed(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repo)
    assert inspect_repository(tmp_path / "link").root == repo


def test_inspect_when_the_path_is_odd_then_it_works(tmp_path: Path) -> None:
    repo = make_repository(tmp_path / 'a "b" \\ c:d #é %20')
    (repo / "a.txt").write_text("changed\n")
    assert inspect_repository(repo).dirty_files == 1


def test_inspect_when_the_tree_is_dirty_then_files_are_counted_as_git_status_does(repo: Path) -> None:
    (repo / ".gitignore").write_text("ignored\n")
    (repo / ".git" / "info" / "exclude").write_text("excluded\n")
    for name in ("ignored", "excluded", "new", "staged"):
        (repo / name).write_text("x\n")
    git(repo, "add", "staged")
    (repo / "a.txt").write_text("changed\n")
    index = (repo / ".git" / "index").read_bytes()

    found = inspect_repository(repo)

    assert found.dirty_files == len(git(repo, "status", "--porcelain").splitlines()) == 4
    assert found.warnings == ("4 uncommitted files left out: the run starts from the last commit.",)
    assert (repo / ".git" / "index").read_bytes() == index


@pytest.mark.parametrize("setting", ["core.splitIndex", "core.untrackedCache", "index.sparse", "feature.manyFiles"])
def test_inspect_when_the_index_has_extensions_then_the_count_is_right(repo: Path, setting: str) -> None:
    git(repo, "config", setting, "true")
    (repo / "b.txt").write_text("b\n")
    git(repo, "add", "-A")
    git(repo, "update-index", "--refresh")
    assert inspect_repository(repo).dirty_files == 1


def test_inspect_when_files_have_crlf_by_the_users_setting_then_they_are_clean(repo: Path) -> None:
    git(repo, "config", "core.autocrlf", "true")
    (repo / "a.txt").unlink()
    git(repo, "checkout", "a.txt")
    assert (repo / "a.txt").read_bytes() == b"one\r\n"
    os.utime(repo / "a.txt")
    assert inspect_repository(repo).dirty_files == 0


def test_inspect_when_head_is_detached_then_it_warns(repo: Path) -> None:
    git(repo, "checkout", "-q", "--detach")
    found = inspect_repository(repo)
    assert found.branch is None
    assert found.warnings[0].startswith("HEAD is detached at ")


def test_inspect_when_the_clone_is_shallow_then_it_warns(repo: Path, tmp_path: Path) -> None:
    git(repo, "commit", "-q", "--allow-empty", "-m", "Second")
    git(tmp_path, "clone", "-q", "--depth=1", repo.as_uri(), "shallow")
    found = inspect_repository(tmp_path / "shallow")
    assert found.shallow
    assert "shallow clone" in found.warnings[0]


def test_inspect_when_there_are_submodules_then_they_are_named(repo: Path, tmp_path: Path) -> None:
    make_repository(tmp_path / "library")
    git(
        repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "library"), "vendor/lib"
    )
    git(repo, "commit", "-q", "-m", "Submodule")

    found = inspect_repository(repo)

    assert found.submodules == ("vendor/lib",)
    assert found.warnings == ("1 submodule left empty in the sandbox: vendor/lib.",)
    inside = inspect_repository(repo / "vendor" / "lib")
    assert inside.root == repo / "vendor" / "lib"


def test_inspect_when_files_are_lfs_pointers_then_they_are_counted(repo: Path) -> None:
    (repo / "sub").mkdir()
    (repo / "sub" / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n"
    for number in range(3):
        (repo / "sub" / f"{number}.bin").write_text(pointer.format(f"{number}" * 64))
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "LFS")

    found = inspect_repository(repo)

    assert found.lfs_pointers == 3
    assert "the pointers, not the content" in found.warnings[0]


def test_inspect_when_the_repository_is_bare_then_it_says_so(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repo), "bare.git")
    found = inspect_repository(tmp_path / "bare.git")
    assert found.bare
    assert (found.root, found.branch) == (tmp_path / "bare.git", "main")
    assert "bare repository" in found.warnings[0]


def test_inspect_when_the_folder_is_missing_then_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="does not exist") as caught:
        inspect_repository(tmp_path / "nowhere")
    assert caught.value.mend


def test_inspect_when_it_is_a_file_then_it_says_so(repo: Path) -> None:
    with pytest.raises(RepositoryError, match="is not a folder"):
        inspect_repository(repo / "a.txt")


def test_inspect_when_it_is_no_repository_then_the_mend_is_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="is not a git repository") as caught:
        inspect_repository(tmp_path)
    assert "git init" in caught.value.mend


def test_inspect_when_there_are_no_commits_then_it_says_so(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "empty")
    with pytest.raises(RepositoryError, match="has no commits yet"):
        inspect_repository(tmp_path / "empty")


def test_inspect_when_given_the_git_folder_then_it_says_so(repo: Path) -> None:
    with pytest.raises(RepositoryError, match=r"inside a \.git folder"):
        inspect_repository(repo / ".git" / "refs")


def corrupt_head(repo: Path) -> None:
    (repo / ".git" / "HEAD").write_bytes(b"\0\0garbage")


def corrupt_config(repo: Path) -> None:
    (repo / ".git" / "config").write_text("[core\nbroken")


def corrupt_ref(repo: Path) -> None:
    (repo / ".git" / "refs" / "heads" / "main").write_text("zzz\n")


def future_format(repo: Path) -> None:
    git(repo, "config", "core.repositoryformatversion", "99")


def missing_commit(repo: Path) -> None:
    (repo / ".git" / "refs" / "heads" / "main").write_text("1" * 40 + "\n")


def missing_tree(repo: Path) -> None:
    tree = git(repo, "rev-parse", "HEAD^{tree}")
    (repo / ".git" / "objects" / tree[:2] / tree[2:]).unlink()


def broken_index(repo: Path) -> None:
    (repo / ".git" / "index").write_bytes(b"DIRC garbage")


def empty_git_folder(repo: Path) -> None:
    (repo / ".git").rename(repo.parent / "moved")
    (repo / ".git").mkdir()


def dangling_git_file(repo: Path) -> None:
    (repo / ".git").rename(repo.parent / "moved")
    (repo / ".git").write_text("gitdir: /nowhere/at/all\n")


@pytest.mark.parametrize(
    "damage",
    [
        corrupt_head,
        corrupt_config,
        corrupt_ref,
        future_format,
        missing_commit,
        missing_tree,
        broken_index,
        empty_git_folder,
        dangling_git_file,
    ],
)
def test_inspect_when_the_repository_is_damaged_then_one_line_and_a_mend(repo: Path, damage: object) -> None:
    assert callable(damage)
    damage(repo)
    with pytest.raises(RepositoryError) as caught:
        inspect_repository(repo)
    assert "\n" not in str(caught.value)
    assert str(repo) in str(caught.value)
    assert caught.value.mend


def test_inspect_when_the_damaged_one_lies_in_another_repository_then_the_other_is_not_taken(repo: Path) -> None:
    (repo / "inner" / ".git").mkdir(parents=True)
    with pytest.raises(RepositoryError, match="broken"):
        inspect_repository(repo / "inner")


def test_inspect_when_git_is_missing_then_the_mend_is_to_install_it(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ostro.sandbox.protocol import SandboxError

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="git is not installed") as caught:
        inspect_repository(repo)
    assert caught.value.kind == "unavailable"


def test_inspect_when_called_from_a_git_hook_then_its_variables_do_not_mislead(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert inspect_repository(repo).root == repo


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@host/x.git", "https://host/x.git"),
        ("https://ghp_token@host:8443/x.git", "https://host:8443/x.git"),
        ("ssh://git:pw@host/x", "ssh://git@host/x"),
        ("git@github.com:o/r.git", "git@github.com:o/r.git"),
        ("/srv/x@y/r.git", "/srv/x@y/r.git"),
        ("https://[broken/x", "https://[broken/x"),
    ],
)
def test_without_password_when_the_url_holds_one_then_it_is_gone(url: str, shown: str) -> None:
    assert without_password(url) == shown
