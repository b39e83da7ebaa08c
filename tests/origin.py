"""Both ends of the egress proxy for its tests: origins on real sockets, clients that say exactly what they are told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from ostro.sandbox.egress import EgressProxy
from ostro.sandbox.egress_exchange import EgressRecord
from ostro.sandbox.egress_rules import EgressEntry, EgressRules

Serve = Callable[[socket.socket], None]


class Origin:
    """A TCP server on loopback that runs `serve` for each connection and keeps what `received` was told."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            worker = threading.Thread(target=self._one, args=(connection,))
            worker.start()
            self._threads.append(worker)

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError):  # the proxy may cut it
            connection.settimeout(10)
            self._serve(connection)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for worker in self._threads:
            worker.join()


@contextmanager
def origin(serve: Serve) -> Generator[Origin]:
    server = Origin(serve)
    try:
        yield server
    finally:
        server.close()


def read_head(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(4096)
        if not more:
            return data
        data += more
    return data


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while more := connection.recv(65536):
        data += more
    return data


def read_all_of(connection: socket.socket) -> None:
    read_all(connection)


def page(body: bytes, heads: list[bytes]) -> Serve:
    def serve(connection: socket.socket) -> None:
        heads.append(read_head(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    return serve


def hello_for(host: str) -> bytes:
    """The first flight of a real TLS client that asks for `host`."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=host)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def here(port: int, *, private: bool = True) -> EgressRules:
    return EgressRules((EgressEntry("localhost", (port,), private, "the host's index"),))


def ask(proxy: EgressProxy, request: bytes, then: bytes = b"") -> bytes:
    """Send a request, and `then` once the proxy has answered its head; return everything that came."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(proxy.unix_socket))
        client.sendall(request)
        head = read_head(client) if then else b""
        if then:
            client.sendall(then)
        return head + read_all(client)


def only(proxy: EgressProxy) -> EgressRecord:
    """The one record, which is there once the client has seen the end of its connection."""
    assert len(proxy.records) == 1
    return proxy.records[0]
