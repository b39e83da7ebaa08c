"""The way from a container without a network to a unix socket of the host, over the engine's API alone."""

import hashlib
import http.server
import secrets
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.docker_tunnel import Tunnel, open_tunnel
from ostro.sandbox.namespace import PROXY_PORT
from ostro.sandbox.protocol import SandboxError

BIG = bytes(range(256)) * 4 * 1024 * 8  # 8 MiB


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BIG)))
        self.end_headers()
        self.wfile.write(BIG)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        digest = hashlib.sha256(body).hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(digest)))
        self.end_headers()
        self.wfile.write(digest)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        pass


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, _ = super().get_request()
        return connection, ("unix", 0)  # http.server wants a host and a port


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "proxy.sock"
    with UnixServer(str(path), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield path
        server.shutdown()
        thread.join()


@pytest.fixture
def container(docker_image: str) -> Iterator[str]:
    engine = Engine.connect()
    body: dict[str, object] = {"Image": docker_image, "Entrypoint": ["sleep", "300"], "User": "1000:1000"}
    body["HostConfig"] = {"NetworkMode": "none", "ReadonlyRootfs": True, "CapDrop": ["ALL"], "Init": True}
    made = engine.create_container(body, f"ostro-test-{secrets.token_hex(4)}")
    engine.start(made)
    yield made
    engine.remove_container(made)
    engine.close()


def inside(container: str, program: str) -> str:
    argv = ["docker", "exec", container, "python3", "-c", program]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


FETCH = f"""
import hashlib, http.client
from concurrent.futures import ThreadPoolExecutor
def fetch(number):
    link = http.client.HTTPConnection("127.0.0.1", {PROXY_PORT})
    link.request("GET", "/")
    return hashlib.sha256(link.getresponse().read()).hexdigest()
def send(number):
    link = http.client.HTTPConnection("127.0.0.1", {PROXY_PORT})
    link.request("POST", "/", body=b"x" * 3000000)
    return link.getresponse().read().decode()
with ThreadPoolExecutor(6) as pool:
    print(*sorted(set(pool.map(fetch, range(6)))), *set(pool.map(send, range(3))))
"""


@pytest.mark.docker
@pytest.mark.parametrize("interpreter", ["python3", "perl"])
def test_tunnel_carries_many_connections_whole(
    container: str, target: Path, interpreter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if interpreter == "perl":
        text = 'exec perl -e "$2" "$0"'
        monkeypatch.setattr("ostro.sandbox.docker_tunnel.CHOOSE_INTERPRETER", text)
    engine = Engine.connect()
    with open_tunnel(engine, container, target):
        got = inside(container, FETCH)
    engine.close()
    assert got.split() == [hashlib.sha256(BIG).hexdigest(), hashlib.sha256(b"x" * 3000000).hexdigest()]


@pytest.mark.docker
def test_tunnel_when_the_proxy_is_away_refuses_the_connection(container: str, tmp_path: Path) -> None:
    engine = Engine.connect()
    program = f"import socket; s = socket.create_connection(('127.0.0.1', {PROXY_PORT})); print(s.recv(9))"
    with open_tunnel(engine, container, tmp_path / "nobody.sock"):
        assert inside(container, program) == "b''"
    engine.close()


@pytest.mark.docker
def test_tunnel_when_closed_leaves_no_listener(container: str, target: Path) -> None:
    engine = Engine.connect()
    open_tunnel(engine, container, target).close()
    program = f"""
import socket, time
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    try:
        socket.create_connection(("127.0.0.1", {PROXY_PORT})).close()
    except ConnectionRefusedError:
        print("refused")
        break
"""
    assert inside(container, program) == "refused"
    engine.close()


class Mute:
    """A channel whose relay says something on stderr and ends."""

    def send(self, data: bytes) -> None:
        raise AssertionError

    def receive(self, timeout_s: float) -> bytes | None:
        return b""

    def diagnostics(self) -> str:
        return "neither python3 nor perl\n"

    def close(self) -> None:
        pass


def test_tunnel_when_no_relay_can_run_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="neither python3 nor perl") as caught:
        Tunnel(Mute(), tmp_path / "proxy.sock")
    assert caught.value.kind == "setup"
