"""git to and from a forge: the token is nowhere but in the environment of git, and nothing is overwritten unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from ostro.sandbox.git_process import pristine_git_dir
from ostro.sandbox.protocol import RepositoryError
from ostro.sandbox.remote import Remote, check_out, fetch_commits, push_commit, remote_heads
from tests.forge.conftest import TOKEN, Scene
from tests.forge.fake import Fault


def test_push_when_it_runs_then_the_token_is_in_no_argument_and_no_file(scene: Scene, tmp_path: Path) -> None:
    seen: list[bytes] = []

    def look(_: int) -> None:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(process.read_bytes())
            except OSError:
                continue

    scene.forge.on_request = look
    remote = scene.github.remote
    git_dir = pristine_git_dir(tmp_path / "x.git", head="ref: refs/heads/main")
    fetch_commits(remote, git_dir, ["main"], depth=10)
    head = remote_heads(remote, git_dir, "main")["main"]
    assert push_commit(remote, git_dir, head, "other", expected=None)

    assert any(b"push" in line and b"refs/heads/other" in line for line in seen)
    assert [line for line in seen if TOKEN.encode() in line] == []
    assert [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN not in repr(remote)
    assert {asked.login for asked in scene.forge.requests if "receive-pack" in asked.path} == {"github-actions[bot]"}


def test_check_out_when_the_repository_is_empty_then_a_first_commit_is_asked_for(scene: Scene, tmp_path: Path) -> None:
    scene.repository.git("update-ref", "-d", "refs/heads/main")
    with pytest.raises(RepositoryError, match="remote ref refs/heads/main") as refused:
        check_out(scene.github.remote, tmp_path / "out", "main", depth=10)
    assert "push a first commit" in refused.value.mend


def test_push_when_somebody_was_quicker_then_nothing_is_overwritten(scene: Scene, tmp_path: Path) -> None:
    git_dir = pristine_git_dir(tmp_path / "x.git", head="ref: refs/heads/main")
    fetch_commits(scene.github.remote, git_dir, ["main"], depth=10)
    head = remote_heads(scene.github.remote, git_dir, "main")["main"]
    scene.repository.git("branch", "ours", "main")
    theirs = scene.commit_by_hand("ours")

    assert not push_commit(scene.github.remote, git_dir, head, "ours", expected=head)
    assert not push_commit(scene.github.remote, git_dir, head, "ours", expected=None)
    assert scene.repository.head_of("ours") == theirs


def test_push_when_its_answer_is_lost_then_the_branch_is_looked_at(scene: Scene, tmp_path: Path) -> None:
    git_dir = pristine_git_dir(tmp_path / "x.git", head="ref: refs/heads/main")
    fetch_commits(scene.github.remote, git_dir, ["main"], depth=10)
    head = remote_heads(scene.github.remote, git_dir, "main")["main"]
    scene.forge.faults.append(Fault("POST", "git-receive-pack$", "lost"))

    assert push_commit(scene.github.remote, git_dir, head, "other", expected=None)


def test_push_when_a_rule_refuses_it_then_its_words_are_told(scene: Scene) -> None:
    hook = scene.repository.git_dir / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'error: GH013: Repository rule violations' >&2\necho '- Sign it' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RepositoryError) as refused:
        scene.publish()
    told = str(refused.value).partition("cannot be pushed: ")[2]
    assert told == "[remote rejected] (pre-receive hook declined); error: GH013: Repository rule violations; - Sign it"
    assert "rules" in refused.value.mend


def test_push_when_another_branch_stands_in_the_way_then_it_is_named(scene: Scene) -> None:
    scene.repository.git("branch", "ostro", "main")
    with pytest.raises(RepositoryError, match="'refs/heads/ostro' exists") as refused:
        scene.publish()
    assert "rename" in refused.value.mend


@pytest.mark.parametrize(
    "url",
    ["http://example.org/o/r.git", "ssh://example.org/o/r.git", "https://u:p@example.org/o/r.git", "ext::sh -c x"],
)
def test_remote_when_it_is_no_plain_https_then_it_is_refused(url: str, tmp_path: Path) -> None:
    git_dir = pristine_git_dir(tmp_path / "x.git", head="ref: refs/heads/main")
    with pytest.raises(RepositoryError, match="only https"):
        remote_heads(Remote(url, TOKEN), git_dir, "main")


def test_remote_when_the_token_is_wrong_then_the_message_says_what_to_check(scene: Scene, tmp_path: Path) -> None:
    git_dir = pristine_git_dir(tmp_path / "x.git", head="ref: refs/heads/main")
    scene.repository.private = True
    with pytest.raises(RepositoryError, match="cannot be read") as told:
        remote_heads(Remote(scene.github.remote.url, "wr0ngT0ken0123456789"), git_dir, "main")
    assert "token" in told.value.mend
    assert "wr0ngT0ken" not in str(told.value)


def test_check_out_when_done_then_there_is_a_tree_without_hook_and_token(scene: Scene, tmp_path: Path) -> None:
    scene.commit_by_hand("main", ".gitattributes")
    commit = check_out(scene.github.remote, tmp_path / "tree", "main", depth=1)

    assert commit == scene.repository.head_of("main")
    assert (tmp_path / "tree" / "price.py").exists()
    assert not (tmp_path / "tree" / ".git" / "hooks").exists()
    assert TOKEN not in (tmp_path / "tree" / ".git" / "config").read_text()
