"""Checkpoints to the letter: whatever a workspace was turned into, restore brings it back, in place and elsewhere."""

from __future__ import annotations

import shlex
import shutil
import tarfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostro.sandbox import checkpoint_file
from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.protocol import SandboxError
from tests.worlds import Open, missing

# What a workspace can be turned into: odd names, links, modes, a file for a folder and the other way round.
BEFORE = """echo more >>package/code.py
rm latin.txt
chmod -x run.sh
rm link; mkdir link; echo in >link/file
mkdir -p 'new dir/deep' empty/in
printf 'a\\0b' >'new dir/deep/odd
name'
printf x >-dash; printf y >"$(printf 'byte\\377')"; printf z >'q"uo'\\''te$*'
printf s >secret; chmod 600 secret
ln -s nowhere dangling; ln -s .. up
printf i >x.log; mkdir ignored; printf j >ignored/kept
rm crlf.txt; mkdir crlf.txt; printf k >crlf.txt/inner
"""
AFTER = """rm -rf 'new dir' link crlf.txt empty secret dangling up -- -dash
git add -A . 2>/dev/null && git commit -qm mine 2>/dev/null
printf back >crlf.txt; ln -s run.sh link; printf back >latin.txt
chmod +x run.sh data.bin; rm data.bin; mkdir data.bin; printf in >data.bin/in
rm -r package; printf file >package
mkdir -p later/deep; printf l >later/deep/x; printf m >more.log; rm x.log; printf changed >ignored/kept
mkdir secret; printf s >secret/in
"""


def state(sandbox: AttachedSandbox) -> list[str]:
    """List all that the workspace holds, by the tools inside: kinds, modes, links and content."""
    listing = (
        "find . -path ./.git -prune -o -exec stat -c '%A %N' {} + | sort; "
        "find . -path ./.git -prune -o -type f -exec sha256sum {} + | sort"
    )
    done = sandbox.run(listing, cwd=sandbox.workdir, keep_state=False)
    assert done.exit_code == 0
    return done.output.text().splitlines()


def test_checkpoint_when_everything_was_changed_is_restored_to_the_letter(
    own_sandbox: AttachedSandbox, kind: str, open_kind: Open, tmp_path: Path
) -> None:
    own_sandbox.run(BEFORE)
    before = state(own_sandbox)
    point = own_sandbox.checkpoint(tmp_path)
    assert own_sandbox.digest() == point.digest
    own_sandbox.run(AFTER)
    assert own_sandbox.digest() != point.digest
    own_sandbox.restore(point)
    assert state(own_sandbox) == before
    assert own_sandbox.digest() == point.digest
    with open_kind(kind) as other:
        other.restore(point)
        assert state(other) == before
        assert other.digest() == point.digest
        assert other.patch() == own_sandbox.patch()


def test_checkpoint_when_restored_elsewhere_brings_directory_and_variables(
    own_sandbox: AttachedSandbox, kind: str, open_kind: Open, tmp_path: Path
) -> None:
    own_sandbox.run("mkdir -p 'sub dir'; cd 'sub dir'; export MINE=\"a'b\n$c\" GONE=1; unset USER")
    own_sandbox.run("unset GONE")
    point = own_sandbox.checkpoint(tmp_path)
    with open_kind(kind) as other:
        other.restore(point)
        done = other.run('pwd; printf "%s|%s|%s" "$MINE" "${GONE-none}" "${USER-none}"')
        assert done.output.text() == f"{other.workdir}/sub dir\na'b\n|none|none"
        assert other.run("cd /; export MINE=2").cwd == "/"
        assert other.run('printf "$MINE"; pwd').output.text() == "2/\n"


def test_checkpoint_when_restored_brings_small_files_of_tmp(
    own_sandbox: AttachedSandbox, kind: str, open_kind: Open, tmp_path: Path
) -> None:
    if kind == "none":
        pytest.skip("/tmp is the user's own there")
    own_sandbox.run(
        "mkdir -p /tmp/a/.cache $HOME; echo 1 >'/tmp/a/odd name'; echo 2 >/tmp/a/.cache/x; echo 3 >$HOME/.rc; "
        "head -c 2000000 /dev/zero >/tmp/large; mkfifo /tmp/fifo"
    )
    point = own_sandbox.checkpoint(tmp_path)
    own_sandbox.run("echo later >/tmp/a/later; echo changed >/tmp/a/odd\\ name")
    look = "cd /tmp; cat 'a/odd name' $HOME/.rc; ls a"
    if not own_sandbox.has("git"):
        return  # of such an image the workspace alone is kept
    own_sandbox.restore(point)
    assert own_sandbox.run(look).output.text() == "1\n3\nodd name\n"
    assert own_sandbox.run("wc -c </tmp/large | tr -d ' '").output.text() == "2000000\n"
    with open_kind(kind) as other:
        other.restore(point)
        assert other.run(look + "; ls /tmp/large /tmp/fifo 2>/dev/null").output.text() == "1\n3\nodd name\n"


def test_checkpoint_leaves_caches_and_what_is_large_alone(own_sandbox: AttachedSandbox, tmp_path: Path) -> None:
    if not own_sandbox.has("git"):
        pytest.skip("no git inside: a checkpoint holds everything")
    own_sandbox.run(
        "mkdir -p node_modules/m package/__pycache__ ignored/.venv; head -c 900000 /dev/urandom >node_modules/m/x; "
        "head -c 900000 /dev/urandom >package/__pycache__/c.pyc; head -c 900000 /dev/urandom >ignored/.venv/y; "
        "head -c 3000000 /dev/urandom >ignored/large"
    )
    before = own_sandbox.digest()
    point = own_sandbox.checkpoint(tmp_path)
    assert point.size_bytes < 300_000
    own_sandbox.run("echo x >>node_modules/m/x; rm package/__pycache__/c.pyc")
    assert own_sandbox.digest() == before
    own_sandbox.restore(point)
    assert own_sandbox.run("wc -c <node_modules/m/x | tr -d ' '").output.text() == "900002\n"


def test_checkpoint_when_nested_repositories_are_there_holds_them(own_sandbox: AttachedSandbox, tmp_path: Path) -> None:
    if not own_sandbox.has("git"):
        pytest.skip("no git inside: a checkpoint holds everything")
    own_sandbox.run(
        "git init -q one; echo 1 >one/file; git -C one add .; git -C one -c user.name=T -c user.email=t commit -qm c; "
        "git init -q two; echo 2 >two/file"
    )
    point = own_sandbox.checkpoint(tmp_path)
    own_sandbox.run("rm -rf one two")
    own_sandbox.restore(point)
    assert own_sandbox.run("cat one/file two/file; git -C one log --format=%s").output.text() == "1\n2\nc\n"


def test_checkpoint_when_the_session_moved_on_is_another_file(own_sandbox: AttachedSandbox, tmp_path: Path) -> None:
    first = own_sandbox.checkpoint(tmp_path)
    own_sandbox.run("export ANOTHER=1")
    second = own_sandbox.checkpoint(tmp_path)
    assert first.digest == second.digest
    assert first.path != second.path
    assert sorted(tmp_path.iterdir()) == sorted([first.path, second.path])


NAMES = st.sampled_from(
    ["a", "d/x", "d/y/z", "d", "package/code.py", "package", "link", "run.sh", "x.log", "o\n'd", "é"]
)
CHANGES = st.one_of(
    st.tuples(st.just("rm -rf -- {0}"), NAMES),
    st.tuples(st.just("mkdir -p -- {0}"), NAMES),
    st.tuples(st.just("mkdir -p -- {0}/.. ; printf 1 >{0}"), NAMES),
    st.tuples(st.just("printf 22 >>{0}"), NAMES),
    st.tuples(st.just("ln -s ../to {0}"), NAMES),
    st.tuples(st.just("chmod 755 {0}"), NAMES),
    st.tuples(st.just("mv -- {0} moved"), NAMES),
)


@pytest.fixture(scope="module")
def one_sandbox(open_kind: Open) -> Iterator[AttachedSandbox]:
    if reason := missing("bubblewrap"):
        pytest.skip(reason)
    with open_kind("bubblewrap") as box:
        yield box


def restored(
    one_sandbox: AttachedSandbox,
    tmp_path_factory: pytest.TempPathFactory,
    base: tuple[Path, str],
    before: list[tuple[str, str]],
    after: list[tuple[str, str]],
) -> None:
    folder = tmp_path_factory.mktemp("points")
    one_sandbox.run(f"git reset -q --hard {base[1]}; git clean -qfdx")
    one_sandbox.run("\n".join(text.format(shlex.quote(name)) for text, name in before))
    expected = state(one_sandbox)
    point = one_sandbox.checkpoint(folder)
    one_sandbox.run("\n".join(text.format(shlex.quote(name)) for text, name in after))
    one_sandbox.restore(point)
    assert state(one_sandbox) == expected


ANYTHING = given(before=st.lists(CHANGES, max_size=6), after=st.lists(CHANGES, max_size=6))
FEW, MANY = (settings(max_examples=number, suppress_health_check=list(HealthCheck)) for number in (8, 50))

test_restore_when_anything_happened_gives_what_was = FEW(ANYTHING(restored))
test_restore_when_anything_happened_many_times_gives_what_was = pytest.mark.slow(MANY(ANYTHING(restored)))


def test_restore_when_the_file_is_damaged_says_so_and_touches_nothing(
    one_sandbox: AttachedSandbox, tmp_path: Path
) -> None:
    one_sandbox.run("echo kept >kept.txt")
    point = one_sandbox.checkpoint(tmp_path)
    whole = point.path.read_bytes()
    at = whole.index(b"kept\n")
    for damaged in (whole[: len(whole) // 2], b"", whole[:at] + b"KEPT" + whole[at + 4 :], b"x" * 5000):
        point.path.write_bytes(damaged)
        with pytest.raises(SandboxError, match="cannot be read"):
            one_sandbox.restore(point)
    point.path.unlink()
    with pytest.raises(SandboxError, match="cannot be read"):
        one_sandbox.restore(point)
    assert one_sandbox.read("kept.txt") == b"kept\n"


def test_restore_when_the_checkpoint_is_of_another_base_or_format_refuses(
    one_sandbox: AttachedSandbox, tmp_path: Path
) -> None:
    point = one_sandbox.checkpoint(tmp_path)
    with checkpoint_file.opened(point.path) as source:
        contents = source.contents
        parts = {name: tmp_path / name for name in ("workspace.tar",)}
        parts["workspace.tar"].write_bytes(source.member("workspace.tar").read())
    other = checkpoint_file.write(tmp_path, replace(contents, base="0" * 40), b"", parts)
    for found, said in ((b"", "base commit 000000"), (b'"format": 3', "checkpoint of format 3")):
        if found:
            other.path.write_bytes(other.path.read_bytes().replace(b'"format": 2', found))
        with pytest.raises(SandboxError, match=said) as refused:
            one_sandbox.restore(other)
        assert refused.value.kind == "usage"


def test_checkpoint_when_the_host_cannot_take_it_is_an_error(one_sandbox: AttachedSandbox, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SandboxError) as failed:
        one_sandbox.checkpoint(tmp_path / "file" / "folder")
    assert failed.value.kind == "storage"


def test_digest_of_an_archive_when_only_times_differ_is_the_same(tmp_path: Path) -> None:
    def packed(mtime: int, mode: int) -> Path:
        path = tmp_path / f"{mtime}-{mode}.tar"
        with tarfile.open(path, "w") as archive:
            for name in ("./b", "./a", "./.git/index"):
                member = tarfile.TarInfo(name)
                member.mtime, member.mode = mtime, mode
                archive.addfile(member)
        return path

    def digest(path: Path) -> str:
        with path.open("rb") as source:
            return checkpoint_file.digest_of(source, ())[0]

    assert digest(packed(1, 0o644)) == digest(packed(2, 0o644)) != digest(packed(1, 0o755))


def test_digest_when_a_file_is_large_then_it_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "workspace.tar"
    with tarfile.open(path, "w") as archive, (tmp_path / "large").open("wb+") as large:
        large.truncate(64 * 1024**2)
        archive.addfile(archive.gettarinfo(arcname="large", fileobj=large), large)
    tracemalloc.start()
    try:
        with path.open("rb") as source:
            _, names = checkpoint_file.digest_of(source, ())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert names == [b"large"]
    assert peak_bytes < 8 * 1024**2


def test_checkpoint_and_patch_when_tar_gives_something_else_then_an_error_of_the_sandbox(
    open_kind: Open, tools: dict[str, Path], tmp_path: Path
) -> None:
    if reason := missing("dash"):
        pytest.skip(reason)
    programs = tmp_path / "programs"
    shutil.copytree(tools["dash"], programs, symlinks=True)
    programs.chmod(0o755)
    (programs / "git").unlink()
    with open_kind("dash", env={"PATH": str(programs)}, read_only=(programs,)) as box:
        (programs / "tar").unlink()
        (programs / "tar").write_text("#!/bin/sh\necho this is no archive\n")
        (programs / "tar").chmod(0o755)
        with pytest.raises(SandboxError, match="no archive of the workspace"):
            box.patch()
        with pytest.raises(SandboxError, match="no archive of the workspace"):
            box.checkpoint(tmp_path / "checkpoints")
