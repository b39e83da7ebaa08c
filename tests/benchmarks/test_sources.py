"""Base trees and their one commit; archives made here, some of them hostile."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from ostro.benchmarks.instance import FilesSource
from ostro.benchmarks.sources import (
    SetupError,
    built_once,
    commit_tree,
    content_key,
    head_commit,
    unpack_archive,
    unpack_source,
)


def archive(*members: tuple[str, str, bytes | str]) -> io.BytesIO:
    """Make a tar of (kind, name, content or link target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for kind, name, content in members:
            entry = tarfile.TarInfo(name)
            if kind == "link":
                entry.type, entry.linkname = tarfile.SYMTYPE, str(content)
            elif kind == "device":
                entry.type = tarfile.CHRTYPE
            data = content if isinstance(content, bytes) else b""
            entry.size, entry.mode = len(data), 0o755 if kind == "program" else 0o644
            tar.addfile(entry, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def test_unpack_when_the_archive_is_ordinary_then_the_top_folder_is_dropped_and_modes_are_kept(tmp_path: Path) -> None:
    members = (("file", "x-1/a/b.py", b"b"), ("program", "x-1/run", b"r"), ("link", "x-1/a/l", "b.py"))
    unpack_archive(archive(*members), tmp_path)
    assert (tmp_path / "a" / "b.py").read_bytes() == b"b"
    assert (tmp_path / "run").stat().st_mode & 0o111
    assert (tmp_path / "a" / "l").read_bytes() == b"b"


def test_unpack_when_there_is_a_device_or_a_skipped_name_then_it_is_left_out(tmp_path: Path) -> None:
    members = (("device", "x/dev", b""), ("file", "x/.git/config", b"[core]"), ("file", "x/a", b""))
    unpack_archive(archive(*members), tmp_path, skip=".git")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "members",
    [
        (("file", "x/../../out", b"!"),),
        (("link", "x/up", ".."), ("file", "x/up/out", b"!")),
        (("link", "x/abs", "/etc"),),
        (("link", "x/a/b", "../../../etc"),),
    ],
)
def test_unpack_when_a_path_leads_out_then_it_is_refused(
    tmp_path: Path, members: tuple[tuple[str, str, bytes | str], ...]
) -> None:
    tree = tmp_path / "deep" / "tree"
    tree.mkdir(parents=True)
    with pytest.raises(SetupError, match="leads out of the tree"):
        unpack_archive(archive(*members), tree)
    assert not (tmp_path / "deep" / "out").exists()


def test_unpack_when_the_source_is_files_then_they_are_written(tmp_path: Path) -> None:
    unpack_source(FilesSource(type="files", files={"a/b.py": "x = 1\n", "c": ""}), tmp_path, tmp_path)
    assert (tmp_path / "a" / "b.py").read_text() == "x = 1\n"


def test_commit_when_the_same_tree_is_committed_twice_then_the_id_is_the_same(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("a")
        commit_tree(tmp_path / name)
    assert head_commit(tmp_path / "one") == head_commit(tmp_path / "two")


def test_commit_when_files_are_ignored_or_repositories_nested_then_all_files_and_no_git_folder_are_in(
    tmp_path: Path,
) -> None:
    (tmp_path / ".gitignore").write_text("*.o\n")
    (tmp_path / "a.o").write_text("built")
    (tmp_path / "sub" / ".git" / "hooks").mkdir(parents=True)
    (tmp_path / "sub" / "f").write_text("f")
    commit_tree(tmp_path)
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == [".gitignore", "a.o", "sub/f"]


def test_built_once_when_the_block_fails_then_nothing_is_left(tmp_path: Path) -> None:
    def break_off() -> None:
        with built_once(tmp_path / "x") as scratch:
            assert scratch is not None
            (scratch / "half").write_text("made")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert list(tmp_path.iterdir()) == []


def test_built_once_when_it_is_there_then_nothing_is_built(tmp_path: Path) -> None:
    with built_once(tmp_path / "x") as scratch:
        assert scratch is not None
        (scratch / "f").write_text("first")
    with built_once(tmp_path / "x") as again:
        assert again is None
    assert (tmp_path / "x" / "f").read_text() == "first"


def test_content_key_when_a_part_changes_then_the_name_changes() -> None:
    source = FilesSource(type="files", files={"a": "1"})
    other = FilesSource(type="files", files={"a": "2"})
    assert content_key(["p"], source) == content_key(("p",), source)
    assert len({content_key(["p"], source), content_key(["q"], source), content_key(["p"], other)}) == 3
