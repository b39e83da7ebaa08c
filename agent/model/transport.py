"""One HTTP exchange with the endpoint, through the `openai` client: bytes out, bytes in, every failure typed.

The client's typed calls walk the whole history for every request (21 ms against 8 ms, measured); here the body is
bytes already. Retries are not made here, redirects are not followed, and only our own headers are sent, so that
nothing the SDK finds in the environment reaches a host that it is not meant for.
"""

from __future__ import annotations

import functools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from ostro.agent.errors import Interrupted
from ostro.agent.model.failure import TryError, http_error
from ostro.agent.model.profile import EndpointProfile
from ostro.agent.model.reading import MAX_REPLY_BYTES

if TYPE_CHECKING:
    import httpx2
    import openai

CONNECT_S = 10.0
_POLL_S = 0.2
_OUR_HEADERS = frozenset({"host", "accept", "accept-encoding", "connection", "content-type", "content-length"})


class Watch:
    """Ends one exchange from a thread of its own: when nothing comes, when it takes too long, when the run stops.

    A read time-out alone would let a server that sends a byte a second hold the call for ever.

    Attributes:
        ended: why the exchange was cut by us, "" when it was not.
    """

    def __init__(self, total_s: float, first_s: float, interrupted: Callable[[], bool]) -> None:
        now = time.monotonic()
        self.ended: Literal["", "stalled", "deadline", "interrupted"] = ""
        self._total_due = now + total_s
        self._due = min(self._total_due, now + first_s)
        self._interrupted = interrupted
        self._done = threading.Event()
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, name="ostro-watch", daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()

    def attach(self, connected: socket.socket | None) -> None:
        """Say which socket to shut; at once when the time is over already."""
        with self._lock:
            self._socket = connected
            if self.ended:
                self._shut()

    def progress(self, idle_s: float) -> None:
        """Bytes came: allow another pause."""
        self._due = min(self._total_due, time.monotonic() + idle_s)

    def last_call(self, seconds: float) -> None:
        """The answer is complete: what follows may take this long and no longer."""
        self._total_due = min(self._total_due, time.monotonic() + seconds)
        self._due = min(self._due, self._total_due)

    def _run(self) -> None:
        while not self._done.wait(max(0.0, min(_POLL_S, self._due - time.monotonic()))):
            if self._interrupted():
                self._end("interrupted")
                return
            now = time.monotonic()
            if now >= self._due:
                self._end("deadline" if now >= self._total_due else "stalled")
                return

    def _end(self, why: Literal["stalled", "deadline", "interrupted"]) -> None:
        with self._lock:
            if not self._done.is_set():
                self.ended = why
                self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            try:
                # Not SSLSocket.shutdown, which would drop the TLS state under the reading thread.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                self._socket = None


class Transport:
    """The one connection of a client to its endpoint. For one thread at a time."""

    def __init__(self, profile: EndpointProfile, key: str | None) -> None:
        self._profile = profile
        self._key = key
        self._client: openai.OpenAI | None = None
        self._opening = threading.Lock()
        self._socket: socket.socket | None = None
        self._watch: Watch | None = None

    def open(self) -> openai.OpenAI:
        """Return the SDK's client; the first call imports the SDK, which takes a second."""
        with self._opening:
            if self._client is None:
                self._client = self._make()
            return self._client

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()

    def post(self, path: str, body: bytes, watch: Watch) -> Generator[bytes]:
        """Send a body and yield the answer's bytes as they come.

        Raises:
            TryError: no answer, an error status, a broken or endless answer.
            Interrupted: the run is to stop.
        """
        import httpx2
        import openai

        client = self.open()
        stream = openai.Stream[object]
        return self._exchange(
            lambda: client.post(path, cast_to=httpx2.Response, content=body, stream=True, stream_cls=stream), watch
        )

    def get(self, path: str, watch: Watch) -> Generator[bytes]:
        """Fetch a path and yield the answer's bytes; raises as `post`."""
        import httpx2
        import openai

        client = self.open()
        stream = openai.Stream[object]
        return self._exchange(lambda: client.get(path, cast_to=httpx2.Response, stream=True, stream_cls=stream), watch)

    def _exchange(self, send: Callable[[], Any], watch: Watch) -> Generator[bytes]:
        import httpx2
        import openai

        self._watch = watch
        watch.attach(self._socket)
        response: httpx2.Response | None = None
        try:
            response = send()
            assert response is not None
            yield from self._bytes(response, watch)
        except openai.APIStatusError as error:
            raise self._status_failure(error) from None
        except (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError) as error:
            raise self._broken(error, watch, begun=response is not None) from error
        finally:
            self._watch = None
            if response is not None:
                response.close()

    def _bytes(self, response: httpx2.Response, watch: Watch) -> Generator[bytes]:
        received = 0
        for data in response.iter_bytes():
            watch.progress(self._profile.idle_s)
            received += len(data)
            if received > MAX_REPLY_BYTES:
                size = f"{MAX_REPLY_BYTES >> 20} MiB"
                raise TryError(f"the endpoint sent more than {size}", kind="protocol", cause="too_large")
            yield data
        if watch.ended:
            raise self._broken(None, watch, begun=True)

    def _status_failure(self, error: openai.APIStatusError) -> TryError:
        response = error.response
        return http_error(response.status_code, response.headers, self.hide(response.text))

    def _broken(self, error: Exception | None, watch: Watch, *, begun: bool) -> Exception:
        import httpx2

        self._socket = None
        if watch.ended == "interrupted":
            return Interrupted("interrupted while the model answered")
        label = self._profile.label
        if watch.ended == "stalled":
            what = "sent nothing more" if begun else "did not answer"
            return TryError(f"{label} {what} in time", kind="unreachable", cause="stalled")
        if watch.ended == "deadline":
            return TryError(f"{label} took too long to answer", kind="unreachable", cause="deadline")
        root = _causes(error)[-1]
        if isinstance(root, ssl.SSLError) and not begun:
            return TryError(
                f"no trusted connection to {label}: {root}",
                kind="unreachable",
                cause="tls",
                final=isinstance(root, ssl.SSLCertVerificationError) or root.reason == "WRONG_VERSION_NUMBER",
                mend="Install ca-certificates, point SSL_CERT_FILE at the right certificates, or use http:// if that "
                "is what the server speaks.",
            )
        unconnected = not begun and any(
            isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout) for cause in _causes(error)
        )
        cause = "no_connection" if unconnected else ("cut" if begun else "reset")
        what = "no connection to" if unconnected else "the connection broke:"
        return TryError(self.hide(f"{what} {label} ({root})"), kind="unreachable", cause=cause)

    def hide(self, text: str) -> str:
        """Return the text without the key, which some servers send back."""
        return text.replace(self._key, "[key]") if self._key else text

    def _make(self) -> openai.OpenAI:
        import httpx2
        import openai

        verify = _ssl_context() if self._profile.base_url.startswith("https") else False
        http_client = httpx2.Client(
            verify=verify,
            # A proxy of the environment is for the outside; it cannot reach this machine's own servers.
            trust_env=not _on_this_machine(self._profile.base_url),
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=300.0),
            timeout=httpx2.Timeout(self._profile.total_s, connect=CONNECT_S),
            event_hooks={"request": [self._prepare]},
        )
        return openai.OpenAI(
            api_key=self._key or "none",
            base_url=self._profile.base_url,
            max_retries=0,
            http_client=http_client,
        )

    def _prepare(self, request: httpx2.Request) -> None:
        for name in [name for name in request.headers if name not in _OUR_HEADERS]:
            del request.headers[name]
        request.headers["User-Agent"] = "ostro"
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        request.extensions["trace"] = self._trace

    def _trace(self, name: str, info: Mapping[str, Any]) -> None:
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
            if self._watch is not None:
                self._watch.attach(self._socket)


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    # Loading the system's certificates takes 30 ms and a megabyte: once a process, not once a task.
    import httpx2

    return httpx2.create_ssl_context()


def _on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _causes(error: BaseException | None) -> list[BaseException | None]:
    """Return an exception and what led to it, the first cause last."""
    chain = [error]
    while error is not None and (error := error.__cause__ or error.__context__) is not None:
        chain.append(error)
    return chain
