"""What a failed request means: pure functions from status, headers and body to a `TryError`.

Classification goes by the text first (gateways wrap upstream errors in any status), then by the error's type, then
by the status. What is done about a failure is agent/model/retry.py's.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from ostro.agent.errors import ModelError, ModelErrorKind
from ostro.agent.model.loose import is_object, mapping, parse

RAW_CHARS = 4_000

_OVERFLOW_STATUSES = frozenset({200, 400, 413, 422, 500})
_ANY_STATUS = frozenset({200, *range(300, 600)})


class _TextRule(NamedTuple):
    """An error text that says what it is, whatever the status, within reason."""

    kind: ModelErrorKind
    statuses: frozenset[int]
    pattern: re.Pattern[str]


_TEXT_RULES = (
    _TextRule(
        "overflow",
        _OVERFLOW_STATUSES,
        re.compile(
            r"context too long|maximum context length|input too large|couldn't fit with truncation|prompt is too long"
            r"|model_context_exceeded|prompt_too_long|context_length_exceeded|exceed_context_size"
            r"|available context size|context window|context_window|too large for model with"
        ),
    ),
    _TextRule(
        "template",
        _ANY_STATUS,
        re.compile(r"jinja|chat[_ ]template|template error|conversation roles must alternate|raise_exception"),
    ),
    _TextRule(
        "credit",
        _ANY_STATUS - {401},
        re.compile(
            r"insufficient[_ ](?!permission|scope|privilege|right)|\bbalance\b|credit card|exceeded your current quota"
            r"|out of credits?\b|payment required|billing"
        ),
    ),
    _TextRule(
        "content_filter",
        _ANY_STATUS,
        re.compile(r"content_filter|content management policy|flagged by (?:our )?moderation"),
    ),
    _TextRule(
        "gone",
        _ANY_STATUS - {401, 429},
        re.compile(
            r"model_not_found|model_decommissioned|invalid model|no endpoints found|unknown model"
            r"|model.{0,80}(?:does not exist|not found|is not available|retired|decommissioned|no longer)"
        ),
    ),
)

_TYPES: Mapping[str, ModelErrorKind] = {
    "authentication_error": "auth",
    "invalid_api_key": "auth",
    "permission_error": "auth",
    "forbidden": "auth",
    "insufficient_quota": "credit",
    "rate_limit_exceeded": "rate",
    "rate_limit_error": "rate",
    "too_many_requests": "rate",
    "overloaded_error": "transient",
    "internal_server_error": "transient",
    "server_error": "transient",
    "timeout": "transient",
    "service_unavailable": "transient",
    "content_filter": "content_filter",
    "invalid_request_message_order": "invalid",
    "invalid_function_call": "invalid",
}

_STATUSES: Mapping[int, ModelErrorKind] = {
    400: "invalid",
    401: "auth",
    402: "credit",
    403: "auth",
    404: "gone",
    408: "transient",
    409: "transient",
    410: "gone",
    413: "overflow",
    422: "invalid",
    425: "transient",
    429: "rate",
    501: "invalid",
}

_REFUSED = frozenset({401, 402, 403})
"""Statuses that a gateway's catch-all type (`server_error`) does not make worth a retry."""

_MENDS: Mapping[ModelErrorKind, str] = {
    "auth": "Check the key, and that it belongs to this endpoint.",
    "credit": "Add credit or a payment method at the provider, then run it again.",
    "gone": "Check the model id (`ostro models`), and that the base URL is right (most end in /v1).",
    "overflow": "Lower the context, or use a model with a larger one.",
    "rate": "Wait, use fewer workers, or ask the provider for a higher limit; then run it again.",
    "transient": "The endpoint has trouble; try again later.",
    "template": "The server's chat template is wrong for this model: start it with its own template (--jinja).",
    "unreachable": "Check the address, the network and any proxy; then run it again.",
    "protocol": "This is not a chat-completions endpoint, or something between changes its answers.",
    "content_filter": "Rephrase the task, or use another endpoint.",
    "invalid": "",
}


class TryError(ModelError):
    """One request failed. Never leaves the client: it is retried, or raised again as a plain `ModelError`.

    Attributes:
        cause: short name for the log: `http_503`, `cut`, `stalled`, `invalid_json`, ...
        final: not to be retried whatever its kind.
        output_chars: characters of an answer that had arrived: the provider bills them.
        answered: an answer had begun, so the prompt was processed.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: ModelErrorKind,
        cause: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        raw: str = "",
        final: bool = False,
        mend: str = "",
    ) -> None:
        super().__init__(
            message,
            kind=kind,
            mend=mend or _MENDS[kind],
            status=status,
            retry_after_s=retry_after_s,
            raw=raw[:RAW_CHARS],
        )
        self.cause = cause
        self.final = final
        self.output_chars = 0
        self.answered = False


@dataclass(frozen=True)
class ErrorBody:
    """What an error body says, whatever its form."""

    message: str
    types: tuple[str, ...] = ()
    status: int | None = None


def classify(status: int, body: ErrorBody) -> ModelErrorKind:
    """Return what kind of failure an answer is: by its text, then its type, then its status."""
    text = " ".join([body.message, *body.types]).lower()
    by_text = _by_text(status, text)
    if by_text is not None:
        return by_text
    for name in body.types:
        kind = _TYPES.get(name.lower())
        if kind is not None and (kind != "transient" or status not in _REFUSED):
            return kind
    if status in _STATUSES:
        return _STATUSES[status]
    if status >= 500:
        return "transient"
    return "invalid" if status >= 400 else "protocol"


def _by_text(status: int, text: str) -> ModelErrorKind | None:
    # An HTML page of a proxy may hold any of these words; only JSON errors speak for the model.
    if text.lstrip().startswith("<"):
        return None
    return next((rule.kind for rule in _TEXT_RULES if status in rule.statuses and rule.pattern.search(text)), None)


def read_error(text: str) -> ErrorBody:
    """Read an error body: `{"error": {...}}`, `{"error": "text"}`, Mistral's flat form, or plain text."""
    try:
        value = parse(text)
    except ValueError:
        return ErrorBody(text.strip())
    return error_of(value) if is_object(value) else ErrorBody(text.strip())


def error_of(value: Mapping[str, Any]) -> ErrorBody:
    """Read a decoded error object."""
    inner: object = value.get("error", value)
    if not is_object(inner):
        return ErrorBody(str(inner))
    message = inner.get("message") or inner.get("detail") or json.dumps(inner)
    types = tuple(str(inner[key]) for key in ("type", "code") if inner.get(key) is not None)
    return ErrorBody(message if isinstance(message, str) else json.dumps(message), types, _status_in(inner))


def _status_in(error: Mapping[str, Any]) -> int | None:
    inside = mapping(error.get("param")).get("statusCode")
    for value in (inside, error.get("status"), error.get("code")):
        if isinstance(value, int | str) and str(value).isdigit() and 400 <= int(value) < 600:
            return int(value)
    return None


def http_error(status: int, headers: Mapping[str, str], text: str, *, now: datetime | None = None) -> TryError:
    """Turn an answer with an error status into the failure that it is."""
    body = read_error(text)
    kind = classify(status, body)
    shown = _one_line(body.message) if not body.message.startswith("<") else "an HTML page"
    message = f"the endpoint answered {status}: {shown}" if shown else f"the endpoint answered {status}"
    if 300 <= status < 400:
        message = f"the endpoint redirects to {headers.get('location', 'somewhere else')}; that is not followed"
    return TryError(
        message,
        kind=kind,
        cause=f"http_{status}",
        status=status,
        retry_after_s=retry_after(headers, now=now),
        raw=text,
        final=300 <= status < 400,
        mend="Give the final address as --endpoint." if 300 <= status < 400 else "",
    )


def answered_error(value: Mapping[str, Any], raw: str) -> TryError:
    """Turn an error object that came with status 200, whole or in a stream, into the failure that it is."""
    body = error_of(value)
    status = body.status or 200
    kind = classify(status, body)
    # With status 200 nothing says whose fault it was; an unnamed error is worth another try.
    if kind == "protocol":
        kind = "transient"
    return TryError(
        f"the endpoint answered with an error: {_one_line(body.message)}",
        kind=kind,
        cause="error_object",
        status=body.status,
        raw=raw,
    )


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Return the seconds that the server asks to wait; None when it says nothing that can be read."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _number(value)
    if seconds is not None or not value:
        return seconds
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    moment = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _one_line(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[:limit]}..."
