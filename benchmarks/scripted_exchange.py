"""One request to the scripted endpoint being answered, and the faults that may be played instead of the turn."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ostro.benchmarks.scripted_wire import HttpConnection, stream_events

Fault = Callable[["Exchange"], None]
"""Answers one request in a wrong way; may change `exchange.answer` and then call `exchange.play()`."""


class Endpoint(Protocol):
    """What an exchange needs of the server that it belongs to.

    Attributes:
        usage_apart: whether usage comes in a chunk of its own.
        piece_chars: characters in one chunk of a stream.
        pace_s: seconds between the bytes of a fault that trickles.
        stopping: set when the server closes.
    """

    usage_apart: bool
    piece_chars: int
    pace_s: float
    stopping: threading.Event
    known_faults: Mapping[str, Fault]

    @property
    def url(self) -> str:
        """Base URL."""
        ...


@dataclass(frozen=True)
class Recorded:
    """One chat request as it arrived.

    Attributes:
        connection: which TCP connection it came on, from 1.
        conversation: the same for all requests that begin with the same user message.
        turn: number of the turn that was played, from 0.
        received_at: `time.monotonic()` when the last byte of the body was read.
        body_bytes: size of the body.
        fault: name of the fault played instead, "" for none.
    """

    connection: int
    conversation: str
    turn: int
    received_at: float
    body_bytes: int
    headers: dict[str, str]
    body: dict[str, Any]
    fault: str = ""


@dataclass
class FaultPlan:
    """Play fault `name` at turn `turn` (None: at every turn) the first `times` times (0: always)."""

    name: str
    turn: int | None = None
    times: int = 1
    fired: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])

    def fires(self, conversation: str, turn: int) -> bool:
        """Whether to misbehave now; counts the time when it does."""
        if self.turn not in (None, turn):
            return False
        key = (conversation, turn)
        if self.times and self.fired.get(key, 0) >= self.times:
            return False
        self.fired[key] = self.fired.get(key, 0) + 1
        return True


class Exchange:
    """One chat request being answered: what a fault can see and do.

    Attributes:
        answer: the chat completion that the turn asks for; a fault may change it before `play`.
    """

    def __init__(
        self, endpoint: Endpoint, connection: HttpConnection, request: Recorded, answer: dict[str, Any]
    ) -> None:
        self.endpoint = endpoint
        self.connection = connection
        self.request = request
        self.answer = answer

    @property
    def streaming(self) -> bool:
        """Whether the client asked for server-sent events."""
        return bool(self.request.body.get("stream"))

    def play(self) -> None:
        """Send `answer` as the client asked for it: one JSON object, or server-sent events."""
        if not self.streaming:
            self.connection.send_json(200, self.answer)
            return
        self.connection.start_stream()
        self.connection.send_events([*map(json.dumps, self.events()), "[DONE]"])
        self.connection.end_stream()

    def events(self) -> list[dict[str, Any]]:
        """The chunks in which `answer` is streamed."""
        options: dict[str, Any] = self.request.body.get("stream_options") or {}
        return stream_events(
            self.answer,
            include_usage=bool(options.get("include_usage")),
            usage_apart=self.endpoint.usage_apart,
            piece=self.endpoint.piece_chars,
        )

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the endpoint lives."""
        self.endpoint.stopping.wait(seconds)


def play_fault(exchange: Exchange, name: str) -> None:
    """Play the fault `name`; a number is that HTTP status.

    Raises:
        KeyError: nobody knows this fault.
    """
    if name.isdigit():
        extra = {"Retry-After": "0"} if name == "429" else {}
        kinds = {"401": "authentication_error", "429": "rate_limit_exceeded"}
        kind = kinds.get(name, "server_error" if int(name) >= 500 else "invalid_request_error")
        error = {"message": f"scripted {name}", "type": kind}
        exchange.connection.send_json(int(name), {"error": error}, extra)
        return
    exchange.endpoint.known_faults[name](exchange)


def drop(exchange: Exchange) -> None:
    """Reset the connection before the first byte of an answer."""
    exchange.connection.reset()


def cut(exchange: Exchange) -> None:
    """Send half of the answer, then close the connection."""
    if not exchange.streaming:
        exchange.connection.send_json(200, exchange.answer, cut=True)
        return
    exchange.connection.start_stream()
    events = exchange.events()
    exchange.connection.send_events([json.dumps(event) for event in events[: max(1, len(events) // 2)]])
    exchange.connection.close()


def hang(exchange: Exchange) -> None:
    """Never answer."""
    exchange.pause(3600.0)
    exchange.connection.close()


SIMPLE_FAULTS: Mapping[str, Fault] = {"drop": drop, "cut": cut, "hang": hang}


def parse_fault(text: str) -> FaultPlan:
    """Read `TURN:NAME` or `TURN:NAMExTIMES`; TURN `*` is every turn, TIMES 0 is always.

    Raises:
        ValueError: it has another form.
    """
    turn, colon, name = text.partition(":")
    if not colon or not name:
        raise ValueError(f"{text!r} is not TURN:NAME[xTIMES]")
    stem, x, times = name.rpartition("x")
    if x and times.isdigit():
        return FaultPlan(stem, None if turn == "*" else int(turn), int(times))
    return FaultPlan(name, None if turn == "*" else int(turn))
