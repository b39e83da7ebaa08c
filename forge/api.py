"""The thin layer under every forge: one JSON request, its bounded retries, and what its failure means.

github.py and gitlab.py -> Api -> fetch.py. A request that may have been carried out is never sent again from here: it
raises `ForgeError` of the kind `lost`, and who creates something looks first whether it is there (once.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from ostro.agent.errors import ForgeError, ForgeErrorKind, IssueError
from ostro.forge.fetch import Fetched, fetch
from ostro.forge.misshapen import first_problem

if TYPE_CHECKING:
    import httpx2

TRIES = 5
BACKOFF_S = 1.0
MAX_WAIT_S = 300.0
"""A limit that ends later is an error: a CI job that waits for an hour costs more than one that is started again."""
UNKNOWN_WAIT_S = 60.0  # what GitHub asks for where a secondary limit names no time
ANSWER_BYTES = 16 * 1024 * 1024
SHOWN_CHARS = 300

_REPEATABLE = frozenset({"GET", "PUT", "PATCH", "DELETE"})
_KINDS: dict[int, ForgeErrorKind] = {
    401: "auth", 403: "forbidden", 404: "missing", 410: "missing", 409: "conflict", 400: "invalid", 422: "invalid"
}  # fmt: skip
_MENDS: dict[ForgeErrorKind, str] = {
    "auth": "Check the token: it is missing, wrong or expired.",
    "forbidden": "Give the token the rights that docs/ci.md lists.",
    "missing": "Check the name and the number, and that the token may see the repository.",
    "moved": "Give the new name or address.",
    "lost": "Run the job again: nothing is made twice.",
    "rate": "Run the job again later.",
    "protocol": "Check the address of the API, and the proxy in between.",
}
ARCHIVED = "Nothing can be written to an archived repository: unarchive it."

Shape = TypeVar("Shape", bound=BaseModel)
_LIST = TypeAdapter(list[object])
_JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)
_UNSAID = frozenset({"documentation_url", "url", "resource", "status", "value"})
"""Names in an answer that refuses, under which nothing tells why."""


class Api:
    """One API of one forge, with a token. A context manager: closing it ends the connections.

    Args:
        url: root of the API.
        headers: sent with every request, the token among them.
        timeout_s: for one request, from its start to its last byte.
        wait: how time passes between tries.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout_s: float = 30.0,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self.host = urlsplit(url).netloc
        self._headers = {"User-Agent": "ostro", **headers}
        self._timeout_s = timeout_s
        self._wait = wait
        self._client: httpx2.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()

    def read(self, shape: type[Shape], path: str) -> Shape:
        """GET `path` as `shape`.

        Raises:
            ForgeError: see `send`.
        """
        answer = self.send("GET", path)
        self._no_page("GET", path, answer)
        return self.shaped(shape, answer)

    def read_list(self, shape: type[Shape], path: str) -> list[Shape]:
        """GET `path` as a list of `shape`.

        Raises:
            ForgeError: see `send`.
        """
        answer = self.send("GET", path)
        self._no_page("GET", path, answer)
        try:
            return [shape.model_validate(entry) for entry in _LIST.validate_json(answer.body)]
        except ValidationError as error:
            raise self._misshapen(error) from error

    def shaped(self, shape: type[Shape], answer: Fetched) -> Shape:
        """Return the answer's body as `shape`.

        Raises:
            ForgeError: it is something else (`protocol`).
        """
        try:
            return shape.model_validate_json(answer.body)
        except ValidationError as error:
            raise self._misshapen(error) from error

    def _misshapen(self, error: ValidationError) -> ForgeError:
        return ForgeError(
            f"{self.host} answers in a shape that is not known: {first_problem(error)}",
            kind="protocol",
            mend=_MENDS["protocol"],
        )

    def send(self, method: str, path: str, body: JsonValue = None, *, repeatable: bool = False) -> Fetched:
        """Send one request, again where that can do no harm, and return its answer of 2xx.

        Args:
            method: of HTTP.
            path: below the root of the API.
            body: is sent as JSON.
            repeatable: a POST that changes nothing more when it is carried out twice.

        Raises:
            ForgeError: refused, limited for longer than `MAX_WAIT_S`, or unanswered.
        """
        waited, answer, trouble = 0.0, None, ""
        for attempt in range(1, TRIES + 1):
            answer, trouble = self._once(method, path, body)
            if answer is not None and answer.status < 300:
                return answer
            pause = BACKOFF_S * 2 ** (attempt - 1)
            if answer is not None and _limited(answer):
                pause = _asked_wait(answer)  # a limited request was not carried out, whatever it was
                if waited + pause > MAX_WAIT_S:
                    raise self._error("rate", method, path, f"its rate limit ends in {pause / 60:.0f} min", answer)
            elif answer is not None and answer.status < 500:
                raise self._refusal(method, path, answer)
            elif not repeatable and method not in _REPEATABLE:
                raise self._error("lost", method, path, trouble, answer)
            if attempt < TRIES:
                waited += pause
                self._wait(pause)
        raise self._error("lost", method, path, f"{trouble}, {TRIES} times", answer)

    def _once(self, method: str, path: str, body: JsonValue) -> tuple[Fetched | None, str]:
        """Return the answer, or None; and what is to be said of one that is no answer to the request."""
        import httpx2

        if self._client is None:
            self._client = httpx2.Client(follow_redirects=False)
        content = None if body is None else json.dumps(body).encode()
        headers = self._headers if content is None else {**self._headers, "Content-Type": "application/json"}
        try:
            answer = fetch(
                self._client,
                self.url + path,
                method=method,
                content=content,
                headers=headers,
                max_bytes=ANSWER_BYTES,
                timeout_s=self._timeout_s,
            )
        except IssueError as error:
            return None, str(error)
        if answer.location:
            raise self._error("moved", method, path, "it redirects, as after a renaming", answer)
        return answer, f"status {answer.status}"

    def _refusal(self, method: str, path: str, answer: Fetched) -> ForgeError:
        self._no_page(method, path, answer)
        return self._error(_KINDS.get(answer.status, "protocol"), method, path, _said(answer), answer)

    def _no_page(self, method: str, path: str, answer: Fetched) -> None:
        """Refuse a page for people, whose status says nothing of what was asked: no API answers with one."""
        if answer.headers.get("content-type", "").startswith("text/html"):
            said = f"status {answer.status} with a web page, which is no answer of an API"
            raise self._error("protocol", method, path, said, answer)

    def _error(self, kind: ForgeErrorKind, method: str, path: str, said: str, answer: Fetched | None) -> ForgeError:
        where = path.partition("?")[0]
        status = answer.status if answer is not None else None
        mend = ARCHIVED if kind == "forbidden" and "archived" in said else _MENDS.get(kind, "")
        return ForgeError(f"{self.host}: {method} {where}: {said}", kind=kind, mend=mend, status=status)


def _limited(answer: Fetched) -> bool:
    if answer.status == 429:
        return True
    spent = answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
    return answer.status == 403 and (spent or b"rate limit" in answer.body.lower())


def _asked_wait(answer: Fetched) -> float:
    """Return the seconds that the answer asks for (docs.github.com: rate limits for the REST API)."""
    after, reset = answer.headers.get("retry-after", ""), answer.headers.get("x-ratelimit-reset", "")
    if after.isdecimal():
        return float(after[:9])
    if reset.isdecimal() and answer.headers.get("x-ratelimit-remaining") == "0":
        return max(1.0, float(reset[:12]) - time.time() + 1.0)
    return UNKNOWN_WAIT_S


def _said(answer: Fetched) -> str:
    """Return the forge's own words on why it refuses."""
    try:
        told = tuple(dict.fromkeys(_texts(_JSON.validate_json(answer.body))))
    except ValidationError:
        told = ()
    return ": ".join([f"status {answer.status}", *(["; ".join(told)] if told else [])])[:SHOWN_CHARS]


def _texts(value: JsonValue) -> Iterator[str]:
    """Yield the texts of an answer that refuses; GitLab's message may be a list, or lists under names."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from _texts(entry) if name not in _UNSAID else ()
