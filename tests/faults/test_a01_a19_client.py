"""Rows A01 to A19 of the fault matrix that concern the model client: statuses, bodies, connections."""

from __future__ import annotations

import time

import pytest

from ostro.agent.errors import ModelError
from ostro.agent.model.retry import MAX_TRIES
from tests.endpoint import serve
from tests.endpoint.client import KEY, Caller, FakeClock

STREAMS = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


def test_a01_rate_limit_with_retry_after_when_met_then_waited_for_and_retried_once() -> None:
    with serve(fault="A01") as endpoint:
        caller = Caller(endpoint)
        reply = caller.ask()
    assert reply.tries == 2
    assert len(caller.waits) == 1
    assert 3.0 <= caller.waits[0] <= 4.0
    assert [retry.kind for retry in caller.retries] == ["rate"]
    assert endpoint.requests[0].body == endpoint.requests[1].body


def test_a02_rate_limit_without_header_when_lasting_then_tries_are_bounded() -> None:
    with serve(fault="A02", times=0) as endpoint:
        caller = Caller(endpoint)
        with pytest.raises(ModelError) as caught:
            caller.ask()
    assert caught.value.model_kind == "rate"
    assert len(endpoint.requests) == MAX_TRIES
    assert all(1.0 <= wait <= 60.0 for wait in caller.waits)


def test_a03_insufficient_quota_when_met_then_not_retried() -> None:
    with serve(fault="A03", times=0) as endpoint:
        caller = Caller(endpoint)
        with pytest.raises(ModelError) as caught:
            caller.ask()
    assert caught.value.model_kind == "credit"
    assert len(endpoint.requests) == 1
    assert caught.value.mend


@STREAMS
def test_a04_server_error_when_it_ends_then_the_answer_comes(stream: bool) -> None:
    with serve(fault="A04", times=MAX_TRIES - 1) as endpoint:
        caller = Caller(endpoint, stream=stream)
        reply = caller.ask()
    assert reply.tries == MAX_TRIES
    assert reply.calls[0].name == "bash"
    assert len({str(request.body) for request in endpoint.requests}) == 1


def test_a04_server_error_when_it_lasts_then_transient_error() -> None:
    with serve(fault="A04", times=0) as endpoint, pytest.raises(ModelError) as caught:
        Caller(endpoint).ask()
    assert caught.value.model_kind == "transient"
    assert caught.value.status == 500
    assert len(endpoint.requests) == MAX_TRIES


def test_a05_html_503_with_retry_after_of_2099_when_met_then_wait_is_capped() -> None:
    with serve(fault="A05", times=2) as endpoint:
        caller = Caller(endpoint)
        reply = caller.ask()
    assert reply.tries == 3
    assert all(wait <= 60.0 for wait in caller.waits)
    assert "load balancer" in caller.retries[0].raw
    assert caller.retries[0].kind == "transient"


def test_a06_wrong_key_when_echoed_then_not_retried_and_hidden() -> None:
    with serve(fault="A06", times=0) as endpoint, pytest.raises(ModelError) as caught:
        Caller(endpoint).ask()
    assert caught.value.model_kind == "auth"
    assert len(endpoint.requests) == 1
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in f"{caught.value} {caught.value.raw} {caught.value.mend}"


@STREAMS
def test_a07_reset_before_reply_when_it_ends_then_retried(stream: bool) -> None:
    with serve(fault="A07", times=2) as endpoint:
        caller = Caller(endpoint, stream=stream)
        reply = caller.ask()
    assert reply.tries == 3
    assert {retry.kind for retry in caller.retries} == {"unreachable"}


@STREAMS
def test_a08_no_answer_when_time_is_over_then_retried(stream: bool) -> None:
    with serve(fault="A08") as endpoint:
        caller = Caller(endpoint, stream=stream, first_token_s=0.3, total_s=0.3 if not stream else 5.0)
        begun = time.monotonic()
        reply = caller.ask()
    assert reply.tries == 2
    assert time.monotonic() - begun < 3.0
    assert caller.retries[0].cause in ("stalled", "deadline")


@pytest.mark.parametrize("fault", ["A09", "slow_head"])
def test_a09_slow_loris_when_bytes_trickle_then_the_total_deadline_ends_it(fault: str) -> None:
    with serve(fault=fault, pace_s=0.02) as endpoint:
        caller = Caller(endpoint, first_token_s=5.0 if fault == "A09" else 0.5, idle_s=5.0, total_s=0.5)
        begun = time.monotonic()
        reply = caller.ask()
    assert reply.tries == 2
    assert time.monotonic() - begun < 3.0


def test_a09_slow_loris_when_the_call_has_a_deadline_then_it_is_kept() -> None:
    with serve(fault="A09", times=0, pace_s=0.02) as endpoint:
        caller = Caller(endpoint)
        begun = time.monotonic()
        with pytest.raises(ModelError) as caught:
            caller.ask(deadline_s=0.4)
    assert caught.value.model_kind == "unreachable"
    assert time.monotonic() - begun < 3.0


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("A10", "invalid_json"),
        ("A11", "html"),
        ("A12", "empty_body"),
        ("A13", "not_an_object"),
        ("A18", "missing_fields"),
    ],
)
@STREAMS
def test_a10_to_a13_and_a18_unusable_body_when_met_then_retried_and_kept(fault: str, cause: str, stream: bool) -> None:
    with serve(fault=fault) as endpoint:
        caller = Caller(endpoint, stream=stream)
        reply = caller.ask()
    assert reply.tries == 2
    assert caller.retries[0].kind == "protocol"
    assert caller.retries[0].cause == cause
    assert caller.retries[0].raw or fault == "A12"


def test_a10_invalid_json_when_it_lasts_then_protocol_error_with_the_raw_bytes() -> None:
    with serve(fault="A10", times=0) as endpoint, pytest.raises(ModelError) as caught:
        Caller(endpoint).ask()
    assert caught.value.model_kind == "protocol"
    assert caught.value.raw.startswith('{"id": "x"')
    assert len(endpoint.requests) == MAX_TRIES


@STREAMS
def test_a14_empty_choices_when_met_then_retried_and_counted_apart(stream: bool) -> None:
    with serve(fault="A14", times=2) as endpoint:
        caller = Caller(endpoint, stream=stream)
        reply = caller.ask()
    assert reply.tries == 3
    assert caller.client.failures == {"empty_choices": 2}


@STREAMS
def test_a15_error_object_with_status_200_when_met_then_treated_as_its_class(stream: bool) -> None:
    with serve(fault="A15") as endpoint:
        caller = Caller(endpoint, stream=stream)
        assert caller.ask().tries == 2
    assert caller.retries[0].kind == "transient"
    assert caller.retries[0].status == 503


@STREAMS
def test_a19_body_cut_at_half_when_met_then_nothing_of_it_is_used(stream: bool) -> None:
    with serve(fault="A19") as endpoint:
        caller = Caller(endpoint, stream=stream)
        reply = caller.ask()
    assert reply.tries == 2
    assert reply.text == "Let me look."
    assert [call.arguments for call in reply.calls] == ['{"command": "ls -la"}']


def test_waiting_when_interrupted_then_ends_at_once() -> None:
    from ostro.agent.errors import Interrupted

    with serve(fault="A01", times=0) as endpoint, pytest.raises(Interrupted):
        Caller(endpoint, clock=FakeClock(stop_after=1)).ask()
    assert len(endpoint.requests) == 1
