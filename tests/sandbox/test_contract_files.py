"""What every kind of sandbox promises of files: read and write."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.protocol import SandboxError
from tests.worlds import LIMITS, Open, missing

ODD_NAMES = [
    "new plain.txt",
    "new'quote\".txt",
    "new\nline.txt",
    "new $(touch pwned) `x` \\ *.txt",
    "new-ünïcödé-🙂.txt",
    "new/deep/er/file.txt",
    "./new-dot.txt",
    "-new-dash.txt",
    "new\udcff.bin",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_file_when_its_name_is_odd_comes_back(sandbox: AttachedSandbox, name: str) -> None:
    sandbox.write(name, b"content of " + name.encode("utf-8", "surrogateescape"))
    assert sandbox.read(name) == b"content of " + name.encode("utf-8", "surrogateescape")
    assert sandbox.read(f"{sandbox.workdir}/{name}").startswith(b"content of")
    assert sandbox.run("ls pwned").exit_code != 0


@pytest.mark.parametrize("data", [b"", b"\n", b"no newline", bytes(range(256)) * 300, b"\0" * 2_500_000, b"a\r\nb\r\n"])
def test_content_when_written_comes_back_byte_for_byte(sandbox: AttachedSandbox, data: bytes) -> None:
    sandbox.write("new-content", data)
    assert sandbox.read("new-content") == data


def test_write_when_the_file_exists_keeps_its_mode_and_links(sandbox: AttachedSandbox) -> None:
    sandbox.run("echo old >new-run; chmod 751 new-run; ln new-run new-hard; ln -s new-run new-soft")
    sandbox.write("new-soft", b"fresh\n")
    done = sandbox.run("cat new-run new-hard; ls -l new-run | cut -c1-10; [ -L new-soft ] && echo link")
    assert done.output.text() == "fresh\nfresh\n-rwxr-x--x\nlink\n"


@pytest.mark.parametrize("shell", ["bubblewrap", "dash", "busybox"])
def test_write_when_the_disk_is_full_leaves_what_was_there(open_kind: Open, shell: str) -> None:
    if reason := missing(shell):
        pytest.skip(reason)
    with open_kind(shell, limits=replace(LIMITS, tmp_bytes=1024**2)) as box:
        box.write("/tmp/known", b"what was there\n")  # inside
        box.run("head -c 900000 /dev/zero >/tmp/fill")
        for name in ("known", "fresh"):
            with pytest.raises(OSError, match="No space left") as caught:
                box.write(f"/tmp/{name}", b"x" * 300_000)
            assert caught.value.errno == errno.ENOSPC
        assert box.read("/tmp/known") == b"what was there\n"  # inside
        assert box.run("ls /tmp/fresh").exit_code != 0


def test_write_when_the_session_is_elsewhere_starts_at_the_workspace(sandbox: AttachedSandbox) -> None:
    sandbox.run("cd /; export BEFORE=$PATH PATH=/nowhere")
    try:
        sandbox.write("new-here", b"x")
        assert sandbox.read("new-here") == b"x"
    finally:
        sandbox.run("PATH=$BEFORE")


def test_session_when_files_are_read_and_written_stays(sandbox: AttachedSandbox) -> None:
    sandbox.run("cd package; export AROUND=1")
    sandbox.write("new-x", b"x")
    sandbox.read("new-x")
    assert sandbox.run("pwd; echo $AROUND").output.text() == f"{sandbox.workdir}/package\n1\n"


def test_read_when_there_is_no_such_file_says_so(sandbox: AttachedSandbox) -> None:
    with pytest.raises(FileNotFoundError):
        sandbox.read("no/such/file")
    sandbox.run("ln -s nowhere new-dangling")
    with pytest.raises(FileNotFoundError):
        sandbox.read("new-dangling")


def test_read_and_write_when_it_is_a_folder_say_so(sandbox: AttachedSandbox) -> None:
    with pytest.raises(IsADirectoryError):
        sandbox.read("package")
    with pytest.raises(IsADirectoryError):
        sandbox.write("package", b"x")


def test_read_and_write_when_it_is_forbidden_say_so(sandbox: AttachedSandbox, kind: str) -> None:
    if kind == "none":
        pytest.skip("the user may be root, whom nothing is forbidden")
    sandbox.run("echo x >new-locked; chmod 000 new-locked; mkdir new-closed; chmod 500 new-closed")
    try:
        with pytest.raises(PermissionError):
            sandbox.read("new-locked")
        with pytest.raises(PermissionError):
            sandbox.write("new-locked", b"y")
        with pytest.raises(PermissionError):
            sandbox.write("new-closed/inside", b"y")
        with pytest.raises(PermissionError):
            sandbox.write("/usr/bin/new", b"y")
    finally:
        sandbox.run("chmod 700 new-closed; chmod 600 new-locked")


def test_write_when_a_parent_is_a_file_says_so(sandbox: AttachedSandbox) -> None:
    with pytest.raises(OSError, match="directory"):
        sandbox.write("crlf.txt/inside", b"x")


def test_read_when_it_is_too_large_says_so(sandbox: AttachedSandbox) -> None:
    sandbox.write("new-big", b"x" * 1001)
    assert len(sandbox.read("new-big", max_bytes=1001)) == 1001
    with pytest.raises(ValueError, match="larger than 1000 bytes"):
        sandbox.read("new-big", max_bytes=1000)


@pytest.mark.parametrize("path", ["new-fifo", "/dev/zero"])
def test_read_and_write_when_it_is_no_regular_file_do_not_hang(sandbox: AttachedSandbox, path: str) -> None:
    sandbox.run("mkfifo new-fifo")
    with pytest.raises(ValueError, match="not a regular file"):
        sandbox.read(path)
    with pytest.raises(ValueError, match="not a regular file"):
        sandbox.write(path, b"x")


def test_a_path_when_it_holds_a_nul_or_nothing_is_refused(sandbox: AttachedSandbox) -> None:
    for path in ("a\0b", ""):
        with pytest.raises(SandboxError) as refused:
            sandbox.read(path)
        assert refused.value.kind == "usage"
