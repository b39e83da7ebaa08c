"""Rows A30 to A38 of the fault matrix that concern the model client: what came is complete, but odd."""

from __future__ import annotations

import pytest

from ostro.agent.errors import ModelError
from ostro.agent.model.reading import MAX_TEXT_CHARS
from tests.endpoint import serve
from tests.endpoint.client import KEY, Caller

STREAMS = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@STREAMS
def test_a28_argument_of_400_kb_when_met_then_it_arrives_whole_for_the_intake(stream: bool) -> None:
    with serve(fault="A28", piece_chars=4096) as endpoint:
        reply = Caller(endpoint, stream=stream).ask()
    assert len(reply.calls[0].arguments) > 400_000


@STREAMS
def test_a30_text_of_1_mb_when_met_then_its_middle_is_left_out_and_said(stream: bool) -> None:
    with serve(fault="A30", piece_chars=4096) as endpoint:
        reply = Caller(endpoint, stream=stream).ask()
    assert reply.finish_reason == "length"
    assert len(reply.text) < MAX_TEXT_CHARS + 100
    assert "characters left out" in reply.text


@STREAMS
def test_a31_lone_surrogate_and_nul_when_met_then_the_reply_is_valid_utf8(stream: bool) -> None:
    with serve(fault="A31", piece_chars=3) as endpoint:
        reply = Caller(endpoint, stream=stream).ask()
    assert reply.text == "lone � surrogate, NUL \x00 and a pair \U0001f600"
    assert reply.model_dump_json().encode()


@STREAMS
def test_a32_content_filter_when_met_then_named_and_not_retried(stream: bool) -> None:
    with serve(fault="A32", times=0) as endpoint, pytest.raises(ModelError) as caught:
        Caller(endpoint, stream=stream).ask()
    assert caught.value.model_kind == "content_filter"
    assert len(endpoint.requests) == 1


@STREAMS
def test_a34_no_usage_when_met_then_cost_is_estimated_and_never_zero(stream: bool) -> None:
    with serve(fault="A34", times=0) as endpoint:
        reply = Caller(endpoint, stream=stream).ask()
    assert not reply.usage.exact
    assert reply.usage.input_tokens > 5
    assert reply.usage.output_tokens > 5
    assert reply.cost_source == "estimated"
    assert reply.cost_usd > 0


@pytest.mark.parametrize("fault", ["A36", "A37"])
def test_a36_a37_overflow_when_met_then_named_and_the_same_body_not_sent_again(fault: str) -> None:
    with serve(fault=fault, times=0) as endpoint, pytest.raises(ModelError) as caught:
        Caller(endpoint).ask()
    assert caught.value.model_kind == "overflow"
    assert len(endpoint.requests) == 1


def test_a38_redirect_to_another_host_when_met_then_not_followed() -> None:
    with serve(fault="A38", times=0) as endpoint, pytest.raises(ModelError) as caught:
        Caller(endpoint).ask()
    assert "redirects to http://localhost" in str(caught.value)
    assert len(endpoint.requests) == 1
    assert KEY not in str(caught.value)
