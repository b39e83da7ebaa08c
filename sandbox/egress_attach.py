"""Let the commands of an open sandbox reach the egress proxy, and nothing else, at 127.0.0.1:3128.

Where we may (our own namespaces, or root over a container of this machine) the listener is made inside the sandbox's
network namespace and needs nothing there. Elsewhere a relay of a few lines runs inside, between that port and the
proxy's socket, which the backend shows there.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path

from ostro.sandbox.egress import EgressProxy
from ostro.sandbox.namespace import PROXY_HOST, PROXY_PORT, listen_inside
from ostro.sandbox.protocol import Sandbox, SandboxError

RELAY_SOCKET = "/ostro/proxy.sock"
"""Where both backends show `SandboxSpec.network`."""

_PROBE_S = 10.0
_NODE = (
    f"require('net').createServer(c=>{{const u=require('net').connect('{RELAY_SOCKET}');"
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
    ur, uw = await asyncio.open_unix_connection("{RELAY_SOCKET}")
    await asyncio.gather(copy(r, uw), copy(ur, w)); w.close(); uw.close()
async def main():
    await (await asyncio.start_server(serve, "{PROXY_HOST}", {PROXY_PORT})).serve_forever()
asyncio.run(main())"""
_PERL = f"""use IO::Socket; use IO::Select; $SIG{{CHLD}}="IGNORE"; $SIG{{PIPE}}="IGNORE";
my $l=IO::Socket::INET->new(LocalAddr=>"{PROXY_HOST}",LocalPort=>{PROXY_PORT},Listen=>64,ReuseAddr=>1) or die;
while(1){{ my $c=$l->accept or next; next if fork; close $l;
my $u=IO::Socket::UNIX->new(Peer=>"{RELAY_SOCKET}") or exit 1; my $s=IO::Select->new($c,$u);
while(my @r=$s->can_read){{ for my $f (@r){{ my $t=$f==$c?$u:$c;
if(!sysread($f,my $b,65536)){{ $f==$c?($s->remove($c),$u->shutdown(1)):exit 0; next }}
while(length $b){{ my $n=syswrite($t,$b); exit 1 unless $n; substr($b,0,$n)="" }} }} }} }}"""
_RELAYS = {
    "python3": ["python3", "-c", _PYTHON],
    "perl": ["perl", "-e", _PERL],
    "node": ["node", "-e", _NODE],
    "socat": ["socat", f"TCP-LISTEN:{PROXY_PORT},bind={PROXY_HOST},fork,reuseaddr", f"UNIX-CONNECT:{RELAY_SOCKET}"],
}


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
        "cat /proc/sys/kernel/random/boot_id; readlink /proc/self/ns/net", timeout_s=_PROBE_S, cwd="/", keep_state=False
    )
    boot_id, _, namespace = said.output.text().strip().partition("\n")
    if boot_id != Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip():
        raise SandboxError("the sandbox runs on another machine", kind="unavailable")
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        with suppress(OSError):
            if str(link.readlink()) == namespace:
                return int(link.parts[2])
    raise SandboxError("no process of the sandbox is ours to see", kind="unavailable")


def _start_relay(sandbox: Sandbox, refused: SandboxError) -> None:
    mend = (
        "Take an image that has the dependencies already (`--image`, or `ostro image build`), "
        "or prepare with the embedded sandbox (`--sandbox local`)."
    )
    if sandbox.run(f"test -S {RELAY_SOCKET}", timeout_s=_PROBE_S, cwd="/", keep_state=False).exit_code != 0:
        raise SandboxError(f"the egress proxy cannot reach into the sandbox: {refused}", kind="setup", mend=mend)
    program = next((name for name in _RELAYS if sandbox.has(name)), None)
    if program is None:
        reason = f"{refused}, and the image has none of {', '.join(_RELAYS)} to relay to the proxy's socket"
        raise SandboxError(f"the egress proxy cannot reach into the sandbox: {reason}", kind="setup", mend=mend)
    sandbox.start(shlex.join(_RELAYS[program]))
