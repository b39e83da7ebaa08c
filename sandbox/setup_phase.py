"""Run the set-up commands of an environment in an open sandbox, with the egress proxy as their only way out.

Everything that lasts lies under /opt/env: the tools themselves, and a tar of what set-up left in the workspace.
Used by sandbox/environment.py; knows nothing of backends and caches.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ostro.sandbox.egress import EgressProxy
from ostro.sandbox.namespace import PROXY_HOST, PROXY_PORT, listen_inside
from ostro.sandbox.protocol import Sandbox, SandboxError
from ostro.sandbox.registries import CA_SETTINGS, HostRegistries

ENV_DIR = "/opt/env"
PRIVATE_DIR = f"{ENV_DIR}/.ostro"
FILES_TAR = f"{PRIVATE_DIR}/workspace.tar"
CA_FILE = f"{PRIVATE_DIR}/ca.pem"
SCRATCH_DIR = f"{PRIVATE_DIR}/tmp"

COMMAND_TIMEOUT_S = 1800.0
_OWN_TIMEOUT_S = 300.0
_TAIL_LINES = 15
PROXY_URL = f"http://{PROXY_HOST}:{PROXY_PORT}"

# What cannot be fetched again offline is kept; caches are not.
_FIXED = {
    "HTTP_PROXY": PROXY_URL,
    "HTTPS_PROXY": PROXY_URL,
    "http_proxy": PROXY_URL,
    "https_proxy": PROXY_URL,
    "NO_PROXY": "",
    "no_proxy": "",
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


def setup_variables(registries: HostRegistries, *, shows_folders: bool, tree_mentions_scm: bool) -> dict[str, str]:
    """Return the variables of set-up commands; none of them stays for the agent.

    Args:
        shows_folders: the sandbox shows the host folders that `registries` names.
        tree_mentions_scm: the project takes its version from git tags, which the workspace does not have.
    """
    index = {**registries.variables, **(registries.local_paths if shows_folders else {})}
    trust = dict.fromkeys(CA_SETTINGS, CA_FILE) if registries.ca_bundle else {}
    version = {"SETUPTOOLS_SCM_PRETEND_VERSION": "999.0.0", "PBR_VERSION": "999.0.0"} if tree_mentions_scm else {}
    return {**_FIXED, **index, **trust, **version}


def attach_proxy(sandbox: Sandbox, proxy: EgressProxy) -> None:
    """Let the sandbox's commands find the proxy at 127.0.0.1:3128.

    On this machine a listener is made in the sandbox's network namespace; where that is not permitted (another
    user's container) a relay of one line is started inside, if the proxy's socket is shown there.

    Raises:
        SandboxError: `setup`, neither way works, with the reason.
    """
    try:
        proxy.serve(listen_inside(_host_pid(sandbox)))
    except SandboxError as refused:
        _start_relay(sandbox, refused)


def _host_pid(sandbox: Sandbox) -> int:
    """Find a process of the sandbox on this host by its network namespace; same kernel only."""
    said = sandbox.run(
        "cat /proc/sys/kernel/random/boot_id; readlink /proc/self/ns/net", timeout_s=10, cwd="/", keep_state=False
    )
    boot_id, _, namespace = said.output.text().strip().partition("\n")
    if boot_id != Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip():
        raise SandboxError("the sandbox runs on another machine", kind="unavailable")
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        with suppress(OSError):
            if str(link.readlink()) == namespace:
                return int(link.parts[2])
    raise SandboxError("no process of the sandbox is ours to see", kind="unavailable")


_RELAY_SOCKET = "/ostro/proxy.sock"
_NODE = (
    f"require('net').createServer(c=>{{const u=require('net').connect('{_RELAY_SOCKET}');"
    "for(const s of [c,u])s.on('error',()=>{c.destroy();u.destroy()});"
    f"c.pipe(u);u.pipe(c)}}).listen({PROXY_PORT},'{PROXY_HOST}')"
)
_PYTHON = f"""import asyncio
async def copy(r, w):
    try:
        while d := await r.read(65536):
            w.write(d); await w.drain()
        if w.can_write_eof(): w.write_eof()
    except OSError: w.close()
async def serve(r, w):
    ur, uw = await asyncio.open_unix_connection("{_RELAY_SOCKET}")
    await asyncio.gather(copy(r, uw), copy(ur, w)); w.close(); uw.close()
async def main():
    await (await asyncio.start_server(serve, "{PROXY_HOST}", {PROXY_PORT})).serve_forever()
asyncio.run(main())"""
_PERL = f"""use IO::Socket; use IO::Select; $SIG{{CHLD}}="IGNORE"; $SIG{{PIPE}}="IGNORE";
my $l=IO::Socket::INET->new(LocalAddr=>"{PROXY_HOST}",LocalPort=>{PROXY_PORT},Listen=>64,ReuseAddr=>1) or die;
while(1){{ my $c=$l->accept or next; next if fork; close $l;
my $u=IO::Socket::UNIX->new(Peer=>"{_RELAY_SOCKET}") or exit 1; my $s=IO::Select->new($c,$u);
while(my @r=$s->can_read){{ for my $f (@r){{ my $t=$f==$c?$u:$c;
if(!sysread($f,my $b,65536)){{ $f==$c?($s->remove($c),$u->shutdown(1)):exit 0; next }}
while(length $b){{ my $n=syswrite($t,$b); exit 1 unless $n; substr($b,0,$n)="" }} }} }} }}"""
_RELAYS = {
    "python3": ["python3", "-c", _PYTHON],
    "perl": ["perl", "-e", _PERL],
    "node": ["node", "-e", _NODE],
    "socat": ["socat", f"TCP-LISTEN:{PROXY_PORT},bind={PROXY_HOST},fork,reuseaddr", f"UNIX-CONNECT:{_RELAY_SOCKET}"],
}


def _start_relay(sandbox: Sandbox, refused: SandboxError) -> None:
    mend = (
        "Take an image that has the dependencies already (`--image`, or `ostro image build`), "
        "or prepare with the embedded sandbox (`--sandbox local`)."
    )
    if sandbox.run(f"test -S {_RELAY_SOCKET}", timeout_s=10, cwd="/", keep_state=False).exit_code != 0:
        raise SandboxError(f"the egress proxy cannot reach into the sandbox: {refused}", kind="setup", mend=mend)
    program = next((name for name in _RELAYS if sandbox.has(name)), None)
    if program is None:
        reason = f"{refused}, and the image has none of {', '.join(_RELAYS)} to relay to the proxy's socket"
        raise SandboxError(f"the egress proxy cannot reach into the sandbox: {reason}", kind="setup", mend=mend)
    sandbox.start(shlex.join(_RELAYS[program]))


def run_setup(
    sandbox: Sandbox,
    commands: Sequence[str],
    variables: Mapping[str, str],
    registries: HostRegistries,
    proxy: EgressProxy,
    *,
    progress: Callable[[str], None],
    timeout_s: float = COMMAND_TIMEOUT_S,
) -> SetupResult:
    """Run each command in the workspace and keep what they left there.

    Args:
        variables: exported before the first command.
        timeout_s: for each command.

    Raises:
        SandboxError: `setup`, a command failed; its last lines and the hosts that the proxy refused are in the text.
    """
    attach_proxy(sandbox, proxy)
    _own(sandbox, f"mkdir -p {SCRATCH_DIR}")
    if registries.ca_bundle is not None:
        sandbox.write(CA_FILE, registries.ca_bundle.read_bytes())
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    _own(sandbox, exports, keep_state=True)
    for command in commands:
        progress(f"set-up: {command}")
        done = sandbox.run(command, timeout_s=timeout_s, cwd=sandbox.workdir)
        if done.exit_code != 0:
            raise _failed(
                command, "timed out" if done.timed_out else f"ended with {done.exit_code}", done.output.text(), proxy
            )
    return _keep_files(sandbox)


def _failed(command: str, how: str, output: str, proxy: EgressProxy) -> SandboxError:
    refused = sorted({f"{record.host}:{record.port}" for record in proxy.records if record.verdict == "refused"})
    hint = f" The egress proxy refused {', '.join(refused[:5])}." if refused else ""
    tail = "\n".join(output.strip().splitlines()[-_TAIL_LINES:])
    return SandboxError(
        f"set-up command `{command}` {how}.{hint}\n{tail}",
        kind="setup",
        mend="Give working commands with `setup` in the configuration, or an image that needs none with `--image`.",
    )


def _keep_files(sandbox: Sandbox) -> SetupResult:
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
