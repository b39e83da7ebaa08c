"""Rows S01 to S05 of the fault matrix: streams that break."""

from __future__ import annotations

import time

import pytest

from ostro.agent.errors import ModelError
from ostro.agent.model.retry import MAX_TRIES
from tests.endpoint import serve
from tests.endpoint.client import Caller

WHOLE = '{"command": "ls -la"}'


@pytest.mark.parametrize("fault", ["S01", "S02", "S04", "S05", "done_without_reason"])
def test_s01_s02_s04_s05_broken_stream_when_met_then_discarded_and_retried(fault: str) -> None:
    with serve(fault=fault) as endpoint:
        caller = Caller(endpoint)
        reply = caller.ask()
    assert reply.tries == 2
    assert reply.text == "Let me look."
    assert [call.arguments for call in reply.calls] == [WHOLE]


@pytest.mark.parametrize(("fault", "cause"), [("S02", "garbage_event"), ("S04", "error_object"), ("S05", "cut")])
def test_s02_s04_s05_broken_stream_when_met_then_its_cause_is_named(fault: str, cause: str) -> None:
    with serve(fault=fault) as endpoint:
        caller = Caller(endpoint)
        caller.ask()
    assert [retry.cause for retry in caller.retries] == [cause]


def test_s02_garbage_that_is_no_piece_when_met_then_skipped() -> None:
    with serve(fault="harmless_garbage", times=0) as endpoint:
        assert Caller(endpoint).ask().tries == 1


def test_s03_stall_when_nothing_more_comes_then_retried_after_the_idle_time() -> None:
    with serve(fault="S03") as endpoint:
        caller = Caller(endpoint, idle_s=0.3)
        begun = time.monotonic()
        reply = caller.ask()
    assert reply.tries == 2
    assert time.monotonic() - begun < 3.0
    assert caller.retries[0].cause == "stalled"


def test_s05_cut_stream_when_it_lasts_then_error_and_the_waste_is_counted() -> None:
    with serve(fault="S05", times=0) as endpoint:
        caller = Caller(endpoint)
        with pytest.raises(ModelError) as caught:
            caller.ask()
    assert caught.value.model_kind == "protocol"
    assert len(endpoint.requests) == MAX_TRIES
    assert caught.value.cost_usd > 0
    assert all(retry.cost_usd > 0 for retry in caller.retries)


def test_s01_cut_stream_when_retried_then_the_reply_costs_both() -> None:
    with serve() as endpoint:
        alone = Caller(endpoint).ask()
    with serve(fault="S01") as endpoint:
        twice = Caller(endpoint).ask()
    assert twice.cost_usd > alone.cost_usd
    assert twice.cost_source == "estimated"
