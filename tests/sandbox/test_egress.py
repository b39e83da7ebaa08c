"""The allow-list proxy: what passes, what does not, and what is recorded. Real sockets throughout."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.sandbox import egress
from ostro.sandbox.egress import EgressProxy
from ostro.sandbox.egress_exchange import EgressLimits, EgressRecord
from ostro.sandbox.egress_log import EgressLog, read_egress_log
from ostro.sandbox.egress_rules import (
    EgressRules,
    Upstream,
    parse_upstream,
    refused_address,
    upstream_from_environment,
)
from ostro.sandbox.egress_wire import BadRequestError, hello_size, parse_request, server_name
from ostro.sandbox.namespace import listen_inside
from ostro.sandbox.protocol import SandboxError
from tests.origin import Serve, ask, hello_for, here, only, origin, page, read_all, read_all_of, read_head


def test_fetch_when_host_is_allowed_then_the_page_passes_and_is_recorded(tmp_path: Path) -> None:
    heads: list[bytes] = []
    with (
        origin(page(b"wheel", heads)) as server,
        EgressProxy(here(server.port), unix_socket=tmp_path / "s") as proxy,
    ):
        url = f"http://localhost:{server.port}/simple/x/?a=b"
        answer = ask(proxy, f"GET {url} HTTP/1.1\r\nHost: evil\r\nProxy-Authorization: secret\r\nA: b\r\n\r\n".encode())
        record = only(proxy)
    assert answer.endswith(b"\r\n\r\nwheel")
    assert heads[0].startswith(b"GET /simple/x/?a=b HTTP/1.1\r\nHost: localhost:")
    assert b"evil" not in heads[0]
    assert b"secret" not in heads[0]
    assert b"A: b\r\n" in heads[0]
    assert (record.verdict, record.reason, record.address) == ("allowed", "the host's index", "127.0.0.1")
    assert (record.host, record.port, record.received_bytes) == ("localhost", server.port, len(answer))


@pytest.mark.parametrize(
    "request_line",
    ["CONNECT evil.example:443", "CONNECT pypi.org:22", "CONNECT pypi.org.evil.example:443",
     "CONNECT 93.184.216.34:443",
     "GET http://169.254.169.254/latest/meta-data", "GET http://127.0.0.1:22/", "CONNECT [::1]:443"],
)  # fmt: skip
def test_request_when_host_or_port_is_not_on_the_list_then_refused_with_403(tmp_path: Path, request_line: str) -> None:
    with EgressProxy(EgressRules(), unix_socket=tmp_path / "s") as proxy:
        answer = ask(proxy, f"{request_line} HTTP/1.1\r\n\r\n".encode())
        record = only(proxy)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"on the allow-list" in answer
    assert record.verdict == "refused"


def test_connect_when_an_allowed_name_leads_to_loopback_then_refused(tmp_path: Path) -> None:
    with (
        origin(read_all_of) as server,
        EgressProxy(here(server.port, private=False), unix_socket=tmp_path / "s") as proxy,
    ):
        answer = ask(proxy, f"CONNECT localhost:{server.port} HTTP/1.1\r\n\r\n".encode())
        record = only(proxy)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert record.verdict == "refused"
    assert "loopback" in record.reason


def test_tunnel_when_tls_asks_for_the_named_host_then_bytes_pass_both_ways(tmp_path: Path) -> None:
    hello = hello_for("localhost")
    got: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        got.append(connection.recv(len(hello), socket.MSG_WAITALL))
        connection.sendall(b"server hello")

    with origin(serve) as server, EgressProxy(here(server.port), unix_socket=tmp_path / "s") as proxy:
        answer = ask(proxy, f"CONNECT LOCALHOST.:{server.port} HTTP/1.1\r\n\r\n".encode(), hello)
        record = only(proxy)
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\nserver hello"
    assert got == [hello]
    assert (record.verdict, record.sent_bytes) == ("allowed", len(hello))


@pytest.mark.parametrize("first", [hello_for("other.example"), b"SSH-2.0-OpenSSH_9.2\r\n"], ids=["other name", "ssh"])
def test_tunnel_when_it_carries_something_else_then_cut_and_origin_sees_nothing(tmp_path: Path, first: bytes) -> None:
    got: list[bytes] = []
    with (
        origin(lambda connection: got.append(read_all(connection))) as server,
        EgressProxy(here(server.port), unix_socket=tmp_path / "s") as proxy,
    ):
        answer = ask(proxy, f"CONNECT localhost:{server.port} HTTP/1.1\r\n\r\n".encode(), first)
        record = only(proxy)
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert got == [b""]
    assert record.verdict == "refused"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST http://pypi.org/ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        b"GET http://pypi.org/ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /relative HTTP/1.1\r\n\r\n",
        b"GET https://pypi.org/ HTTP/1.1\r\n\r\n",
        b"GET http://user:pw@pypi.org/ HTTP/1.1\r\n\r\n",
        b"CONNECT pypi.org HTTP/1.1\r\n\r\n",
        b"CONNECT pypi.org:99999 HTTP/1.1\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET http://pypi.org/" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_request_when_malformed_or_with_a_body_then_400(tmp_path: Path, request_bytes: bytes) -> None:
    with EgressProxy(EgressRules(), unix_socket=tmp_path / "s") as proxy:
        answer = ask(proxy, request_bytes)
        record = only(proxy)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert record.verdict == "refused"


def test_tunnel_when_the_client_sends_too_much_then_cut(tmp_path: Path) -> None:
    hello = hello_for("localhost")
    limits = EgressLimits(sent_bytes=len(hello) + 1000)
    with (
        origin(read_all_of) as server,
        EgressProxy(here(server.port), unix_socket=tmp_path / "s", limits=limits) as proxy,
    ):
        ask(proxy, f"CONNECT localhost:{server.port} HTTP/1.1\r\n\r\n".encode(), hello + b"x" * 5000)
        record = only(proxy)
    assert record.verdict == "refused"
    assert "bytes sent" in record.reason


def test_fetch_when_the_answer_is_too_large_then_cut(tmp_path: Path) -> None:
    limits = EgressLimits(received_bytes=1_000_000)
    with (
        origin(page(b"x" * 4_000_000, [])) as server,
        EgressProxy(here(server.port), unix_socket=tmp_path / "s", limits=limits) as proxy,
    ):
        answer = ask(proxy, f"GET http://localhost:{server.port}/ HTTP/1.1\r\n\r\n".encode())
        record = only(proxy)
    assert len(answer) <= 1_000_000
    assert record.verdict == "refused"


@pytest.mark.parametrize("limits", [EgressLimits(idle_s=0.05), EgressLimits(connection_s=0.05)], ids=["idle", "life"])
def test_fetch_when_the_origin_never_answers_then_ended_by_the_limit(tmp_path: Path, limits: EgressLimits) -> None:
    with (
        origin(read_all_of) as server,
        EgressProxy(here(server.port), unix_socket=tmp_path / "s", limits=limits) as proxy,
    ):
        answer = ask(proxy, f"GET http://localhost:{server.port}/ HTTP/1.1\r\n\r\n".encode())
        record = only(proxy)
    assert answer == b""
    assert (record.verdict, record.reason) == ("failed", "the connection idled or lasted too long")


def test_client_when_it_says_nothing_then_dropped_in_time(tmp_path: Path) -> None:
    with EgressProxy(EgressRules(), unix_socket=tmp_path / "s", limits=EgressLimits(connect_s=0.05)) as proxy:
        answer = ask(proxy, b"CONNECT ")
        assert only(proxy).verdict == "failed"
    assert answer.startswith(b"HTTP/1.1 504 ")


def test_connect_when_nobody_listens_then_502_with_the_reason(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with EgressProxy(here(port), unix_socket=tmp_path / "s") as proxy:
        answer = ask(proxy, f"CONNECT localhost:{port} HTTP/1.1\r\n\r\n".encode())
        record = only(proxy)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert record.verdict == "failed"


def upstream_proxy(heads: list[bytes], answer: bytes, then: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        heads.append(read_head(connection))
        connection.sendall(answer)
        connection.recv(65536)
        connection.sendall(then)

    return serve


def test_tunnel_when_the_host_has_a_proxy_then_chained_with_the_hosts_credential(tmp_path: Path) -> None:
    heads: list[bytes] = []
    with origin(upstream_proxy(heads, b"HTTP/1.1 200 ok\r\n\r\n", b"from afar")) as server:
        rules = EgressRules(upstream=parse_upstream(f"http://me:p%40ss@127.0.0.1:{server.port}"))
        with EgressProxy(rules, unix_socket=tmp_path / "s") as proxy:
            answer = ask(proxy, b"CONNECT pypi.org:443 HTTP/1.1\r\n\r\n", hello_for("pypi.org"))
            record = only(proxy)
    assert answer.endswith(b"\r\n\r\nfrom afar")
    assert heads[0].startswith(b"CONNECT pypi.org:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in heads[0]
    assert record.verdict == "allowed"
    assert record.address == f"via 127.0.0.1:{server.port}"


def test_fetch_when_the_host_has_a_proxy_then_it_gets_the_absolute_url(tmp_path: Path) -> None:
    heads: list[bytes] = []
    with origin(page(b"list", heads)) as server:
        rules = EgressRules(upstream=Upstream("127.0.0.1", server.port, "Basic abc"))
        with EgressProxy(rules, unix_socket=tmp_path / "s") as proxy:
            answer = ask(proxy, b"GET http://deb.debian.org/debian/x HTTP/1.1\r\n\r\n")
    assert answer.endswith(b"list")
    assert heads[0].startswith(b"GET http://deb.debian.org:80/debian/x HTTP/1.1\r\nProxy-Authorization: Basic abc\r\n")


def test_tunnel_when_the_hosts_proxy_refuses_then_its_answer_is_told(tmp_path: Path) -> None:
    with origin(upstream_proxy([], b"HTTP/1.1 407 Authenticate\r\n\r\n", b"")) as server:
        rules = EgressRules(upstream=Upstream("127.0.0.1", server.port))
        with EgressProxy(rules, unix_socket=tmp_path / "s") as proxy:
            answer = ask(proxy, b"CONNECT pypi.org:443 HTTP/1.1\r\n\r\n")
            record = only(proxy)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert "407 Authenticate" in record.reason


def test_request_when_a_forbidden_host_would_go_through_the_hosts_proxy_then_still_refused(tmp_path: Path) -> None:
    heads: list[bytes] = []
    with origin(page(b"", heads)) as server:
        rules = EgressRules(upstream=Upstream("127.0.0.1", server.port))
        with EgressProxy(rules, unix_socket=tmp_path / "s") as proxy:
            assert ask(proxy, b"CONNECT intranet.example:443 HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 403")
    assert heads == []


def test_proxy_when_closed_then_open_connections_are_cut_and_the_socket_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with origin(read_all_of) as server, socket.socket(socket.AF_UNIX) as client, socket.socket(socket.AF_UNIX) as idle:
        proxy = EgressProxy(here(server.port), unix_socket=path)
        for connection in (client, idle):
            connection.settimeout(10)
            connection.connect(str(path))
        client.sendall(f"CONNECT localhost:{server.port} HTTP/1.1\r\n\r\n".encode())
        assert read_head(client).startswith(b"HTTP/1.1 200")
        client.sendall(hello_for("localhost"))
        proxy.close()
        for connection in (client, idle):
            assert is_cut(connection)
    proxy.close()
    assert not path.exists()


def is_cut(connection: socket.socket) -> bool:
    try:
        return read_all(connection) == b""
    except ConnectionResetError:
        return True


def test_proxy_when_a_request_ends_then_the_callback_gets_its_record(tmp_path: Path) -> None:
    told: list[EgressRecord] = []
    with EgressProxy(EgressRules(), unix_socket=tmp_path / "s", on_request=told.append) as proxy:
        ask(proxy, b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n")
        assert [only(proxy)] == told
    assert str(told[0]).startswith("refused evil.example:443")


def test_log_when_requests_end_then_each_is_a_line_that_can_be_read_back(tmp_path: Path) -> None:
    log = EgressLog(tmp_path / "egress.jsonl", lambda text: text.replace("s3cret", "[redacted]"))
    assert list(read_egress_log(tmp_path / "egress.jsonl")) == []
    with EgressProxy(EgressRules(), unix_socket=tmp_path / "s", on_request=log) as proxy:
        ask(proxy, b"CONNECT s3cret.evil.example:443 HTTP/1.1\r\n\r\n")
        ask(proxy, b"GET nonsense\r\n\r\n")
        kept = proxy.records
    with (tmp_path / "egress.jsonl").open("a") as file:
        file.write('{"host": "cut of')
    first, second = read_egress_log(tmp_path / "egress.jsonl")
    assert (first.host, first.verdict) == ("[redacted].evil.example", "refused")
    assert second == kept[1]


def test_close_when_who_is_told_of_requests_hangs_then_it_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "_ANSWER_S", 0.2)
    told, released = threading.Event(), threading.Event()

    def hang(_: EgressRecord) -> None:
        told.set()
        released.wait(60)

    with socket.socket(socket.AF_UNIX) as client:
        proxy = EgressProxy(EgressRules(), unix_socket=tmp_path / "s", on_request=hang)
        client.connect(str(proxy.unix_socket))
        client.sendall(b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n")
        try:
            assert told.wait(10)
            proxy.close()
            proxy.close()
        finally:
            released.set()
        assert read_all(client).startswith(b"HTTP/1.1 403 ")


def test_proxy_when_the_socket_cannot_be_made_then_oserror_and_no_thread_left(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with pytest.raises(OSError, match="No such file"):
        EgressProxy(EgressRules(), unix_socket=tmp_path / "missing" / "s")
    assert set(threading.enumerate()) <= before


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "-Urn", "true"], check=False).returncode != 0,
    reason="needs unshare and user namespaces",
)
def test_listener_when_made_inside_a_namespace_then_its_clients_reach_the_proxy() -> None:
    client = (
        "import socket; s = socket.create_connection(('127.0.0.1', 3128), 10);"
        "s.sendall(b'CONNECT evil.example:443 HTTP/1.1\\r\\n\\r\\n'); print(s.recv(100))"
    )
    script = f'echo ready; read go; python3 -c "{client}"'
    with (
        EgressProxy(EgressRules()) as proxy,
        subprocess.Popen(
            ["unshare", "-Urn", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as inside,
    ):
        assert inside.stdout is not None
        assert inside.stdout.readline() == b"ready\n"
        with Path(f"/proc/{inside.pid}/ns/net").open("rb") as network:
            proxy.serve(listen_inside(network.fileno()))
        out, _ = inside.communicate(b"go\n", timeout=20)
        assert only(proxy).verdict == "refused"
    assert b"403 Forbidden" in out


def test_listener_when_there_is_no_such_namespace_then_unavailable() -> None:
    with Path("/dev/null").open("rb") as none, pytest.raises(SandboxError, match=r"cannot be joined: .+") as caught:
        listen_inside(none.fileno())
    assert caught.value.kind == "unavailable"


def test_listener_when_it_is_the_network_of_the_host_then_refused() -> None:
    with Path("/proc/self/ns/net").open("rb") as own, pytest.raises(SandboxError, match=r"cannot be joined"):
        listen_inside(own.fileno())


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "127.8.8.8", "169.254.169.254",
     "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1",
     "ff02::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "2002:0a00:0001::", "64:ff9b::c0a8:0101"],
)  # fmt: skip
def test_address_when_private_or_special_in_any_dress_then_refused(address: str) -> None:
    assert refused_address(address)


@pytest.mark.parametrize("address", ["151.101.0.223", "2a04:4e42::223", "172.32.0.1", "11.0.0.1", "64:ff9b::9765:df"])
def test_address_when_public_then_not_refused(address: str) -> None:
    assert refused_address(address) == ""


def test_address_when_it_is_this_machines_own_then_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("203.0.113.1", 9))  # UDP: asks the routing table, sends nothing
        own = probe.getsockname()[0]
    assert refused_address(own)


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [("", False), ("pypi.org", True), (".pypi.org", True), ("org", True), ("*", True), ("a.org, PyPI.org:443", True),
     ("pypi.org:80", False), ("notpypi.org", False), ("i.org", False)],
)  # fmt: skip
def test_upstream_when_no_proxy_names_the_host_then_not_used(no_proxy: str, *, direct: bool) -> None:
    rules = EgressRules(upstream=Upstream("proxy", 3128), no_proxy=no_proxy)
    assert (rules.upstream_for("pypi.org", 443) is None) == direct


def test_upstream_when_the_host_has_a_socks_proxy_then_an_error_without_the_password() -> None:
    with pytest.raises(ValueError, match="socks5") as caught:
        parse_upstream("socks5://me:hunter2@proxy:1080")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(parse_upstream("http://me:hunter2@proxy"))


def test_upstream_when_the_environment_names_one_then_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert upstream_from_environment()[0] is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:8080")
    monkeypatch.setenv("NO_PROXY", "localhost")
    assert upstream_from_environment() == (Upstream("proxy.example", 8080), "localhost")


@given(st.binary(max_size=300))
def test_request_when_any_bytes_then_parsed_or_bad_request(head: bytes) -> None:
    try:
        request = parse_request(head)
    except BadRequestError:
        return
    assert request.host
    assert 0 < request.port < 65536


@given(
    st.sampled_from(["GET", "HEAD"]),
    st.text("abcz0123456789/%?=&.-", max_size=40),
    st.lists(
        st.tuples(st.sampled_from(["Accept", "Host", "Proxy-Connection", "Range"]), st.text("abc 123", max_size=9))
    ),
)
def test_fetch_when_forwarded_then_one_request_of_ours(method: str, path: str, headers: list[tuple[str, str]]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    request = parse_request(f"{method} http://pypi.org/{path} HTTP/1.1\r\n{lines}\r\n".encode())
    assert (request.host, request.port) == ("pypi.org", 80)
    assert request.forward.count(b"\r\n\r\n") == 1
    assert request.forward.endswith(b"\r\n\r\n")
    assert request.forward.lower().count(b"\r\nhost:") == 1
    assert b"proxy-connection" not in request.forward.lower()


@given(st.binary(max_size=400))
def test_hello_when_any_bytes_then_no_exception(data: bytes) -> None:
    assert server_name(b"\x16\x03\x01\x00\x10" + data) is None or isinstance(
        server_name(b"\x16\x03\x01..." + data), str | None
    )
    assert hello_size(data) is None or data[0] == 22


@pytest.mark.parametrize("host", ["pypi.org", "files.pythonhosted.org", "a.b.c.example"])
def test_hello_when_made_by_a_real_client_then_its_name_is_read(host: str) -> None:
    hello = hello_for(host)
    assert hello_size(hello) == len(hello)
    assert server_name(hello) == host
    assert server_name(hello[: len(hello) // 4]) is None
