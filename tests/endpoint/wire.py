"""Faults of the wire: statuses, bodies and streams that no proper server sends."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ostro.benchmarks.scripted_endpoint import Exchange, Fault

HTML = b"<!doctype html><html><body><h1>502 Bad Gateway</h1>nginx load balancer</body></html>"


def refuse(
    status: int, message: str, kind: str = "invalid_request_error", code: object = None, **headers: str
) -> Fault:
    """Return the fault that answers with an error status and an OpenAI-style body."""

    def fault(exchange: Exchange) -> None:
        error = {"message": message, "type": kind, "param": None, "code": code or kind}
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        exchange.connection.send_json(status, {"error": error}, extra)

    return fault


def body(data: bytes, media_type: str = "application/json", status: int = 200, **headers: str) -> Fault:
    """Return the fault that answers with these bytes."""

    def fault(exchange: Exchange) -> None:
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        exchange.connection.send_body(status, data, media_type, extra)

    return fault


def altered(change: Callable[[dict[str, Any]], None]) -> Fault:
    """Return the fault that plays the completion after `change`."""

    def fault(exchange: Exchange) -> None:
        change(exchange.answer)
        exchange.play()

    return fault


def streamed(change: Callable[[list[dict[str, Any]]], Sequence[str]], *, done: bool = True) -> Fault:
    """Return the fault that streams other events than the turn's."""

    def fault(exchange: Exchange) -> None:
        exchange.connection.start_stream()
        exchange.connection.send_events([*change(exchange.events()), *(["[DONE]"] if done else [])])
        exchange.connection.end_stream()

    return fault


def half(exchange: Exchange) -> list[str]:
    """Begin a stream, send half of the events, return the rest."""
    events = [json.dumps(event) for event in exchange.events()]
    exchange.connection.start_stream()
    exchange.connection.send_events(events[: max(1, len(events) // 2)])
    return events[max(1, len(events) // 2) :]


def wrong_key(exchange: Exchange) -> None:
    """Refuse with 401, with the key in the message, as some servers do."""
    given = exchange.request.headers.get("authorization", "").removeprefix("Bearer ")
    refuse(401, f"Incorrect API key provided: {given}.", "authentication_error", "invalid_api_key")(exchange)


def slow(exchange: Exchange) -> None:
    """Send an answer that never ends, one byte in `pace_s`."""
    exchange.connection.start_stream()
    while not exchange.endpoint.stopping.is_set():
        exchange.connection.send_chunk(b":")
        exchange.pause(exchange.endpoint.pace_s)


def slow_head(exchange: Exchange) -> None:
    """Send a header that never ends, one byte in `pace_s`: no read time-out ever fires."""
    exchange.connection.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not exchange.endpoint.stopping.is_set():
        exchange.connection.send(b"x")
        exchange.pause(exchange.endpoint.pace_s)


def redirect(exchange: Exchange) -> None:
    """Redirect to the same port of another host name."""
    port = exchange.endpoint.url.rsplit(":", 1)[1]
    location = f"http://localhost:{port}/chat/completions"
    exchange.connection.send_body(307, b"", "text/plain", {"Location": location})


def reset_midway(exchange: Exchange) -> None:
    half(exchange)
    exchange.pause(0.05)  # a reset throws away what the client has not read yet
    exchange.connection.reset()


def stall(exchange: Exchange) -> None:
    half(exchange)
    exchange.pause(3600.0)


def error_midway(exchange: Exchange) -> None:
    half(exchange)
    error = {"error": {"message": "upstream overloaded", "type": "server_error", "code": 503}}
    exchange.connection.send_events([json.dumps(error)])
    exchange.connection.end_stream()


def stays_open(exchange: Exchange) -> None:
    """Send a whole answer and `[DONE]`, but never end the body."""
    exchange.connection.start_stream()
    exchange.connection.send_events([*map(json.dumps, exchange.events()), "[DONE]"])
    exchange.pause(3600.0)


def byte_by_byte(exchange: Exchange) -> None:
    """Send a proper stream with CRLF line ends, comments and one byte a chunk."""
    exchange.connection.start_stream()
    events = [*(json.dumps(event, ensure_ascii=False) for event in exchange.events()), "[DONE]"]
    text = ": keep-alive\r\n\r\n" + "".join(f"event: message\r\ndata: {event}\r\n\r\n" for event in events)
    data = text.encode()
    exchange.connection.send(b"".join(b"1\r\n%c\r\n" % byte for byte in data))
    exchange.connection.end_stream()


def gateway(exchange: Exchange) -> None:
    """Answer as the Vercel AI Gateway does: usage with cost in the last chunk, routing beside it."""
    exchange.answer["generationId"] = "gen_01SCRIPTED"
    exchange.answer["usage"] |= {"cost": 0.002187, "prompt_tokens_details": {"cached_tokens": 5}}
    routing = {
        "originalModelId": "mistral/devstral-small-2",
        "resolvedProvider": "mistral",
        "resolvedProviderApiModelId": "devstral-small-2512",
        "finalProvider": "mistral",
        "attempts": [{"provider": "mistral", "success": True}],
    }
    metadata = {"gateway": {"routing": routing, "cost": "0.002187", "generationId": "gen_01SCRIPTED"}}
    if not exchange.streaming:
        exchange.answer["choices"][0]["message"]["provider_metadata"] = metadata
        exchange.play()
        return
    events = exchange.events()
    usage = events.pop()["usage"] if not events[-1]["choices"] else events[-1].get("usage")
    events[-1] |= {"usage": usage}
    events[-1]["choices"][0]["delta"]["provider_metadata"] = metadata
    exchange.connection.start_stream()
    exchange.connection.send_events([*map(json.dumps, events), "[DONE]"])
    exchange.connection.end_stream()


def flood(exchange: Exchange) -> None:
    """Stream text without end."""
    event = {"choices": [{"index": 0, "delta": {"content": "x" * 262_144}, "finish_reason": None}]}
    exchange.connection.start_stream()
    while not exchange.endpoint.stopping.is_set():
        exchange.connection.send_events([json.dumps(event)])


def _each_call_delta(events: list[dict[str, Any]], change: Callable[[dict[str, Any]], None]) -> list[str]:
    for event in events:
        for choice in event["choices"]:
            for call in choice["delta"].get("tool_calls", []):
                change(call)
    return [json.dumps(event) for event in events]


def _garbage(events: list[dict[str, Any]]) -> list[str]:
    lines = [json.dumps(event) for event in events]
    middle = len(lines) // 2
    return [*lines[:middle], lines[middle][: len(lines[middle]) // 2], *lines[middle + 1 :]]


def _without_end(events: list[dict[str, Any]]) -> list[str]:
    ends = (bool(event["choices"]) and event["choices"][0]["finish_reason"] is not None for event in events)
    return [json.dumps(event) for event, end in zip(events, ends, strict=True) if not end and event["choices"]]


WIRE: Mapping[str, Fault] = {
    "A01": refuse(429, "slow down", "rate_limit_exceeded", Retry_After="3"),
    "A02": refuse(429, "slow down", "rate_limit_exceeded"),
    "A03": refuse(429, "You exceeded your current quota, please check your plan.", "insufficient_quota"),
    "A04": refuse(500, "scripted", "server_error"),
    "A05": body(HTML, "text/html", 503, Retry_After="Thu, 01 Jan 2099 00:00:00 GMT"),
    "A06": wrong_key,
    "A07": lambda exchange: exchange.connection.reset(),
    "A08": lambda exchange: exchange.pause(3600.0),
    "A09": slow,
    "A10": body(b'{"id": "x", "choices": [{"index": 0, "mess'),
    "A11": body(HTML, "text/html"),
    "A12": body(b""),
    "A13": body(b"null"),
    "A14": altered(lambda answer: answer.update(choices=[])),
    "A15": body(b'{"error": {"message": "upstream overloaded", "type": "server_error", "code": 503}}'),
    "A18": body(b'{"id": "x", "object": "chat.completion", "choices": [{"index": 0}]}'),
    "A19": lambda exchange: exchange.endpoint.known_faults["cut"](exchange),
    "A34": altered(lambda answer: answer.pop("usage")),
    "A36": refuse(
        400,
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
        code="context_length_exceeded",
    ),
    "A37": refuse(413, "Request Entity Too Large"),
    "A38": redirect,
    "S01": reset_midway,
    "S02": streamed(_garbage),
    "S03": stall,
    "S04": error_midway,
    "S05": streamed(_without_end, done=False),
    # Beyond the rows of the fault matrix.
    "slow_head": slow_head,
    "stays_open": stays_open,
    "flood": flood,
    "byte_by_byte": byte_by_byte,
    "gateway": gateway,
    "plain_json": lambda exchange: exchange.connection.send_json(200, exchange.answer),
    "index_none": streamed(lambda events: _each_call_delta(events, lambda call: call.update(index=None))),
    "index_zero": streamed(lambda events: _each_call_delta(events, lambda call: call.update(index=0))),
    "harmless_garbage": streamed(lambda events: ["ping", *map(json.dumps, events)]),
    "done_without_reason": streamed(_without_end),
    "jinja_500": refuse(
        500,
        "After the optional system message, conversation roles must alternate user and assistant roles "
        "except for tool calls and results. (jinja template)",
        "server_error",
    ),
    "order_400": refuse(400, "Unexpected role 'user' after role 'tool'", "invalid_request_message_order"),
    "long_retry_after": refuse(429, "come back later", "rate_limit_exceeded", Retry_After="3600"),
    "credit_402": refuse(402, "AI Gateway requires a valid credit card on file", "payment_required"),
    "credit_429": refuse(429, "Upstream: your account is out of balance", "AI_APICallError"),
    "gone_404": refuse(404, "Model 'mistral/devstral-small-2' not found", "model_not_found"),
    "html_502": body(HTML, "text/html", 502),
    "no_response_format": refuse(422, "extra fields not permitted: response_format"),
}
