"""What a hostile client of the allow-list proxy tries: smuggling, fronting, rebinding, redirects. Real sockets."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.sandbox.egress import EgressProxy
from ostro.sandbox.egress_exchange import EgressLimits
from ostro.sandbox.egress_rules import EgressEntry, EgressRules, Upstream, refused_address
from ostro.sandbox.egress_wire import BadRequestError, closing_answer, hello_fault, parse_request
from tests.origin import ask, hello_for, here, only, origin, page, read_all, read_head


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://pypi.org/ HTTP/1.1\r\nX: a\nHost: evil\r\n\r\n",
        b"GET http://pypi.org/ HTTP/1.1\r\nX: a\rHost: evil\r\n\r\n",
        b"GET http://pypi.org/ HTTP/1.1\r\nX: a\0b\r\n\r\n",
        b"GET http://pypi.org/ HTTP/1.1\r\nX: a\r\n Host: evil\r\n\r\n",
        b"GET http://pypi.org/ HTTP/1.1\r\nContent-Length : 5\r\n\r\nabcde",
        b"GET http://pypi.org/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET http://pypi.org/ HTTP/1.1\r\nContent-Length: 0, 5\r\n\r\n",
        b"GET http://pypi.org/ HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET http://pypi.org/a HTTP/1.1 b HTTP/1.1\r\n\r\n",
        b"GET\thttp://pypi.org/ HTTP/1.1\r\n\r\n",
        b"GET http://pypi.org\\@evil/ HTTP/1.1\r\n\r\n",
        b"CONNECT evil@pypi.org:443 HTTP/1.1\r\n\r\n",
        b"CONNECT pypi.org:443/x HTTP/1.1\r\n\r\n",
        b"CONNECT pypi.org:443#@evil HTTP/1.1\r\n\r\n",
        b"CONNECT pypi.org:0 HTTP/1.1\r\n\r\n",
        b"get http://pypi.org/ HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ],
)
def test_request_when_two_programs_could_read_it_differently_then_400(tmp_path: Path, head: bytes) -> None:
    with EgressProxy(EgressRules(), unix_socket=tmp_path / "s") as proxy:
        answer = ask(proxy, head)
        assert only(proxy).verdict == "refused"
    assert answer.startswith(b"HTTP/1.1 400 ")


SECOND = b"GET http://169.254.169.254/latest/ HTTP/1.1\r\nHost: evil\r\n\r\n"


def test_fetch_when_a_second_request_follows_then_the_origin_never_sees_it(tmp_path: Path) -> None:
    got: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        head = read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
        got.append(head + read_all(connection))

    with origin(serve) as server:
        rules = EgressRules(here(server.port).entries, upstream=Upstream("127.0.0.1", server.port))
        for chosen in (here(server.port), rules):
            with EgressProxy(chosen, unix_socket=tmp_path / "s") as proxy, socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(str(proxy.unix_socket))
                client.sendall(f"GET http://localhost:{server.port}/a HTTP/1.1\r\n\r\n".encode() + SECOND)
                assert read_head(client).startswith(b"HTTP/1.1 200")
                client.sendall(SECOND)
                client.shutdown(socket.SHUT_WR)
                read_all(client)
    assert len(got) == 2
    for request in got:
        assert request.count(b"HTTP/1.1\r\n") == 1
        assert b"evil" not in request


def test_fetch_when_the_origin_would_keep_the_connection_then_the_client_is_told_to_close(tmp_path: Path) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\nbody")

    with origin(serve) as server, EgressProxy(here(server.port), unix_socket=tmp_path / "s") as proxy:
        answer = ask(proxy, f"GET http://localhost:{server.port}/ HTTP/1.1\r\n\r\n".encode())
    assert answer == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbody"


def test_fetch_when_the_origin_does_not_speak_http_then_502(tmp_path: Path) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"220 mail ready\r\n\r\n")

    with origin(serve) as server, EgressProxy(here(server.port), unix_socket=tmp_path / "s") as proxy:
        answer = ask(proxy, f"GET http://localhost:{server.port}/ HTTP/1.1\r\n\r\n".encode())
        assert only(proxy).verdict == "failed"
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"mail ready" not in answer


@given(st.lists(st.tuples(st.sampled_from(["Connection", "X", "keep-alive"]), st.text("ab ,-", max_size=9))))
def test_answer_when_its_head_is_passed_on_then_one_word_on_the_connection(fields: list[tuple[str, str]]) -> None:
    head = "HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
    passed = closing_answer(head.encode()).decode()
    assert passed.startswith("HTTP/1.1 200 OK\r\n")
    assert passed.lower().count("\r\nconnection:") == 1
    assert passed.count("\r\nX:") == head.count("\r\nX:")
    assert passed.endswith("\r\nConnection: close\r\n\r\n")


def test_redirect_when_it_leads_to_another_host_then_ends_at_the_proxy(tmp_path: Path) -> None:
    inner: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        where = f"http://127.0.0.1:{target.port}/secret"
        connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode())

    with (
        origin(page(b"secret", inner)) as target,
        origin(serve) as server,
        EgressProxy(here(server.port), unix_socket=tmp_path / "s") as proxy,
    ):
        answer = ask(proxy, f"GET http://localhost:{server.port}/ HTTP/1.1\r\n\r\n".encode())
        assert f"Location: http://127.0.0.1:{target.port}".encode() in answer
        followed = ask(proxy, f"GET http://127.0.0.1:{target.port}/secret HTTP/1.1\r\n\r\n".encode())
        assert [record.verdict for record in proxy.records] == ["allowed", "refused"]
    assert followed.startswith(b"HTTP/1.1 403 ")
    assert inner == []


def test_name_when_bound_anew_after_the_check_then_asked_once_and_the_checked_address_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: Any, *rest: Any, **named: Any) -> Any:
        # A name server of the attacker's: first a public address, to every further question our own loopback.
        if host != "rebound.example":
            return real(host, *rest, **named)
        asked.append(host)
        return real("203.0.113.7" if len(asked) == 1 else "127.0.0.1", *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    heads: list[bytes] = []
    with origin(page(b"inner", heads)) as server:
        rules = EgressRules((EgressEntry("rebound.example", (server.port,)),))
        request = f"GET http://rebound.example:{server.port}/ HTTP/1.1\r\n\r\n".encode()
        with EgressProxy(rules, unix_socket=tmp_path / "s", limits=EgressLimits(connect_s=1)) as proxy:
            first = ask(proxy, request)
            assert asked == ["rebound.example"]
            second = ask(proxy, request)
            assert [record.verdict for record in proxy.records] == ["failed", "refused"]
    assert first.startswith(b"HTTP/1.1 50")
    assert b"loopback" in second
    assert heads == []


def with_extension(hello: bytes, kind: int, body: bytes) -> bytes:
    """Return a TLS hello with one extension more, all its lengths put right."""
    record, handshake = hello[:3], hello[5:]
    at = 4 + 2 + 32
    at += 1 + handshake[at]
    at += 2 + int.from_bytes(handshake[at : at + 2], "big")
    at += 1 + handshake[at]
    extensions = handshake[at + 2 :] + struct.pack(">HH", kind, len(body)) + body
    inner = handshake[4:at] + struct.pack(">H", len(extensions)) + extensions
    message = handshake[:1] + len(inner).to_bytes(3, "big") + inner
    return record + struct.pack(">H", len(message)) + message


def sni(name: bytes) -> bytes:
    return struct.pack(">HBH", len(name) + 3, 0, len(name)) + name


@pytest.mark.parametrize(
    ("hello", "why"),
    [
        (with_extension(hello_for("localhost"), 0xFE0D, b"\0" * 40), "hides"),
        (with_extension(hello_for("localhost"), 0, sni(b"other.example")), "asks for None"),
        (hello_for("localhost.evil.example"), "evil.example"),
        (hello_for("127.0.0.1"), "asks for None"),
    ],
    ids=["encrypted hello", "two names", "a longer name", "no name"],
)
def test_tunnel_when_its_hello_may_ask_for_another_host_then_cut(tmp_path: Path, hello: bytes, why: str) -> None:
    got: list[bytes] = []
    with (
        origin(lambda connection: got.append(read_all(connection))) as server,
        EgressProxy(here(server.port), unix_socket=tmp_path / "s") as proxy,
    ):
        ask(proxy, f"CONNECT localhost:{server.port} HTTP/1.1\r\n\r\n".encode(), hello)
        record = only(proxy)
    assert record.verdict == "refused"
    assert why in record.reason
    assert got == [b""]


def test_hello_when_an_extension_of_no_meaning_is_added_then_still_read() -> None:
    assert hello_fault(with_extension(hello_for("pypi.org"), 0x4A4A, b"grease"), "pypi.org") == ""


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",  # AWS, Google, Azure and others
        "169.254.170.2",  # AWS containers
        "fd00:ec2::254",  # AWS over IPv6
        "168.63.129.16",  # Azure
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "2a00::5efe:10.0.0.1",
        "2a00::200:5efe:192.168.0.1",
        "ff05::1:3",
        "192.88.99.1",
    ],
)
def test_address_when_it_is_of_metadata_or_carries_a_private_one_then_refused(address: str) -> None:
    assert refused_address(address)


@pytest.mark.parametrize(
    "host",
    ["evil-pypi.org", "pypi.org.evil.example", "a.pypi.org", "org", "2130706433", "0x7f.1", "127.1", "pypi.org%00.evil",
     "xn--pyp-lpa.org", "[::ffff:127.0.0.1]", "169.254.169.254", "localhost"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["CONNECT {}:443", "GET http://{}/"])
def test_host_when_it_only_looks_like_an_allowed_one_then_refused(tmp_path: Path, host: str, form: str) -> None:
    with EgressProxy(EgressRules(), unix_socket=tmp_path / "s") as proxy:
        answer = ask(proxy, f"{form.format(host)} HTTP/1.1\r\n\r\n".encode())
        assert only(proxy).verdict == "refused"
    assert answer.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 400 "))


@given(st.binary(min_size=1, max_size=60), st.integers(0, 60))
def test_request_when_bytes_are_put_into_it_then_the_host_stays_or_it_is_refused(noise: bytes, place: int) -> None:
    head = b"GET http://pypi.org/a HTTP/1.1\r\nHost: pypi.org\r\nA: b\r\n\r\n"
    try:
        request = parse_request(head[:place] + noise + head[place:])
    except BadRequestError:
        return
    lines = request.forward.split(b"\r\n")
    assert sum(line.lower().startswith(b"host:") for line in lines) <= 1
    assert not any(byte < 32 and byte != 9 for line in lines for byte in line)
    if not request.tunnel:
        assert lines[1].removeprefix(b"Host: ").lower().startswith(request.host.encode())
