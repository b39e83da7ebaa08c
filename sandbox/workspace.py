"""Make the workspace inside a sandbox from the bare base repository, with git where the image has it, else by tar."""

from __future__ import annotations

import shlex
import tarfile
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ostro.sandbox.git_process import must, run_git
from ostro.sandbox.protocol import HEAD_BYTES, Completed, SandboxError
from ostro.sandbox.shell import Request

SET_UP_S = 300.0
ARCHIVE = ".ostro-import.tar"

# Objects stay in base.git; the workspace gets a repository of its own that the agent may do with as it likes.
# The index is copied while it is known to be good: patch() then compares by stat instead of reading each file.
# What a line of text can do is not left to a process of git: it takes a third of the time.
_FROM_BASE = """set -e
mkdir -p "$HOME" {state}/objects
command -v git >/dev/null 2>&1 || exit 42
cd {workdir}
export GIT_CONFIG_NOSYSTEM=1
git init -q --template= {format} .
mkdir -p .git/objects/info .git/info
echo {base}/objects >.git/objects/info/alternates
[ ! -f {base}/shallow ] || cp {base}/shallow .git/shallow
echo 'ref: refs/heads/main' >.git/HEAD
cat >>.git/config <<'END'
[user]
	name = Ostro
	email = ostro@localhost
[commit]
	gpgsign = false
[gc]
	auto = 0
END
git reset -q --hard {commit}
cp .git/index {state}/index"""

# The image holds the workspace. Its base tree is packed aside, out of reach of what happens to .git.
_FROM_IMAGE = """set -e
mkdir -p "$HOME"
command -v git >/dev/null 2>&1 || exit 42
cd {workdir}
mkdir -p {state}/objects
git init -q --bare --template= {state}/base.git
if git -c safe.directory='*' rev-parse -q --verify {commit}'^{{tree}}' >{state}/base; then
git -c safe.directory='*' pack-objects -q --revs --stdout <{state}/base >{state}/base.pack
git --git-dir={state}/base.git index-pack --stdin <{state}/base.pack >/dev/null
rm {state}/base.pack
else
export GIT_DIR={state}/base.git GIT_WORK_TREE={workdir}
git -c core.excludesFile=/dev/null add -A .
git write-tree >{state}/base
mv {state}/base.git/index {state}/index
fi"""

Run = Callable[[Request], Completed]
Put = Callable[[BinaryIO, str], None]

NO_GIT = 42
SHA256_DIGITS = 64


@dataclass(frozen=True)
class Place:
    """Where things are for one sandbox.

    Attributes:
        workdir: the workspace, inside.
        state_dir: the private folder, inside.
        base_git: the base repository, inside; None when the image holds the workspace.
        base_commit: full hex id in it; with no base repository a revision of the image's, or "" for HEAD.
        host_git: the same base repository on the host.
        scratch: a folder on the host for what lies between.
        kept: folders inside, beside the workspace, whose small files a checkpoint holds.
    """

    workdir: str
    state_dir: str
    base_git: str | None
    base_commit: str
    host_git: Path | None
    scratch: Path
    kept: tuple[str, ...] = ()


def set_up(run: Run, put: Put, place: Place) -> None:
    """Fill the empty workspace with the base commit, or take stock of the one in the image.

    Raises:
        SandboxError: `setup`, with what the commands said.
    """
    script = _FROM_BASE if place.base_git else _FROM_IMAGE
    text = script.format(
        workdir=shlex.quote(place.workdir),
        base=shlex.quote(place.base_git or ""),
        state=shlex.quote(place.state_dir),
        commit=shlex.quote(place.base_commit or "HEAD"),
        format="--object-format=sha256" if len(place.base_commit) == SHA256_DIGITS else "",
    )
    done = run(internal(text, SET_UP_S))
    if done.exit_code == NO_GIT and place.host_git:
        _unpack_tree(run, put, place, place.host_git)
    elif done.exit_code not in {0, NO_GIT}:
        said = done.output.text().strip()[-2000:]
        full = "No space left on device" in said
        raise SandboxError(
            f"The workspace could not be made in the sandbox: {said}",
            kind="disk_full" if full else "setup",
            mend="Free some room (`ostro clean` shows what can go)." if full else "",
        )


def adopt(run: Run, place: Place) -> None:
    """Prepare for patch() in a sandbox whose workspace was copied from another one."""
    run(internal(f'mkdir -p "$HOME" {shlex.quote(place.state_dir)}/objects', SET_UP_S))


def internal(
    text: str,
    timeout_s: float,
    *,
    cwd: str = "/",
    stored: bool = False,
    stdin: bytes | None = None,
    head_bytes: int = HEAD_BYTES,
) -> Request:
    """Return a request of ours, independent of the session's directory and variables."""
    return Request(
        text,
        timeout_s,
        cwd=cwd,
        stdin=stdin,
        head_bytes=head_bytes,
        keep_state=False,
        load_state=False,
        stored=stored,
    )


@contextmanager
def archive_errors() -> Generator[None]:
    """Name what is wrong when a sandbox was asked for an archive and sent something else.

    Raises:
        SandboxError: `gone`.
    """
    try:
        yield
    except (tarfile.TarError, ValueError) as broken:
        message = f"The sandbox gave no archive of the workspace: {broken}"
        raise SandboxError(message, kind="gone", mend="Does its tar work?") from broken


def unpack(run: Run, put: Put, workdir: str, archive: BinaryIO) -> None:
    """Send a tar and extract it in the workspace; it lies there for a moment, for a tmpfs may be too small.

    Raises:
        SandboxError: `setup`, it could not be extracted; `disk_full` when the reason is want of room.
    """
    inside = f"{workdir}/{ARCHIVE}"
    put(archive, inside)
    text = f"tar -x -p -f - && rm -f {ARCHIVE}"
    try:
        done = run(internal(text, SET_UP_S, cwd=workdir, stored=True))
    except OSError as full:
        raise SandboxError("No room in the sandbox for the workspace.", kind="disk_full") from full
    if done.exit_code:
        raise SandboxError(f"tar failed in the sandbox: {done.output.text().strip()[-2000:]}", kind="setup")


def _unpack_tree(run: Run, put: Put, place: Place, host_git: Path) -> None:
    """Check the base commit out on the host, from the repository that the host made itself, and send it."""
    with tempfile.TemporaryDirectory(prefix="tree-", dir=place.scratch) as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        check_out(host_git, place.base_commit, tree)
        archive = Path(folder) / "tree.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(tree, arcname=".", filter=_plain)
        with archive.open("rb") as source:
            unpack(run, put, place.workdir, source)


def check_out(base_git: Path, commit: str, tree: Path) -> None:
    """Write the files of a commit of a trusted bare repository into an empty folder of the host; an index beside it."""
    index = {"GIT_INDEX_FILE": str(tree.with_name("index"))}
    for arguments in (["read-tree", commit], ["checkout-index", "-a", "-f"]):
        done = run_git(arguments, git_dir=base_git, work_tree=tree, env=index, cwd=tree)
        must(done, doing=f"checking out {commit[:12]}")


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Drop the host's owner: the files belong to whoever extracts them."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
