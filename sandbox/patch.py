"""Take the patch of a workspace: inside the sandbox with its own git, or on the host over a plain copy of the files.

Neither the agent's index, nor its commits, nor its `.git` matter: git runs with a private git directory, index and
object store (research: 25 ways to make git run code from a `.git`, none is left with this recipe). Nothing
of the patch is parsed here.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from ostro.sandbox import workspace
from ostro.sandbox.git_process import must, run_git
from ostro.sandbox.protocol import MAX_PATCH_BYTES, Completed, SandboxError
from ostro.sandbox.shell import Request
from ostro.sandbox.workspace import NO_GIT, Place

PATCH_S = 120.0
MAX_COPY_BYTES = 4 * 1024**3
"""Largest workspace that is copied to the host to be compared there (images without git)."""

ADD_S = 20
"""After so long it is looked whether a file is so large that git would read it for hours."""

MAX_ADDED_BYTES = 256 * 1024**2
"""Of one file, by its length: a file of one tebibyte may take no room on the disk."""

_BLOCK_BYTES = 512  # of `find -size`

_LOST, _FAILED, _FULL, _BIG = 41, 43, 44, 45

SCRATCH = (
    "__pycache__/",
    "*.py[co]",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".hypothesis/",
    ".tox/",
    ".nox/",
    ".venv/",
    "*.egg-info/",
    ".coverage",
    "node_modules/",
    ".DS_Store",
)
"""What tools leave behind and no patch wants, ignored also where the repository does not; tracked files stay in."""

QUIET = (
    "-c core.hooksPath=/dev/null -c core.fsmonitor=false -c core.untrackedCache=false -c core.autocrlf=false"
    " -c core.safecrlf=false -c core.excludesFile={ignore} -c core.attributesFile=/dev/null -c core.fileMode=true"
    " -c core.symlinks=true -c advice.addEmbeddedRepo=false -c gc.auto=0"
)
DIFF = "diff --cached --binary --full-index --no-ext-diff --no-textconv --no-renames --no-color --ignore-submodules=all"

PRIVATE_GIT = """export GIT_DIR={base} GIT_WORK_TREE={workdir} GIT_INDEX_FILE={state}/index
export GIT_OBJECT_DIRECTORY={state}/objects GIT_ALTERNATE_OBJECT_DIRECTORIES={base}/objects
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_ATTR_NOSYSTEM=1
unset GIT_CONFIG GIT_CONFIG_COUNT GIT_CONFIG_PARAMETERS GIT_EXTERNAL_DIFF GIT_DIFF_OPTS
cd {workdir} 2>/dev/null && [ -n "$(ls -A)" ] || exit {lost}
command -v git >/dev/null 2>&1 || exit {no_git}
mkdir -p {state}/objects
rm -f {state}/index.lock
[ -s {ignore} ] || printf '%s\n' {patterns} >{ignore}
[ -n {commit} ] && b={commit} || read -r b <{state}/base || exit {failed}
[ -s {state}/index ] || git {quiet} read-tree "$b" 2>{state}/said || exit {failed}
"""
"""Points git at the private index of the workspace; `$b` is the base. Also used by checkpoints.

There is one request at a time, so a lock is of a git that was killed.
"""

# A nested repository without a commit makes `add` refuse everything: then file by file, without the nested ones.
ADD_ALL = r"""ostro_big() {{
{{ git {quiet} ls-files -z -m; git {quiet} ls-files -z -o --exclude-standard; }} 2>/dev/null | grep -zv '/$' |
xargs -0 -r sh -c 'for p do
set -- "$@" "./$p"
shift
done
exec find "$@" -maxdepth 0 -type f -size +{most}' find 2>/dev/null | head -n 3 >{state}/big
[ ! -s {state}/big ] || exit {big}
}}
[ ! -e {state}/slow ] || ostro_big
ostro_time=
command -v timeout >/dev/null 2>&1 && ostro_time="timeout {add_s}"
if $ostro_time git {quiet} add -A --ignore-errors . >/dev/null 2>{state}/said; then
rm -f {state}/slow
else
: >{state}/slow
ostro_big
{{ git {quiet} ls-files -z -m -d; git {quiet} ls-files -z -o --exclude-standard; }} | grep -zv '/$' |
git {quiet} update-index --add --remove --ignore-missing -z --stdin 2>>{state}/said || true
if grep -q 'No space left' {state}/said; then exit {full}; fi
fi
"""

_DIFF = """git {quiet} {diff} "$b" 2>{state}/said || exit {failed}
"""

Run = Callable[[Request], Completed]


def take(run: Run, place: Place, max_bytes: int = MAX_PATCH_BYTES) -> bytes:
    """Return the difference of the workspace from its base, see `Sandbox.patch`.

    Raises:
        SandboxError: `workspace_lost`, `patch_too_large`, `image` (neither git inside nor a base on the host).
    """
    text = script(PRIVATE_GIT + ADD_ALL + _DIFF, place)
    request = Request(
        text, PATCH_S, cwd="/", head_bytes=max_bytes + 1, tail_bytes=0, keep_state=False, load_state=False
    )
    done = run(request)
    if done.exit_code == NO_GIT:
        return _on_host(run, place, max_bytes)
    if done.timed_out or done.output_limit or done.output.total_bytes > max_bytes or done.exit_code == _FULL:
        raise _too_large(max_bytes)
    check(run, done, place)
    return done.output.head


def script(text: str, place: Place, **more: str) -> str:
    """Fill in a script made of `PRIVATE_GIT`, `ADD_ALL` and others; `more` are fields of those others."""
    ignore = shlex.quote(f"{place.state_dir}/ignore")
    return text.format(
        base=shlex.quote(place.base_git or f"{place.state_dir}/base.git"),
        workdir=shlex.quote(place.workdir),
        state=shlex.quote(place.state_dir),
        commit=shlex.quote(place.base_commit if place.base_git else ""),
        quiet=QUIET.format(ignore=ignore),
        ignore=ignore,
        patterns=shlex.join(SCRATCH),
        diff=DIFF,
        lost=_LOST,
        no_git=NO_GIT,
        failed=_FAILED,
        full=_FULL,
        big=_BIG,
        most=MAX_ADDED_BYTES // _BLOCK_BYTES,
        add_s=ADD_S,
        **more,
    )


def check(run: Run, done: Completed, place: Place) -> None:
    """Raise what the exit code of such a script means, if it is not 0."""
    if done.exit_code == 0:
        return
    if done.exit_code == _LOST:
        raise SandboxError("The workspace was deleted from inside the sandbox.", kind="workspace_lost")
    if done.exit_code == _BIG:
        names = run(workspace.internal(f"cat {shlex.quote(place.state_dir)}/big", 20.0)).output.text().split("\n")
        listed = ", ".join(name.removeprefix("./") for name in names if name)
        reason = f"A file is larger than {MAX_ADDED_BYTES // 1024**2} MiB, which no patch can hold: {listed[:500]}."
        raise SandboxError(reason, kind="patch_too_large", mend="Remove it, or name it in .gitignore.")
    if done.timed_out:
        raise SandboxError("git took too long to compare the workspace.", kind="patch_too_large")
    said = run(workspace.internal(f"cat {shlex.quote(place.state_dir)}/said", 20.0)).output.text().strip()
    raise SandboxError(f"git failed in the sandbox (exit code {done.exit_code}): {said[-2000:]}", kind="gone")


def _too_large(max_bytes: int) -> SandboxError:
    return SandboxError(
        f"The patch is larger than {max_bytes} bytes.",
        kind="patch_too_large",
        mend="Remove generated files from the workspace or name them in .gitignore.",
    )


def _on_host(run: Run, place: Place, max_bytes: int) -> bytes:
    """Compare on the host: files out as a tar without any `.git`, extracted into a folder of ours, never run in."""
    if place.host_git is None:
        raise SandboxError(
            "The image has no git and there is no base repository to compare with.",
            kind="image",
            mend="Use an image with git.",
        )
    with tempfile.TemporaryDirectory(prefix="patch-", dir=place.scratch) as name:
        folder = Path(name)
        tree = folder / "tree"
        tree.mkdir()
        _copy_out(run, place.workdir, folder / "tree.tar")
        _extract(folder / "tree.tar", tree)
        (folder / "objects").mkdir()
        environment = {
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(place.host_git / "objects"),
        }
        ignore = folder / "ignore"
        ignore.write_text("\n".join(SCRATCH) + "\n", "ascii")
        quiet = shlex.split(QUIET.format(ignore=shlex.quote(str(ignore))))
        base = place.base_commit
        for arguments in (["read-tree", base], ["add", "-A", "--ignore-errors", "."], [*DIFF.split(), base]):
            done = run_git(
                [*quiet, *arguments],
                git_dir=place.host_git,
                work_tree=tree,
                cwd=tree,
                env=environment,
                settings=[f"core.excludesFile={ignore}", "core.fileMode=true"],
            )
            patch = must(done, doing=f"git {arguments[0]} on a copy of the workspace").stdout
    if len(patch) > max_bytes:
        raise _too_large(max_bytes)
    return patch


def _copy_out(run: Run, workdir: str, archive: Path) -> None:
    text = f'[ -n "$(ls -A)" ] || exit {_LOST}; tar -c -f - . 2>/dev/null'
    done = run(
        Request(text, PATCH_S, cwd=workdir, keep_state=False, load_state=False, sink=archive, sink_bytes=MAX_COPY_BYTES)
    )
    if done.exit_code in {1, _LOST} and done.output.total_bytes == 0:
        raise SandboxError("The workspace was deleted from inside the sandbox.", kind="workspace_lost")
    if done.output.total_bytes > MAX_COPY_BYTES or done.timed_out:
        raise _too_large(MAX_COPY_BYTES)


def _extract(archive: Path, tree: Path) -> None:
    """Extract regular files and symlinks, nothing else, and never through a symlink or into a `.git`.

    Raises:
        SandboxError: `gone`, the sandbox sent something else.
    """
    with workspace.archive_errors(), tarfile.open(archive, "r:") as tar:
        for member in tar:
            parts = [part for part in member.name.split("/") if part not in {"", "."}]
            if not parts or ".." in parts or ".git" in (part.lower() for part in parts):
                continue
            target = tree.joinpath(*parts)
            if any(parent.is_symlink() for parent in target.parents if parent != tree and tree in parent.parents):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if member.issym() and not os.path.lexists(target):
                target.symlink_to(member.linkname)
            elif member.isfile() and not os.path.lexists(target) and (source := tar.extractfile(member)):
                with target.open("xb") as sink:
                    shutil.copyfileobj(source, sink)
                target.chmod(0o755 if member.mode & 0o100 else 0o644)
