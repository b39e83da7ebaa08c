"""Which git command may run where."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ostro.sandbox.git_guard import HARMLESS, verb_of
from ostro.sandbox.git_process import pristine_git_dir, run_git
from ostro.sandbox.protocol import RepositoryError

POISON = [
    ("filter.x.clean", "touch canary"),
    ("core.fsmonitor", "touch canary"),
    ("core.sshCommand", "touch canary"),
    ("core.worktree", "/"),
    ("diff.x.textconv", "touch canary"),
    ("include.path", "/tmp/more"),
    ("includeIf.gitdir:/.path", "/tmp/more"),
    ("remote.origin.uploadpack", "touch canary"),
    ("remote.origin.promisor", "true"),
    ("merge.x.driver", "touch canary"),
    ("extensions.worktreeConfig", "true"),
    ("alias.add", "!touch canary"),
]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    subprocess.run(["git", "init", "-q", "--template="], cwd=root, check=True)
    (root / "a.txt").write_text("one\n")
    return root


def test_run_git_when_the_configuration_names_no_program_then_it_runs(repository: Path) -> None:
    assert run_git(["add", "-A"], cwd=repository).code == 0
    assert run_git(["-c", "x.y=z", "add", "-A"], cwd=repository).code == 0


@pytest.mark.parametrize(("key", "value"), POISON)
def test_run_git_when_the_configuration_could_name_a_program_then_it_is_not_run(
    repository: Path, key: str, value: str
) -> None:
    subprocess.run(["git", "config", key, value], cwd=repository, check=True)
    with pytest.raises(RepositoryError, match="could start a program"):
        run_git(["add", "-A"], cwd=repository)
    with pytest.raises(RepositoryError, match="could start a program"):
        run_git(["status"], git_dir=repository / ".git", work_tree=repository)
    assert run_git(["rev-parse", "--git-dir"], cwd=repository).line.endswith(".git")


@pytest.mark.parametrize("how", ["gitfile", "link", "commondir", "none", "config is a link", "continued line"])
def test_run_git_when_the_configuration_may_lie_elsewhere_then_it_is_not_run(
    repository: Path, tmp_path: Path, how: str
) -> None:
    place = repository / ".git"
    if how == "continued line":
        with (place / "config").open("a") as config:
            config.write('[core]\n\tbare = false\\\n[filter "x"]\n')
    elif how == "config is a link":
        (place / "config").rename(tmp_path / "config")
        (place / "config").symlink_to(tmp_path / "config")
    elif how == "commondir":
        (place / "commondir").write_text("../other\n")
    else:
        place.rename(tmp_path / "moved")
        if how == "gitfile":
            place.write_text(f"gitdir: {tmp_path / 'moved'}\n")
        elif how == "link":
            place.symlink_to(tmp_path / "moved")
    with pytest.raises(RepositoryError, match="could start a program"):
        run_git(["add", "-A"], cwd=repository)


def test_run_git_when_the_directory_is_pristine_then_all_but_remotes_is_allowed(tmp_path: Path) -> None:
    place = pristine_git_dir(tmp_path / "p.git", head="ref: refs/heads/x", object_format="sha256")
    assert run_git(["write-tree"], git_dir=place).code == 0
    for verb in ("fetch", "push", "submodule"):
        with pytest.raises(RepositoryError):
            run_git([verb], git_dir=place)


@pytest.mark.parametrize(
    ("args", "verb"),
    [
        (["status"], "status"),
        (["-c", "rev-parse", "add"], "add"),
        (["-C", "version", "--bare", "add"], "add"),
        (["--git-dir", "config", "add"], "add"),
        (["--attr-source", "add"], "add"),
        ([], ""),
        (["-c"], ""),
    ],
)
def test_verb_of_when_options_come_first_then_none_is_taken_for_the_command(args: list[str], verb: str) -> None:
    assert verb_of(args) == verb
    assert "add" not in HARMLESS
