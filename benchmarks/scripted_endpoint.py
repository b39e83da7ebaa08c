"""A scripted chat-completions endpoint: plays a list of assistant turns over real HTTP, with no model behind it.

The demo, the benchmarks and the tests run against it. It is stateless: which turn to play is the number of
assistant messages in the request, so retries, resumed runs and parallel conversations need no bookkeeping.
Standard library only.

Usage:
    with ScriptedEndpoint([{"calls": [{"name": "bash", "arguments": {"command": "ls"}}]}, {"content": "Done."}]) as e:
        print(e.url)

    python -m ostro.benchmarks.scripted_endpoint turns.json --port 8808 --fault 2:429x2
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from ostro.benchmarks.scripted_exchange import (
    SIMPLE_FAULTS,
    Exchange,
    Fault,
    FaultPlan,
    Recorded,
    parse_fault,
    play_fault,
)
from ostro.benchmarks.scripted_wire import HttpConnection, HttpRequest, completion

__all__ = ["BRIDGES", "Exchange", "Fault", "FaultPlan", "Recorded", "ScriptedEndpoint", "main"]

BRIDGES = frozenset({"Understood.", "The image follows."})
"""Fixed assistant lines that Ostro itself puts between messages (agent/model/wire.py); they are no turns."""


class ScriptedEndpoint:
    """An OpenAI-compatible server on loopback, in threads of this process.

    A turn is an object with any of: `content` (text), `calls` (list of {name, arguments}; arguments given as a
    string are sent verbatim), `finish_reason`, `usage`, `latency_s`, `fault`, `fault_times`. Past the end of the
    list the last turn is played again.

    Raises:
        ValueError: a fault is asked for that nobody knows.

    Attributes:
        requests: every chat request so far, in order of arrival.
        answered: when each answer was complete, by `time.monotonic()`, in that order.
        connections: TCP connections accepted so far.
        by_request: turns to play by the number of the request instead, for clients that begin anew each time.
        stopping: set when the endpoint closes; hanging faults wait on it.
    """

    def __init__(
        self,
        turns: Sequence[Mapping[str, Any]],
        *,
        faults: Sequence[FaultPlan] = (),
        known_faults: Mapping[str, Fault] | None = None,
        model: str = "scripted",
        latency_s: float = 0.0,
        usage_apart: bool = True,
        piece_chars: int = 24,
        pace_s: float = 1.0,
        context_window: int = 262_144,
        port: int = 0,
    ) -> None:
        self.turns = list(turns)
        self.by_request: list[Mapping[str, Any]] | None = None
        self.faults = list(faults)
        self.known_faults: Mapping[str, Fault] = {**SIMPLE_FAULTS, **(known_faults or {})}
        self.model = model
        self.latency_s = latency_s
        self.usage_apart = usage_apart
        self.piece_chars = piece_chars
        self.pace_s = pace_s
        self.context_window = context_window
        self.requests: list[Recorded] = []
        self.answered: list[float] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._turn_faults: dict[int, FaultPlan] = {}
        self._refuse_unknown_faults()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._accept, name="scripted-endpoint", daemon=True)

    @property
    def url(self) -> str:
        """Base URL, as `--endpoint` wants it."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening and cut every open connection."""
        self.stopping.set()
        with self._lock:
            for connection in [self._listener, *self._open]:
                _shut(connection)
        self._listener.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._open.add(connected)
                number = self.connections
            threading.Thread(target=self._serve, args=(connected, number), daemon=True).start()

    def _serve(self, connected: socket.socket, number: int) -> None:
        connection = HttpConnection(connected)
        try:
            while not connection.closed and (request := connection.receive()) is not None:
                self._answer(connection, request, number)
        except OSError:
            pass  # the client went away
        finally:
            with self._lock:
                self._open.discard(connected)
            connected.close()

    def _answer(self, connection: HttpConnection, request: HttpRequest, number: int) -> None:
        if request.method == "POST" and request.path.endswith("/chat/completions"):
            self._chat(connection, request, number)
        elif request.path.endswith("/models"):
            entry = {"id": self.model, "object": "model", "owned_by": "scripted", "context_window": self.context_window}
            connection.send_json(200, {"object": "list", "data": [entry]})
        else:
            message = f"no route {request.method} {request.path}"
            connection.send_json(404, {"error": {"message": message, "type": "not_found"}})

    def _chat(self, connection: HttpConnection, request: HttpRequest, number: int) -> None:
        try:
            body = json.loads(request.body)
            messages = body["messages"]
        except (ValueError, KeyError, TypeError):
            connection.send_json(400, {"error": {"message": "not a chat request", "type": "invalid_request_error"}})
            return
        turn_number = turn_of(messages)
        turn = self._turn(turn_number)
        recorded = Recorded(
            connection=number,
            conversation=conversation_of(messages),
            turn=turn_number,
            received_at=time.monotonic(),
            body_bytes=len(request.body),
            headers=request.headers,
            body=body,
        )
        fault = self._fault_for(recorded, turn)
        recorded = replace(recorded, fault=fault)
        with self._lock:
            self.requests.append(recorded)
        exchange = Exchange(self, connection, recorded, completion(turn, turn_number, body, self.model))
        exchange.pause(float(turn.get("latency_s", self.latency_s)))
        play_fault(exchange, fault) if fault else exchange.play()
        self.answered.append(time.monotonic())

    def _refuse_unknown_faults(self) -> None:
        asked = [plan.name for plan in self.faults] + [str(turn["fault"]) for turn in self.turns if "fault" in turn]
        unknown = sorted(name for name in asked if not name.isdigit() and name not in self.known_faults)
        if unknown:
            raise ValueError(f"unknown fault {unknown[0]!r}; known are {', '.join(sorted(self.known_faults))}")

    def _turn(self, number: int) -> Mapping[str, Any]:
        if self.by_request is not None:
            return self.by_request[min(len(self.requests), len(self.by_request) - 1)]
        return self.turns[min(number, len(self.turns) - 1)]

    def _fault_for(self, request: Recorded, turn: Mapping[str, Any]) -> str:
        with self._lock:
            plans = list(self.faults)
            if "fault" in turn:
                own = FaultPlan(str(turn["fault"]), None, int(turn.get("fault_times", 1)))
                plans.append(self._turn_faults.setdefault(request.turn, own))
            return next((plan.name for plan in plans if plan.fires(request.conversation, request.turn)), "")


def turn_of(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return how many turns of the model a request holds."""
    return sum(m.get("role") == "assistant" and m.get("content") not in BRIDGES for m in messages)


def conversation_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return a short name of the conversation: a digest of its first user message."""
    first = next((m.get("content") for m in messages if m.get("role") == "user"), "")
    return sha256(json.dumps(first).encode()).hexdigest()[:12]


def _shut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):  # already gone
        connected.shutdown(socket.SHUT_RDWR)


def main(argv: Sequence[str] | None = None, known_faults: Mapping[str, Fault] | None = None) -> int:
    """Serve until interrupted; print the base URL on the first line and the requests' facts at the end."""
    parser = argparse.ArgumentParser(prog="scripted_endpoint", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("turns", type=Path, help="JSON list of turns")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--fault", action="append", default=[], type=parse_fault, metavar="TURN:NAME[xTIMES]")
    parser.add_argument("--record", type=Path, help="write one JSON line a request to this file at the end")
    given = parser.parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    turns = json.loads(given.turns.read_text())
    with ScriptedEndpoint(
        turns, faults=given.fault, known_faults=known_faults, latency_s=given.latency, port=given.port
    ) as endpoint:
        sys.stdout.write(f"{endpoint.url}\n")
        sys.stdout.flush()
        stop.wait()
    if given.record:
        given.record.write_text("".join(json.dumps(asdict(r)) + "\n" for r in endpoint.requests))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
