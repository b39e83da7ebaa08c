"""Run the set-up commands of an environment in an open sandbox, with the egress proxy as their only way out.

Everything that lasts lies under /opt/env: the tools themselves, and a tar of what set-up left in the workspace.
Used by sandbox/environment.py; knows nothing of backends and caches.
"""

from __future__ import annotations

import re
import shlex
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ostro.sandbox import pip_inside
from ostro.sandbox.egress import EgressProxy
from ostro.sandbox.namespace import PROXY_VARIABLES
from ostro.sandbox.protocol import ENVIRONMENT_DIR, Sandbox, SandboxError
from ostro.sandbox.registries import CA_SETTINGS, HostRegistries

PRIVATE_DIR = f"{ENVIRONMENT_DIR}/.ostro"
FILES_TAR = f"{PRIVATE_DIR}/workspace.tar"
CA_FILE = f"{PRIVATE_DIR}/ca.pem"
SCRATCH_DIR = f"{PRIVATE_DIR}/scratch"

COMMAND_TIMEOUT_S = 1800.0
_OWN_TIMEOUT_S = 300.0
_TAIL_LINES = 15

# What cannot be fetched again offline is kept; caches are not.
_FIXED = {
    **PROXY_VARIABLES,
    "TMPDIR": SCRATCH_DIR,
    "PIP_NO_CACHE_DIR": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_PROGRESS_BAR": "off",
    "UV_CACHE_DIR": f"{SCRATCH_DIR}/uv",
    "UV_LINK_MODE": "copy",
    "UV_PYTHON_DOWNLOADS": "never",
    "npm_config_cache": f"{SCRATCH_DIR}/npm",
    "npm_config_update_notifier": "false",
    "GOFLAGS": "-modcacherw",
}

# Names with newlines are lost; a leading ./ keeps tar from reading a name as an option.
_SAVE_FILES = f"""set -e
rm -rf {SCRATCH_DIR} {CA_FILE}
command -v git >/dev/null || exit 42
cd {{workdir}}
git -c safe.directory='*' ls-files -z --others --exclude='__pycache__/' --exclude='.pytest_cache/' >{PRIVATE_DIR}/all
git -c safe.directory='*' ls-files -z --others --ignored --exclude='__pycache__/' --exclude='.pytest_cache/' \
>{PRIVATE_DIR}/caches
tr '\\0' '\\n' <{PRIVATE_DIR}/all | sed 's|^|./|' | sort >{PRIVATE_DIR}/wanted
tr '\\0' '\\n' <{PRIVATE_DIR}/caches | sed 's|^|./|' | sort >{PRIVATE_DIR}/unwanted
comm -23 {PRIVATE_DIR}/wanted {PRIVATE_DIR}/unwanted >{PRIVATE_DIR}/files
[ ! -s {PRIVATE_DIR}/files ] || tar -cf {FILES_TAR} -T {PRIVATE_DIR}/files
rm -f {PRIVATE_DIR}/all {PRIVATE_DIR}/caches {PRIVATE_DIR}/wanted {PRIVATE_DIR}/unwanted {PRIVATE_DIR}/files"""
_LIST_UNTRACKED = "git -c safe.directory='*' ls-files -z --others --exclude-standard --directory"
_LIST_CHANGED = "git -c safe.directory='*' diff --name-only"
_NO_GIT = 42


@dataclass(frozen=True)
class SetupResult:
    """What set-up left beside the tools.

    Attributes:
        excluded: untracked paths in the workspace that no ignore rule covers.
        notes: for people.
    """

    excluded: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def setup_variables(registries: HostRegistries, *, shows_folders: bool, scm_version: bool) -> dict[str, str]:
    """Return the variables of set-up commands; none of them stays for the agent.

    Args:
        registries: the host's settings.
        shows_folders: the sandbox shows the host folders that `registries` names.
        scm_version: the project takes its version from git tags, which the workspace does not have.
    """
    index = {**registries.variables, **(registries.local_paths if shows_folders else {})}
    trust = dict.fromkeys(CA_SETTINGS, CA_FILE) if registries.ca_bundle else {}
    version = {"SETUPTOOLS_SCM_PRETEND_VERSION": "999.0.0", "PBR_VERSION": "999.0.0"} if scm_version else {}
    return {**_FIXED, **index, **trust, **version}


def begin_setup(sandbox: Sandbox, variables: Mapping[str, str], registries: HostRegistries) -> None:
    """Export the variables of set-up and bring the host's CA bundle in.

    Raises:
        SandboxError: `setup`, the environment's folder cannot be written.
    """
    _own(sandbox, f"mkdir -p {SCRATCH_DIR}")
    if registries.ca_bundle is not None:
        sandbox.write(CA_FILE, registries.ca_bundle.read_bytes())
    _own(
        sandbox, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()), keep_state=True
    )


def make_venv(sandbox: Sandbox, python: str) -> str:
    """Make a virtual environment at `ENVIRONMENT_DIR`; return the command, for the record.

    Raises:
        SandboxError: `setup`, there is no usable Python.
    """
    command = f"{python} -m venv --without-pip {ENVIRONMENT_DIR}"
    program = Path(pip_inside.__file__).read_text("utf-8")
    install = shlex.join([f"{ENVIRONMENT_DIR}/bin/python", "-c", program])
    done = sandbox.run(f"{command} && {install}", timeout_s=_OWN_TIMEOUT_S, cwd="/")
    if done.exit_code == pip_inside.NO_PIP and (wheel := _pip_wheel()) is not None:
        inside = f"{SCRATCH_DIR}/{wheel.name}"
        sandbox.write(inside, wheel.read_bytes())
        done = sandbox.run(f"{install} {inside}", timeout_s=_OWN_TIMEOUT_S, cwd="/")
    if done.exit_code != 0:
        last = (done.output.text().strip() or f"exit code {done.exit_code}").splitlines()[
            -1
        ]  # of a traceback, the error
        raise SandboxError(
            f"no virtual environment could be made with {python}: {last}",
            kind="setup",
            mend="Take an image that has Python and its venv module (`--image`).",
        )
    return command


def _pip_wheel() -> Path | None:
    """Return the pip that our own Python brings along; Debian keeps it outside of the standard library."""
    library = Path(sysconfig.get_path("stdlib"))
    folders = (library / "ensurepip" / "_bundled", Path("/usr/share/python-wheels"))
    return next((wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))), None)


def run_commands(
    sandbox: Sandbox,
    commands: Sequence[str],
    proxy: EgressProxy,
    *,
    progress: Callable[[str], None],
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> None:
    """Run each command in the workspace, each with `timeout_s` seconds at most.

    Raises:
        SandboxError: `setup`, a command failed; its last lines and the hosts that the proxy refused are in the text.
    """
    for command in commands:
        progress(f"set-up: {command}")
        done = sandbox.run(command, timeout_s=timeout_s, cwd=sandbox.workdir)
        if done.exit_code != 0:
            how = "timed out" if done.timed_out else f"ended with {done.exit_code}"
            raise _failed(command, how, done.output.text(), proxy)


def _failed(command: str, how: str, output: str, proxy: EgressProxy) -> SandboxError:
    refused = sorted({f"{record.host}:{record.port}" for record in proxy.records if record.verdict == "refused"})
    hint = f" The egress proxy refused {', '.join(refused[:5])}." if refused else ""
    tail = "\n".join(output.strip().splitlines()[-_TAIL_LINES:])
    return SandboxError(
        f"set-up command `{command}` {how}.{hint}\n{tail}",
        kind="setup",
        mend="Give working commands with `setup` in the configuration, or an image that needs none with `--image`.",
    )


def keep_files(sandbox: Sandbox) -> SetupResult:
    """Pack what set-up left in the workspace under `ENVIRONMENT_DIR`, and remove its scratch files.

    Raises:
        SandboxError: `setup`, there is no room.
    """
    done = sandbox.run(
        _SAVE_FILES.format(workdir=shlex.quote(sandbox.workdir)), timeout_s=_OWN_TIMEOUT_S, cwd="/", keep_state=False
    )
    if done.exit_code == _NO_GIT:
        return SetupResult(notes=("the image has no git: files that set-up made in the workspace are not kept",))
    if done.exit_code != 0:
        raise SandboxError(f"the files of set-up could not be kept: {done.output.text()[-500:]}", kind="setup")
    untracked = _own(sandbox, _LIST_UNTRACKED).split("\0")
    changed = _own(sandbox, _LIST_CHANGED).splitlines()
    notes = (f"set-up changed tracked files, which is not kept: {', '.join(changed[:5])}",) if changed else ()
    return SetupResult(tuple(path for path in untracked if path and "\n" not in path), notes)


def _own(sandbox: Sandbox, command: str, *, keep_state: bool = False) -> str:
    done = sandbox.run(command, timeout_s=_OWN_TIMEOUT_S, keep_state=keep_state, head_bytes=1024 * 1024)
    if done.exit_code != 0:
        raise SandboxError(f"`{command[:80]}` failed in the sandbox: {done.output.text()[-300:]}", kind="setup")
    return done.output.text()


def mentions_scm_version(text: Mapping[str, str]) -> bool:
    """Whether a project's build files take its version from git tags."""
    build_files = (text.get(name, "") for name in ("pyproject.toml", "setup.py", "setup.cfg"))
    return any(re.search(r"setuptools[_-]scm|hatch-vcs|\bpbr\b", content) for content in build_files)


def unpack_files(sandbox: Sandbox) -> None:
    """Put what set-up left in the workspace into a new one. Silent where there was nothing."""
    done = sandbox.run(
        f"[ ! -s {FILES_TAR} ] || tar -xf {FILES_TAR}", timeout_s=_OWN_TIMEOUT_S, cwd=sandbox.workdir, keep_state=False
    )
    if done.exit_code != 0:
        raise SandboxError(f"the files of set-up could not be unpacked: {done.output.text()[-500:]}", kind="setup")
