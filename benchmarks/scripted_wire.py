"""HTTP/1.1 and chat-completion bytes for the scripted endpoint (benchmarks/scripted_endpoint.py).

Small and literal on purpose: a test must be able to send what no proper library would.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

CREATED = 1_700_000_000
"""A fixed time stamp, so that two plays of one script are the same bytes."""


@dataclass(frozen=True)
class HttpRequest:
    """One request; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class HttpConnection:
    """One accepted connection: reads whole requests, writes whatever it is told to."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._reader = BufferedReader(connected.makefile("rb", buffering=0), 65536)
        self.closed = False

    def receive(self) -> HttpRequest | None:
        """Return the next request, None when the client has closed the connection."""
        line = self._reader.readline(65536)
        if not line.strip():
            return None
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := self._reader.readline(65536)).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("connection", "").lower() == "close":
            self.closed = True
        return HttpRequest(method, path.split("?")[0].rstrip("/") or "/", headers, self._body(headers))

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self._reader.read(int(headers.get("content-length", "0")))
        parts: list[bytes] = []
        while size := int(self._reader.readline().split(b";")[0], 16):
            parts.append(self._reader.read(size))
            self._reader.readline()
        self._reader.readline()
        return b"".join(parts)

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._socket.sendall(data)

    def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Write a status line and headers."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.send(f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1"))

    def send_body(
        self, status: int, body: bytes, media_type: str, extra: Mapping[str, str] | None = None, *, cut: bool = False
    ) -> None:
        """Write a whole answer; with `cut` only half of the announced body, then close."""
        headers = {"Content-Type": media_type, "Content-Length": str(len(body)), **(extra or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1")
        self.send(head + (body[: len(body) // 2] if cut else body))
        if cut:
            self.close()

    def send_json(
        self, status: int, value: object, extra: Mapping[str, str] | None = None, *, cut: bool = False
    ) -> None:
        """Write a whole JSON answer."""
        self.send_body(status, json.dumps(value).encode(), "application/json", extra, cut=cut)

    def start_stream(self) -> None:
        """Begin an answer of server-sent events in chunked encoding."""
        self.send_head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})

    def send_chunk(self, data: bytes) -> None:
        """Write one HTTP chunk."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def send_events(self, events: Sequence[str]) -> None:
        """Write server-sent events, each an HTTP chunk of its own, at once."""
        blobs = [b"data: " + data.encode("utf-8", "surrogatepass") + b"\n\n" for data in events]
        self.send(b"".join(b"%x\r\n%s\r\n" % (len(blob), blob) for blob in blobs))

    def end_stream(self) -> None:
        """Write the last, empty chunk."""
        self.send(b"0\r\n\r\n")

    def close(self) -> None:
        """End the connection in order."""
        self.closed = True
        self._socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.closed = True
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._reader.close()
        self._socket.close()


def completion(turn: Mapping[str, Any], number: int, request: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return the `chat.completion` object for one turn of a script."""
    calls = [_call(call, number, index) for index, call in enumerate(turn.get("calls", []))]
    message: dict[str, Any] = {"role": "assistant", "content": turn.get("content", None if calls else "")}
    if calls:
        message["tool_calls"] = calls
    prompt = json.dumps(request.get("tools") or []) + json.dumps(request["messages"])
    usage = turn.get("usage") or usage_of(len(prompt) // 4, max(1, len(json.dumps(message)) // 4))
    finish = turn.get("finish_reason") or ("tool_calls" if calls else "stop")
    return {
        "id": f"chatcmpl-scripted-{number}",
        "object": "chat.completion",
        "created": CREATED,
        "model": request.get("model") or model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": usage,
    }


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """Return a `usage` object."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _call(call: Mapping[str, Any], number: int, index: int) -> dict[str, Any]:
    arguments = call.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    name = call.get("id", f"call{number:03d}{index:02d}")
    return {"id": name, "type": "function", "function": {"name": call["name"], "arguments": text}}


def stream_events(
    answer: Mapping[str, Any], *, include_usage: bool, usage_apart: bool, piece: int
) -> list[dict[str, Any]]:
    """Cut a `chat.completion` into the chunks of a stream.

    Args:
        answer: the whole completion.
        include_usage: what the client asked for in `stream_options`.
        usage_apart: usage in a last chunk without choices (OpenAI), else beside the finish_reason (Vercel).
        piece: characters of text or arguments in a chunk.
    """
    base = {key: answer[key] for key in answer if key not in ("choices", "usage", "object")}
    base["object"] = "chat.completion.chunk"
    events: list[dict[str, Any]] = []
    for choice in answer.get("choices", []):
        ends = [(delta, None) for delta in _deltas(choice["message"], piece)] + [({}, choice["finish_reason"])]
        events += [
            {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in ends
        ]
    usage = answer.get("usage")
    if usage is None or not include_usage:
        return events
    if usage_apart or not events:
        return [*events, {**base, "choices": [], "usage": usage}]
    events[-1]["usage"] = usage
    return events


def _deltas(message: Mapping[str, Any], piece: int) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for part in _pieces(message.get("content") or "", piece):
        yield {"content": part}
    calls: Sequence[Mapping[str, Any]] = message.get("tool_calls") or []
    for index, call in enumerate(calls):
        function = call["function"]
        yield {"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]}
        if not isinstance(function["arguments"], str):
            yield {"tool_calls": [{"index": index, "function": {"arguments": function["arguments"]}}]}
            continue
        for part in _pieces(function["arguments"], piece):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


def _pieces(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]
