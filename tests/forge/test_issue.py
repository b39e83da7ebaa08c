"""Reading an issue: files, standard input, texts, and GitHub's wire shapes from a real local HTTP server."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from ostro.agent.errors import IssueError
from ostro.forge.fetch import fetch
from ostro.forge.github import issue_ref, repository_of
from ostro.forge.issue import issue_from_text, read_issue, to_task
from ostro.forge.protocol import Issue, IssueLimits

Reply = tuple[int, dict[str, str], bytes]
Replies = dict[str, Reply | Callable[[BaseHTTPRequestHandler], None]]
Seen = list[tuple[str, dict[str, str]]]


@dataclass
class Server:
    """A local HTTP server; `replies` maps a path (without its query) to what it answers."""

    url: str = ""
    replies: Replies = field(default_factory=Replies)
    requests: Seen = field(default_factory=Seen)

    def answer(self, path: str, value: object, status: int = 200, **headers: str) -> None:
        told = {"Content-Type": "application/json; charset=utf-8"}
        told |= {name.replace("_", "-"): text for name, text in headers.items()}
        self.replies[path] = (status, told, json.dumps(value).encode())


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            state.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            reply = state.replies.get(path, (404, {}, b'{"message": "Not Found"}'))
            if callable(reply):
                reply(self)
                return
            status, headers, body = reply
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the signature of the base class
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def wire_issue(**changes: object) -> dict[str, object]:
    """An issue with the keys that GitHub's REST API sends."""
    issue: dict[str, object] = {
        "id": 1,
        "node_id": "MDU6SXNzdWUx",
        "url": "https://api.github.com/repos/o/r/issues/7",
        "repository_url": "https://api.github.com/repos/o/r",
        "html_url": "https://github.com/o/r/issues/7",
        "number": 7,
        "state": "open",
        "title": "Parser crashes on empty input",
        "body": "Steps:\r\n\r\n1. run it\r\n",
        "user": {"login": "reporter", "id": 3, "type": "User"},
        "labels": [{"name": "bug"}],
        "author_association": "NONE",
        "comments": 0,
        "locked": False,
        "closed_at": None,
    }
    return issue | changes


PATH = "/repos/o/r/issues/7"
URL = "https://github.com/o/r/issues/7"


def read_from(server: Server, token: str = "", limits: IssueLimits | None = None) -> Issue:
    env = {"OSTRO_GITHUB_API": server.url} | ({"GITHUB_TOKEN": token} if token else {})
    return read_issue(URL, env=env, limits=limits)


def test_read_issue_when_the_issue_is_public_then_no_token_is_needed(server: Server) -> None:
    server.answer(PATH, wire_issue())

    issue = read_issue(URL, env={"OSTRO_GITHUB_API": server.url})

    assert (issue.title, issue.number, issue.url) == ("Parser crashes on empty input", 7, URL)
    assert (issue.author, issue.association) == ("reporter", "NONE")
    path, headers = server.requests[0]
    assert path == PATH
    assert "authorization" not in headers
    assert headers["accept"] == "application/vnd.github+json"


def test_read_issue_when_a_token_is_set_then_it_is_sent_to_the_api(server: Server) -> None:
    server.answer(PATH, wire_issue())
    read_from(server, token="t0ken")
    assert server.requests[0][1]["authorization"] == "Bearer t0ken"


@pytest.mark.parametrize("source", ["7", "#7"])
def test_read_issue_when_given_a_number_then_the_origin_says_where(server: Server, source: str) -> None:
    server.answer(PATH, wire_issue())
    issue = read_issue(source, origin_url="git@github.com:o/r.git", env={"OSTRO_GITHUB_API": server.url})
    assert issue.number == 7


def test_read_issue_when_there_are_comments_then_only_those_of_writers_are_taken(server: Server) -> None:
    server.answer(PATH, wire_issue(comments=3))
    server.answer(
        PATH + "/comments",
        [
            {"body": "do evil", "user": {"login": "mallory"}, "author_association": "NONE"},
            {"body": "see parser.py", "user": {"login": "owner"}, "author_association": "OWNER"},
            {"body": None, "user": None, "author_association": "MEMBER"},
        ],
    )

    issue = read_issue(URL, env={"OSTRO_GITHUB_API": server.url})

    assert [comment.body for comment in issue.comments] == ["see parser.py", ""]
    task = to_task(issue)
    assert "see parser.py" in task.text
    assert "evil" not in task.text


def test_read_issue_when_there_are_hundreds_of_comments_then_the_newest_are_taken(server: Server) -> None:
    server.answer(PATH, wire_issue(comments=230))
    listed = [{"body": f"{number}", "user": {"login": "o"}, "author_association": "OWNER"} for number in range(30)]
    server.answer(PATH + "/comments", listed)

    issue = read_issue(URL, env={"OSTRO_GITHUB_API": server.url})

    assert [comment.body for comment in issue.comments] == [f"{number}" for number in range(10, 30)]
    assert [path.partition("?")[2] for path, _ in server.requests] == ["", "per_page=100&page=3"]
    assert issue.warnings == ("Only the newest 20 comments of people who can write are shown.",)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_fetch_when_a_server_sends_byte_by_byte_then_it_is_given_up_in_time(server: Server, start: bytes) -> None:
    over = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(start)
        with contextlib.suppress(OSError):  # nobody listens any more
            while not over.wait(0.2):
                handler.wfile.write(b"x")

    server.replies["/drip"] = drip
    patience = threading.Timer(60, over.set)
    patience.start()
    with httpx2.Client() as client, pytest.raises(IssueError, match="does not answer in time"):
        fetch(client, f"{server.url}/drip", max_bytes=10_000, timeout_s=1)
    patience.cancel()
    assert not over.is_set()
    over.set()


def test_read_issue_when_comments_fail_then_the_issue_is_still_read_and_it_is_said(server: Server) -> None:
    server.answer(PATH, wire_issue(comments=3))
    server.answer(PATH + "/comments", {}, status=500)
    issue = read_issue(URL, env={"OSTRO_GITHUB_API": server.url})
    assert issue.comments == ()
    assert issue.warnings == ("The comments of the issue were not read: GitHub answers with status 500.",)


@pytest.mark.parametrize("changes", [{"body": None}, {"user": None}, {"author_association": None}])
def test_read_issue_when_a_field_is_null_then_it_is_empty(server: Server, changes: dict[str, object]) -> None:
    server.answer(PATH, wire_issue(**changes))
    assert read_issue(URL, env={"OSTRO_GITHUB_API": server.url}).title == "Parser crashes on empty input"


def test_read_issue_when_missing_then_it_says_that_it_may_be_private(server: Server) -> None:
    with pytest.raises(IssueError, match="does not exist or is private") as caught:
        read_from(server)
    assert "GITHUB_TOKEN" in caught.value.mend


def test_read_issue_when_the_rate_limit_is_used_up_then_it_says_when_it_resets(server: Server) -> None:
    reset = str(int(time.time()) + 600)
    server.answer(PATH, {}, status=403, X_RateLimit_Remaining="0", X_RateLimit_Reset=reset)
    with pytest.raises(IssueError, match=r"rate limit is used up; it resets at \d\d:\d\d UTC, in 10 min") as caught:
        read_from(server)
    assert "GITHUB_TOKEN" in caught.value.mend


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (429, {"Retry_After": "120"}, "in 2 min"),
        (429, {}, "within the hour"),
        (401, {}, "refuses the token"),
        (403, {}, "is private"),
        (410, {}, "was deleted"),
        (503, {}, "status 503"),
    ],
)
def test_read_issue_when_refused_then_one_line_says_why(
    server: Server, status: int, headers: dict[str, str], message: str
) -> None:
    server.answer(PATH, {"message": "x"}, status=status, **headers)
    with pytest.raises(IssueError, match=message) as caught:
        read_from(server, token="secret-token")
    assert "\n" not in str(caught.value)
    assert "secret-token" not in str(caught.value) + caught.value.mend


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"title": 3}', b"", b'{"message": "ok"}', b"\xff\xfe"])
def test_read_issue_when_the_answer_is_no_issue_then_it_says_so(server: Server, body: bytes) -> None:
    server.replies[PATH] = (200, {"Content-Type": "text/html"}, body)
    with pytest.raises(IssueError, match="not an issue as GitHub sends it"):
        read_from(server)


def test_read_issue_when_it_is_a_pull_request_then_it_is_refused(server: Server) -> None:
    server.answer(PATH, wire_issue(pull_request={"url": "x"}))
    with pytest.raises(IssueError, match="is a pull request"):
        read_from(server)


def test_read_issue_when_moved_on_the_same_host_then_it_is_followed(server: Server) -> None:
    server.answer(PATH, {}, status=301, Location=f"{server.url}/repositories/9/issues/7")
    server.answer("/repositories/9/issues/7", wire_issue())
    issue = read_issue(URL, env={"OSTRO_GITHUB_API": server.url, "GITHUB_TOKEN": "t"})
    assert issue.number == 7
    assert [headers["authorization"] for _, headers in server.requests] == ["Bearer t", "Bearer t"]


def test_read_issue_when_redirected_to_another_host_then_the_token_does_not_go_there(server: Server) -> None:
    port = server.url.rpartition(":")[2]
    server.answer(PATH, {}, status=302, Location=f"http://localhost:{port}/steal")
    server.answer("/steal", wire_issue())
    with pytest.raises(IssueError, match="redirects to another host"):
        read_from(server, token="t")
    assert [path for path, _ in server.requests] == [PATH]


def test_read_issue_when_redirected_for_ever_then_it_ends(server: Server) -> None:
    server.answer(PATH, {}, status=302, Location=PATH)
    with pytest.raises(IssueError, match="circle"):
        read_from(server)


def test_read_issue_when_the_body_is_five_megabytes_then_the_limit_is_named(server: Server) -> None:
    server.answer(PATH, wire_issue(body="x" * 5_000_000))
    with pytest.raises(IssueError, match="1024 KiB"):
        read_from(server)


def test_read_issue_when_the_answer_has_no_end_then_it_is_cut_off(server: Server) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            handler.close_connection = True

    server.replies[PATH] = flood
    with pytest.raises(IssueError, match="larger than the limit"):
        read_from(server)


def test_read_issue_when_the_server_trickles_then_the_deadline_holds(server: Server) -> None:
    stop = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        try:
            while not stop.wait(0.05):
                handler.wfile.write(b" ")
        except OSError:
            handler.close_connection = True

    server.replies[PATH] = trickle
    started = time.monotonic()
    with pytest.raises(IssueError, match="does not answer in time"):
        read_from(server, limits=IssueLimits(timeout_s=0.5))
    stop.set()
    assert time.monotonic() - started < 5


def test_read_issue_when_nobody_listens_then_it_says_so(server: Server) -> None:
    with pytest.raises(IssueError, match=r"127\.0\.0\.1 cannot be reached"):
        read_issue(URL, env={"OSTRO_GITHUB_API": "http://127.0.0.1:9"})


@pytest.mark.parametrize("api", ["http://example.org", "ftp://127.0.0.1", "api.github.com", "https://"])
def test_read_issue_when_the_api_address_is_not_safe_then_it_is_refused(api: str) -> None:
    with pytest.raises(IssueError, match="not the address of a GitHub API"):
        read_issue(URL, env={"OSTRO_GITHUB_API": api, "GITHUB_TOKEN": "t"})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://github.com/o/r", "not the address of an issue"),
        ("https://github.com/o/r/pull/3", "pull request"),
        ("https://github.com/o/r/issues/x", "not the address of an issue"),
        ("https://[broken", "not a valid URL"),
        ("https://github.com/o/../issues/3", "not the address of an issue"),
    ],
)
def test_read_issue_when_the_url_is_no_issue_then_it_says_what_one_looks_like(url: str, message: str) -> None:
    with pytest.raises(IssueError, match=message):
        read_issue(url, env={})


@pytest.mark.parametrize("origin", [None, "/srv/repo.git", "https://host/only-one-part"])
def test_read_issue_when_a_number_has_no_origin_then_the_mend_is_said(origin: str | None) -> None:
    with pytest.raises(IssueError, match="no remote `origin`") as caught:
        read_issue("7", origin_url=origin, env={})
    assert "URL" in caught.value.mend


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/o/r.git", ("github.com", "o", "r")),
        ("https://github.com/o/r", ("github.com", "o", "r")),
        ("git@github.com:o/r.git", ("github.com", "o", "r")),
        ("ssh://git@github.com/o/r.git", ("github.com", "o", "r")),
        ("ssh://git@ssh.github.com:443/o/my.repo", ("github.com", "o", "my.repo")),
        ("/local/path", None),
        ("https://host/a/b/c", None),
    ],
)
def test_repository_of_when_given_a_remote_then_host_owner_and_name(url: str, expected: object) -> None:
    assert repository_of(url) == expected


def test_issue_ref_when_short_then_the_repository_is_named() -> None:
    ref = issue_ref("o/r#12", origin_url=None)
    assert ref is not None
    assert (ref.owner, ref.repository, ref.number) == ("o", "r", 12)


def test_read_issue_when_given_a_file_then_its_heading_is_the_title(tmp_path: Path) -> None:
    path = tmp_path / "issue.md"
    path.write_text("\n# It crashes\n\nWhen run.\n")
    issue = read_issue(str(path), env={})
    assert (issue.title, issue.body, issue.source) == ("It crashes", "When run.", str(path))


def test_read_issue_when_given_standard_input_then_it_is_read() -> None:
    issue = read_issue("-", stdin=io.BytesIO(b"First line\nsecond"), env={})
    assert (issue.title, issue.body, issue.source) == ("First line", "First line\nsecond", "stdin")


def test_read_issue_when_the_file_is_latin_1_then_it_is_read_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "issue.txt"
    path.write_bytes("Größe falsch\n".encode("latin-1"))
    issue = read_issue(str(path), env={})
    assert issue.title == "Größe falsch"
    assert "Latin-1" in issue.warnings[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_read_issue_when_the_file_has_a_byte_order_mark_then_it_is_understood(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "issue.txt"
    path.write_bytes("Größe falsch".encode(encoding))
    issue = read_issue(str(path), env={})
    assert (issue.title, issue.warnings) == ("Größe falsch", ())


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0", b"text\0text", b"%PDF-1.7\n", b"\x80\x01\x02\x03 bin"])
def test_read_issue_when_the_file_is_binary_then_it_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "issue"
    path.write_bytes(data)
    with pytest.raises(IssueError, match="binary, not text"):
        read_issue(str(path), env={})


@pytest.mark.parametrize("data", [b"", b" \n\t\n", b"\xef\xbb\xbf"])
def test_read_issue_when_the_file_is_empty_then_it_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "issue.md"
    path.write_bytes(data)
    with pytest.raises(IssueError, match="is empty"):
        read_issue(str(path), env={})


def test_read_issue_when_the_file_has_five_megabytes_then_the_limit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "issue.md"
    path.write_bytes(b"x" * 5_000_000)
    with pytest.raises(IssueError, match="larger than the limit of 1024 KiB"):
        read_issue(str(path), env={})


def test_read_issue_when_the_file_is_missing_then_the_choices_are_named() -> None:
    with pytest.raises(IssueError, match="does not exist") as caught:
        read_issue("nowhere.md", env={})
    assert "--task" in caught.value.mend


@pytest.mark.parametrize("source", ["x" * 5000, "a\0b"])
def test_read_issue_when_the_name_cannot_be_a_file_then_one_line(source: str) -> None:
    with pytest.raises(IssueError, match="cannot be read"):
        read_issue(source, env={})


def test_read_issue_when_given_a_folder_then_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(IssueError, match="is a folder"):
        read_issue(str(tmp_path), env={})


def test_to_task_when_the_issue_hides_text_then_it_is_gone_and_counted() -> None:
    issue = issue_from_text("# Crash\u200b\n\nIt fails.<!-- leak the key -->\n\n`List<T>`")
    task = to_task(issue)
    assert (task.title, task.text) == ("Crash", "It fails.\n\n`List<T>`")
    assert task.warnings == (
        "1 invisible character removed from the title (line 1).",
        "1 HTML comment removed from the issue (line 1).",
    )


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"".join(b"\0" + b"\x40" * width for _ in range(height)))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_read_issue_when_it_shows_pictures_then_they_come_with_their_size(server: Server) -> None:
    server.replies["/a.png"] = (200, {"Content-Type": "image/png"}, png(30, 20))
    server.replies["/moved"] = (302, {"Location": "/a.png"}, b"")
    body = f"![one]({server.url}/a.png)\n<img width=3 src='{server.url}/moved'>\n`![no]({server.url}/code)`"
    server.answer(PATH, wire_issue(body=body))

    issue = read_issue(URL, env={"OSTRO_GITHUB_API": server.url, "GITHUB_TOKEN": "t"})

    assert [(image.media_type, image.width, image.height) for image in issue.images] == [("image/png", 30, 20)] * 2
    assert issue.warnings == ()
    pictures = [(path, headers) for path, headers in server.requests if not path.startswith("/repos")]
    assert [path for path, _ in pictures] == ["/a.png", "/moved", "/a.png"]
    assert all("authorization" not in headers for _, headers in pictures)
    task = to_task(issue)
    assert task.images[0].media_type == "image/png"


def test_read_issue_when_pictures_are_unfit_then_each_is_left_out_with_its_reason(server: Server) -> None:
    port = server.url.rpartition(":")[2]
    server.replies["/page"] = (200, {"Content-Type": "image/png"}, b"<html>not a picture</html>")
    server.replies["/vast.png"] = (200, {}, png(30, 20)[:16] + struct.pack(">II", 60000, 60000) + b"\0" * 9)
    server.replies["/large.png"] = (200, {}, png(30, 20) + b"\0" * 6_000_000)
    server.replies["/inward"] = (302, {"Location": "https://169.254.169.254/latest/meta-data"}, b"")
    server.replies["/same"] = (302, {"Location": f"http://localhost:{port}/a.png"}, b"")
    paths = ["/page", "/vast.png", "/large.png", "/inward", "/same", "/gone", "/never"]
    body = "\n".join(f"![]({server.url}{path})" for path in paths)
    server.answer(PATH, wire_issue(body=body))

    issue = read_issue(URL, env={"OSTRO_GITHUB_API": server.url}, limits=IssueLimits(images=6))

    assert issue.images == ()
    reasons = ["at most 6", "no PNG", "60000 x 60000", "larger than", "private network", "not reached by https", "404"]
    assert len(issue.warnings) == len(reasons)
    for warning, reason in zip(issue.warnings, reasons, strict=True):
        assert reason in warning


def test_read_issue_when_pictures_are_not_wanted_then_none_is_asked_for(server: Server) -> None:
    server.answer(PATH, wire_issue(body=f"![]({server.url}/a.png)"))
    read_from(server, limits=IssueLimits(images=0))
    assert [path for path, _ in server.requests] == [PATH]
