"""Cloning by URL, against real repositories served from files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ostro.sandbox.clone import clone, is_repository_url
from ostro.sandbox.protocol import RepositoryError
from ostro.sandbox.repository import inspect_repository


def git(cwd: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True)
    return os.fsdecode(done.stdout).strip()


@pytest.fixture(autouse=True)
def _own_git_configuration(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text("[user]\n\tname = Ada User\n\temail = ada@example.org\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    git(tmp_path, "init", "-q", "-b", "trunk", str(root))
    (root / "a.txt").write_text("one\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "First")
    return root


def test_clone_when_new_then_the_default_branch_is_there(remote: Path, tmp_path: Path) -> None:
    folder = clone(remote.as_uri(), tmp_path / "home")

    found = inspect_repository(folder)
    assert folder.parent == tmp_path / "home" / "clones"
    assert folder.name.startswith("project-")
    assert (found.branch, found.head_commit, found.dirty_files) == ("trunk", git(remote, "rev-parse", "HEAD"), 0)
    assert list((folder / ".git").glob("hooks/*")) == []


def test_clone_when_given_a_path_then_it_is_cloned_too(remote: Path, tmp_path: Path) -> None:
    assert inspect_repository(clone(str(remote), tmp_path / "home")).head_commit == git(remote, "rev-parse", "HEAD")


def test_clone_when_already_cloned_then_it_is_updated_and_branches_stay(remote: Path, tmp_path: Path) -> None:
    folder = clone(remote.as_uri(), tmp_path / "home")
    git(folder, "branch", "ostro/issue-1")
    old = git(folder, "rev-parse", "ostro/issue-1")
    (remote / "a.txt").write_text("two\n")
    git(remote, "commit", "-q", "-am", "Second")

    assert clone(remote.as_uri(), tmp_path / "home") == folder

    assert inspect_repository(folder).head_commit == git(remote, "rev-parse", "HEAD")
    assert git(folder, "rev-parse", "ostro/issue-1") == old


def test_clone_when_the_clone_has_own_changes_in_the_way_then_they_are_kept_and_the_mend_said(
    remote: Path, tmp_path: Path
) -> None:
    folder = clone(remote.as_uri(), tmp_path / "home")
    (folder / "a.txt").write_text("mine\n")
    (remote / "a.txt").write_text("two\n")
    git(remote, "commit", "-q", "-am", "Second")

    with pytest.raises(RepositoryError, match="brought up to date") as caught:
        clone(remote.as_uri(), tmp_path / "home")

    assert (folder / "a.txt").read_text() == "mine\n"
    assert str(folder) in caught.value.mend


def test_clone_when_an_earlier_one_broke_off_then_it_starts_anew(remote: Path, tmp_path: Path) -> None:
    folder = clone(remote.as_uri(), tmp_path / "home")
    (folder / ".git").rename(tmp_path / "lost")
    assert clone(remote.as_uri(), tmp_path / "home") == folder
    assert inspect_repository(folder).dirty_files == 0


KILLED_IN_CLONE = """
import os, sys
from pathlib import Path
from ostro.sandbox import clone
clone.run_git = lambda *arguments, **options: os.kill(os.getpid(), 9)
clone.clone(sys.argv[1], Path(sys.argv[2]))
"""


def test_clone_when_an_earlier_one_was_killed_then_nothing_of_it_stays(remote: Path, tmp_path: Path) -> None:
    url, home = f"file://{remote}", tmp_path / "home"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_CLONE, url, str(home)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((home / "clones").iterdir())) == 2
    folder = clone(url, home)
    assert sorted((home / "clones").iterdir()) == sorted([folder, folder.with_suffix(".lock")])


def test_clone_when_the_remote_is_missing_then_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="cannot be cloned: there is no such repository") as caught:
        clone((tmp_path / "nowhere").as_uri(), tmp_path / "home")
    assert caught.value.mend
    assert [path.name for path in (tmp_path / "home" / "clones").iterdir() if not path.name.endswith(".lock")] == []


def test_clone_when_the_host_refuses_then_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="the host does not answer"):
        clone("https://127.0.0.1:9/o/r.git", tmp_path / "home")


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch {canary}' %S",
        "ext::sh%20-c%20touch%20{canary}",
        "fd::7",
        "--upload-pack=touch {canary}",
        "-oProxyCommand=touch {canary}@host:x",
        "ssh://-oProxyCommand=touch%20{canary}/x",
        "https://-evil/x",
        "git://host/x",
        "http://host/x",
        "ftp://host/x",
        "https:///x",
        "https://user:password@host/x",
        "transport::https://host/x",
        "https://host/x\nfoo",
        "",
    ],
)
def test_clone_when_the_url_is_not_allowed_then_it_is_refused_and_nothing_runs(tmp_path: Path, url: str) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(RepositoryError) as caught:
        clone(url.format(canary=canary), tmp_path / "home")
    assert not canary.exists()
    assert "password@" not in str(caught.value)


def test_clone_when_the_users_configuration_maps_to_ext_then_git_refuses(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    mapping = f"[url \"ext::sh -c 'touch {canary}' \"]\n\tinsteadOf = https://mapped.example/\n"
    config = mapping + '[protocol "ext"]\n\tallow = always\n'
    (Path(os.environ["HOME"]) / ".gitconfig").write_text(config)
    with pytest.raises(RepositoryError):
        clone("https://mapped.example/x", tmp_path / "home")
    assert not canary.exists()


def test_clone_when_hooks_are_in_the_users_template_then_they_do_not_run(remote: Path, tmp_path: Path) -> None:
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\n")
    (hooks / "post-checkout").chmod(0o755)
    with (Path(os.environ["HOME"]) / ".gitconfig").open("a") as config:
        config.write(f"[init]\n\ttemplateDir = {tmp_path}/template\n[core]\n\thooksPath = {hooks}\n")
    clone(remote.as_uri(), tmp_path / "home")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://github.com/o/r", True),
        ("git@github.com:o/r.git", True),
        ("ssh://git@host/x", True),
        ("ext::sh", True),
        (".", False),
        ("/srv/a@b/c", False),
        ("C:thing", False),
        ("folder/with:colon", False),
    ],
)
def test_is_repository_url_when_asked_then_paths_are_told_from_urls(text: str, expected: bool) -> None:
    assert is_repository_url(text) is expected
