"""The front of the fake forge: HTTP, who asks, planned faults, and a record of what was asked.

Usage:
    with FakeForge(tmp_path) as forge:
        repository = forge.world.add_repository(source)
        forge.world.add_token("ghs_planted")
        forge.faults.append(Fault("POST", "/pulls$", "lost"))
        Api(forge.api_url, "ghs_planted")
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, unquote

from tests.forge.fake import git_http, gitea, github, gitlab
from tests.forge.fake.answer import Answer, Ask
from tests.forge.fake.description import Description
from tests.forge.fake.world import Token, World

DIALECTS = {"/api/v3": github.answer, "/api/v4": gitlab.answer, "/api/v1": gitea.answer}
"""Root of the API -> who answers: GitHub Enterprise, GitLab, Gitea; all of the same world."""

FaultKind = Literal["rate", "secondary", "502", "422", "lost", "cut", "none", "page", "archived", "missing"]
"""`rate`, `secondary`: 403 of the two limits; `page`: 404 of a proxy in between, as HTML; `archived`: 403 of such a
repository; `missing`: 404, also for what the token may not see; `lost`: done, but no answer comes; `cut`: not done, and
no answer; `none`: done and answered, for a strike alone."""


@dataclass
class Fault:
    """What goes wrong with the next requests that fit.

    Attributes:
        path: regular expression, searched in the path.
        times: how often.
        skip: so many requests that fit are answered as they should be before.
        strike: called first.
    """

    method: str
    path: str
    kind: FaultKind
    times: int = 1
    skip: int = 0
    strike: Callable[[], None] | None = None


@dataclass(frozen=True)
class Recorded:
    """One request and the status that it got; 0 where no answer was sent."""

    method: str
    path: str
    query: str
    body: Any
    login: str
    headers: dict[str, str]
    status: int = 0


@dataclass
class FakeForge:
    """A running forge.

    Attributes:
        deviations: what did not fit GitHub's description; only filled where there is one.
        on_request: called before a request is looked at, with the number of requests so far.
    """

    folder: Path
    description: Description | None = None
    faults: list[Fault] = field(default_factory=list[Fault])
    requests: list[Recorded] = field(default_factory=list[Recorded])
    deviations: list[str] = field(default_factory=list[str])
    on_request: Callable[[int], None] | None = None

    def __post_init__(self) -> None:
        self.world = World(self.folder)
        self.lock = threading.RLock()
        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._httpd.daemon_threads = True
        self._thread = threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.02})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        return type("Handler", (_Handler,), {"forge": self})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._httpd.server_address[1]}"

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/v3"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._httpd.shutdown()
        self._thread.join()
        self._httpd.server_close()

    def writes(self) -> list[Recorded]:
        """Return the API requests that changed something."""
        return [asked for asked in self.requests if asked.method != "GET" and asked.path.startswith("/api/")]

    def take_fault(self, method: str, path: str) -> FaultKind | None:
        for fault in self.faults:
            if fault.times > 0 and fault.method == method and re.search(fault.path, path):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.strike is not None:
                    fault.strike()
                return fault.kind
        return None

    def token_of(self, header: str) -> Token | None:
        """Return who asks; None for nobody, and for a token that is not known."""
        kind, _, value = header.partition(" ")
        if kind.lower() == "basic":
            value = base64.b64decode(value).decode().partition(":")[2]
        return self.world.tokens.get(value)

    def answer_api(self, root: str, ask: Ask) -> Answer:
        with self.lock:
            answer = DIALECTS[root](self.world, ask, base_url=self.url)
        if self.description is not None and root == "/api/v3":
            self.deviations += self.description.compare(ask, answer)
        return answer


@dataclass(frozen=True)
class _Sent:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def _sent(answer: Answer) -> _Sent:
    content = b"" if answer.value is None else json.dumps(answer.value).encode()
    return _Sent(answer.status, [("Content-Type", "application/json; charset=utf-8"), *answer.headers.items()], content)


ANSWERS: dict[FaultKind, Answer] = {
    "secondary": Answer(
        403,
        {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."},
        headers={"retry-after": "1"},
    ),
    "502": Answer(502, {"message": "Server Error"}),
    "422": Answer(422, {"message": "Validation Failed", "errors": [{"resource": "X", "code": "invalid"}]}),
    "missing": Answer(404, {"message": "Not Found"}),
    "archived": Answer(403, {"message": "Repository was archived so is read-only."}),
}


def _planned(kind: FaultKind | None) -> _Sent | None:
    if kind == "rate":
        told = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 1)}
        return _sent(Answer(403, {"message": "API rate limit exceeded for installation."}, headers=told))
    if kind == "page":
        return _Sent(404, [("Content-Type", "text/html; charset=utf-8")], b"<html><h1>Blocked</h1></html>")
    return _sent(ANSWERS[kind]) if kind in ANSWERS else None


class _Handler(BaseHTTPRequestHandler):
    """One connection; `forge` is set by a subclass for each forge."""

    protocol_version = "HTTP/1.1"
    forge: FakeForge

    def _serve(self) -> None:
        forge = self.forge
        if forge.on_request is not None:
            forge.on_request(len(forge.requests))
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._body(headers)
        token = forge.token_of(headers.get("authorization") or f"token {headers.get('private-token', '')}")
        is_api = path.startswith("/api/")
        value = json.loads(body) if body and is_api else None
        kind = forge.take_fault(self.command, path)
        done = _planned(kind)
        if done is None and kind == "cut":
            done = _Sent(0, [], b"")
        if done is None:
            done = (
                self._api(path, query, value, headers, token)
                if is_api
                else self._git(path, query, headers, body, token)
            )
        silent = kind in ("lost", "cut")
        login, status = token.login if token else "", 0 if silent else done.status
        forge.requests.append(Recorded(self.command, path, query, value, login, headers, status))
        if silent:
            self.close_connection = True
            self.connection.close()
        else:
            self._send(done)

    def _send(self, done: _Sent) -> None:
        self.send_response(done.status)
        for name, text in done.headers:
            self.send_header(name, text)
        if done.status != 204:
            self.send_header("Content-Length", str(len(done.body)))
        self.end_headers()
        self.wfile.write(done.body)

    def _api(self, path: str, query: str, value: Any, headers: dict[str, str], token: Token | None) -> _Sent:
        refused = token is None and ("authorization" in headers or "private-token" in headers)
        root = path[: len("/api/vN")]
        below = unquote(path.removeprefix(root))
        ask = Ask(self.command, below, dict(parse_qsl(query)), value, token, refused=refused)
        return _sent(self.forge.answer_api(root, ask))

    def _git(self, path: str, query: str, headers: dict[str, str], body: bytes, token: Token | None) -> _Sent:
        repository = self.forge.world.repositories.get("/".join(path.split("/")[1:3]).removesuffix(".git"))
        write = git_http.wants_to_write(path, query)
        if repository is None:
            return _Sent(404, [], b"Not Found")
        if token is None and (write or repository.private):
            return _Sent(401, [("WWW-Authenticate", 'Basic realm="fake"')], b"")
        if write and token is not None:
            may = token.write and repository.permission_of(token.login) in ("admin", "write")
            if not may:
                return _Sent(403, [("Content-Type", "text/plain")], b"Write access to repository not granted.")
        user = token.login if token else ""
        with self.forge.lock:
            done = git_http.serve(self.forge.folder, self.command, path, query, headers, body, user)
        return _Sent(done.status, done.headers, done.body)

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length", "0")))
        parts: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815  # names of the base class

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the signature of the base class
        pass
