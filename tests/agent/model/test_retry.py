"""What a failure means, and how long to wait: pure functions."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.agent.errors import ModelErrorKind
from ostro.agent.model.failure import TryError, http_error, retry_after
from ostro.agent.model.retry import LONGEST_WAIT_S, MAX_TRIES, RETRIED, next_wait

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def openai(message: str, kind: str = "x") -> str:
    return f'{{"error": {{"message": "{message}", "type": "{kind}", "code": null}}}}'


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, openai("bad field"), "invalid"),
        (401, openai("no"), "auth"),
        (401, openai("balance of power"), "auth"),
        (403, openai("insufficient permissions"), "auth"),
        (402, "", "credit"),
        (403, openai("Your credit balance is too low"), "credit"),
        (429, openai("Insufficient balance"), "credit"),
        (429, openai("AI Gateway requires a valid credit card on file"), "credit"),
        (429, openai("Upstream error", "insufficient_quota"), "credit"),
        (429, openai("rate limited"), "rate"),
        (429, "<html>too many</html>", "rate"),
        (404, openai("Model 'x/y' not found", "model_not_found"), "gone"),
        (400, '{"object":"error","message":"Invalid model: x","type":"invalid_model","code":"1500"}', "gone"),
        (410, "", "gone"),
        (413, "too large", "overflow"),
        (400, openai("This model's maximum context length is 4096 tokens."), "overflow"),
        (422, openai("prompt is too long: 9 > 8"), "overflow"),
        (500, openai("the request exceeds the available context size"), "overflow"),
        (503, openai("maximum context length"), "transient"),
        (500, openai("jinja: conversation roles must alternate"), "template"),
        (400, openai("Unexpected role 'user' after role 'tool'", "invalid_request_message_order"), "invalid"),
        (500, openai("oops"), "transient"),
        (502, "<html>load balancer</html>", "transient"),
        (503, openai("Overloaded", "overloaded_error"), "transient"),
        (529, "", "transient"),
        (408, "", "transient"),
        (409, "", "transient"),
        (418, "", "invalid"),
        (501, "", "invalid"),
        (400, openai("blocked by content management policy"), "content_filter"),
        (400, '{"error": "Rate-limit: plain text"}', "invalid"),
        (422, '{"detail": [{"loc": ["body"], "msg": "field required"}]}', "invalid"),
        (307, "", "protocol"),
    ],
)
def test_http_error_when_classified_then_text_before_type_before_status(
    status: int, body: str, kind: ModelErrorKind
) -> None:
    failure = http_error(status, {}, body)
    assert failure.model_kind == kind
    assert failure.status == status


@given(st.integers(300, 599), st.text(max_size=200), st.text(max_size=30))
def test_http_error_when_given_anything_then_it_never_breaks(status: int, body: str, header: str) -> None:
    failure = http_error(status, {"retry-after": header}, body)
    assert str(failure)
    assert "\n" not in str(failure)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2020 12:00:30 GMT"}, 0.0),
    ],
)
def test_retry_after_when_read_then_seconds_or_nothing(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=NOW) == seconds


def failure(kind: ModelErrorKind, asked: float | None = None, cause: str = "x", *, final: bool = False) -> TryError:
    return TryError("it failed", kind=kind, cause=cause, retry_after_s=asked, final=final)


def wait(failed: TryError, tries: int = 1, budget_s: float = 600.0, *, answered: bool = True, seed: int = 1) -> float:
    return next_wait(failed, tries, budget_s, answered_before=answered, rng=random.Random(seed))


@pytest.mark.parametrize("kind", ["auth", "credit", "gone", "invalid", "overflow", "template", "content_filter"])
def test_next_wait_when_a_retry_cannot_help_then_none(kind: ModelErrorKind) -> None:
    assert wait(failure(kind)) < 0


@given(st.sampled_from(sorted(RETRIED)), st.integers(1, MAX_TRIES - 1), st.integers(0, 99))
def test_next_wait_when_a_retry_may_help_then_between_1_and_60_s(kind: ModelErrorKind, tries: int, seed: int) -> None:
    assert 1.0 <= wait(failure(kind), tries, seed=seed) <= LONGEST_WAIT_S


def test_next_wait_when_tries_are_used_up_then_none() -> None:
    assert wait(failure("transient"), MAX_TRIES) < 0


def test_next_wait_when_the_server_asks_then_at_least_that() -> None:
    assert 90.0 <= wait(failure("rate", asked=90.0)) <= 91.0
    assert 0.0 <= wait(failure("rate", asked=0.0)) <= 1.0


def test_next_wait_when_the_server_asks_for_more_than_the_budget_then_only_a_rate_limit_ends_it() -> None:
    assert wait(failure("rate", asked=3600.0)) < 0
    assert 1.0 <= wait(failure("transient", asked=3600.0)) <= 60.0


def test_next_wait_when_the_budget_is_spent_then_none() -> None:
    assert wait(failure("transient"), budget_s=0.5) < 0


def test_next_wait_when_nobody_ever_answered_then_few_tries() -> None:
    assert wait(failure("unreachable", cause="no_connection"), 3, answered=False) < 0
    assert wait(failure("unreachable", cause="no_connection"), 3, answered=True) > 0
    assert wait(failure("unreachable", cause="tls", final=True)) < 0
