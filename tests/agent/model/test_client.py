"""The client against a real HTTP server that misbehaves beyond the rows of the fault matrix."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from typing import Any

import pytest

from ostro.agent.errors import Interrupted, ModelError
from ostro.agent.history import AssistantMessage, Message, ToolCall, ToolMessage, UserMessage, call_id
from ostro.agent.model.catalogue import resolve
from ostro.agent.model.client import ListedModel, ModelClient
from ostro.agent.model.cost import cost_of, read_usage
from ostro.agent.model.gate import EventClock, Gate
from ostro.agent.model.profile import Price
from ostro.agent.model.reply import Usage
from tests.endpoint import LS, serve
from tests.endpoint.client import KEY, TASK, Caller, FakeClock

WHOLE = '{"command": "ls -la"}'
TWO: dict[str, Any] = {"calls": [{"name": "bash", "arguments": {"command": c}} for c in ("ls", "pwd")]}
STREAMS = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@pytest.mark.parametrize("fault", ["plain_json", "index_none", "byte_by_byte", "gateway", "stays_open"])
def test_complete_when_the_stream_is_odd_but_whole_then_read(fault: str) -> None:
    with serve(fault=fault, times=0) as endpoint:
        reply = Caller(endpoint).ask()
    assert reply.tries == 1
    assert (reply.text, reply.finish_reason) == ("Let me look.", "tool_calls")
    assert [(call.name, call.arguments) for call in reply.calls] == [("bash", WHOLE)]


@pytest.mark.parametrize("fault", ["", "index_none", "index_zero"])
def test_complete_when_two_calls_share_or_lack_an_index_then_two_calls(fault: str) -> None:
    with serve([TWO], fault, times=0) as endpoint:
        reply = Caller(endpoint).ask()
    assert [json.loads(str(call.arguments))["command"] for call in reply.calls] == ["ls", "pwd"]


@STREAMS
def test_complete_when_the_gateway_answers_then_its_cost_and_routing_are_kept(stream: bool) -> None:
    with serve(fault="gateway", times=0) as endpoint:
        reply = Caller(endpoint, stream=stream).ask()
    assert (reply.cost_usd, reply.cost_source) == (0.002187, "reported")
    assert reply.generation_id == "gen_01SCRIPTED"
    assert reply.served_by == "mistral/devstral-small-2512"
    assert not reply.fallback
    assert reply.usage.cached_tokens == 5


@STREAMS
def test_complete_when_arguments_are_an_object_then_kept_as_one(stream: bool) -> None:
    with serve(fault="object_arguments") as endpoint:
        reply = Caller(endpoint, stream=stream).ask()
    assert reply.calls[0].arguments == {"command": "ls -la"}


@pytest.mark.parametrize("fault", ["junk_name", "bad_json", "double_encoded", "A20", "A21", "A22", "A29", "A33", "A35"])
def test_complete_when_the_call_is_bad_then_it_is_left_to_the_intake(fault: str) -> None:
    with serve(fault=fault) as endpoint:
        assert Caller(endpoint).ask().tries == 1


def test_complete_when_usage_comes_apart_or_with_choices_then_the_same() -> None:
    found: list[Usage] = []
    for apart in (True, False):
        with serve(usage_apart=apart) as endpoint:
            found.append(Caller(endpoint).ask().usage)
    assert found[0] == found[1]
    assert found[0].exact


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("jinja_500", "template"),
        ("order_400", "invalid"),
        ("credit_402", "credit"),
        ("credit_429", "credit"),
        ("gone_404", "gone"),
        ("long_retry_after", "rate"),
    ],
)
def test_complete_when_a_retry_cannot_help_then_one_request(fault: str, kind: str) -> None:
    with serve(fault=fault, times=0) as endpoint, pytest.raises(ModelError) as caught:
        Caller(endpoint).ask()
    assert caught.value.model_kind == kind
    assert len(endpoint.requests) == 1


def test_complete_when_the_html_502_ends_then_answered() -> None:
    with serve(fault="html_502", times=2) as endpoint:
        assert Caller(endpoint).ask().tries == 3


def test_complete_when_the_answer_never_ends_then_cut_off_and_asked_again() -> None:
    with serve(fault="flood") as endpoint:
        caller = Caller(endpoint)
        assert caller.ask().tries == 2
    assert caller.retries[0].cause == "too_large"


def test_complete_when_finish_reason_is_error_then_retried() -> None:
    with serve(fault="finish_error") as endpoint:
        caller = Caller(endpoint)
        assert caller.ask().tries == 2
    assert caller.retries[0].cause == "finish_error"


def test_complete_when_text_arrives_then_it_is_shown() -> None:
    shown: list[str] = []
    with serve(piece_chars=4) as endpoint:
        Caller(endpoint).ask(on_text=shown.append)
    assert "".join(shown) == "Let me look."
    assert len(shown) == 3


def test_complete_when_there_is_no_key_then_no_authorization_header(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "another-hosts-secret")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: another-hosts-secret\nAuthorization: Bearer nope")
    with serve(times=0) as endpoint:
        Caller(endpoint, key=None).ask()
        Caller(endpoint).ask()
    without, with_key = (request.headers for request in endpoint.requests)
    assert "authorization" not in without
    assert with_key["authorization"] == f"Bearer {KEY}"
    assert "another-hosts-secret" not in f"{without}{with_key}"
    assert set(with_key) <= {
        *("host", "accept", "accept-encoding", "connection", "content-type", "content-length"),
        *("user-agent", "authorization"),
    }


def test_complete_when_a_proxy_is_set_then_this_machine_is_reached_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serve() as endpoint:
        assert Caller(endpoint).ask().tries == 1


def turns(count: int) -> list[Message]:
    history: list[Message] = [*TASK]
    for turn in range(count):
        made = ToolCall(id=call_id(turn, 0), name="bash", arguments={"command": "ls"})
        history += [AssistantMessage(calls=(made,)), ToolMessage(call_id=made.id, name="bash", text="x" * 2000)]
    return history


@STREAMS
def test_complete_when_called_thirty_times_then_one_connection(stream: bool) -> None:
    with serve() as endpoint:
        caller = Caller(endpoint, stream=stream)
        for turn in range(30):
            with_history = turns(turn)
            caller.client.complete(with_history, max_tokens=64, temperature=0.0)
        caller.client.close()
    assert endpoint.connections == 1
    assert [request.turn for request in endpoint.requests] == list(range(30))


def test_complete_when_the_history_grows_then_each_prompt_begins_with_the_one_before() -> None:
    with serve() as endpoint:
        caller = Caller(endpoint)
        history = turns(5)
        for end in range(2, len(history) + 1, 2):
            caller.client.complete(history[:end], max_tokens=64, temperature=0.0)
        caller.client.close()
    sent = [request.body["messages"] for request in endpoint.requests]
    for before, after in itertools.pairwise(sent):
        assert after[: len(before)] == before


def test_complete_when_nobody_listens_then_few_tries_and_a_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    target = resolve("x", f"http://127.0.0.1:{port}/v1", (0, 0))
    with (
        ModelClient(target, None, clock=FakeClock()) as client,
        pytest.raises(ModelError, match=f"no connection to 127.0.0.1:{port}") as caught,
    ):
        client.complete(TASK, max_tokens=8, temperature=0.0)
    assert caught.value.model_kind == "unreachable"
    assert "3 tries" in str(caught.value)


def test_complete_when_the_server_speaks_no_tls_then_one_try_and_a_mend() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connected, _ = listener.accept()
            with connected:
                connected.recv(100)
                connected.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        with (
            ModelClient(resolve("x", url, (0, 0)), None, clock=FakeClock()) as client,
            pytest.raises(ModelError, match="no trusted connection") as caught,
        ):
            client.complete(TASK, max_tokens=8, temperature=0.0)
    assert caught.value.model_kind == "unreachable"
    assert "SSL_CERT_FILE" in caught.value.mend


def test_complete_when_interrupted_while_the_model_answers_then_at_once() -> None:
    stop = threading.Event()
    with (
        serve(fault="A08", times=0) as endpoint,
        ModelClient(resolve("x", endpoint.url, (0, 0)), None, clock=EventClock(stop)) as client,
    ):
        threading.Timer(0.3, stop.set).start()
        begun = time.monotonic()
        with pytest.raises(Interrupted):
            client.complete(TASK, max_tokens=8, temperature=0.0)
    assert time.monotonic() - begun < 5.0


def test_complete_when_rate_limited_then_the_other_worker_waits_too() -> None:
    gate, clock = Gate(4), FakeClock()
    with serve(fault="A01") as endpoint:
        Caller(endpoint, gate=gate, clock=clock).ask()
        assert gate.limit == 2
        gate.throttled(clock.now(), clock.now() + 7.0)
        Caller(endpoint, gate=gate, clock=clock).ask()
    assert 7.0 in clock.waits


def test_list_models_when_asked_then_ids_and_contexts() -> None:
    with serve() as endpoint, Caller(endpoint).client as client:
        assert client.list_models() == [ListedModel("scripted", 262_144)]


def test_warm_when_called_then_the_first_request_finds_the_client_ready() -> None:
    with serve() as endpoint:
        caller = Caller(endpoint)
        caller.client.warm()
        assert caller.ask().tries == 1


def test_complete_when_the_prompt_is_counted_then_the_servers_figure_is_learnt() -> None:
    with serve([{**LS, "usage": {"prompt_tokens": 1000, "completion_tokens": 10}}]) as endpoint:
        caller = Caller(endpoint)
        caller.ask()
    longer = [*TASK, AssistantMessage(text="ok"), UserMessage(text="go on")]
    assert caller.client.counter.count_prompt(TASK) == 1000
    assert 1000 < caller.client.counter.count_prompt(longer) < 1050


@pytest.mark.parametrize(
    ("reported", "exact", "expected"),
    [
        (0.5, True, (0.5, "reported")),
        (None, True, (pytest.approx((900 * 1.0 + 100 * 0.1 + 50 * 2.0) / 1e6), "flag")),
        (None, False, (pytest.approx((900 * 1.0 + 100 * 0.1 + 50 * 2.0) / 1e6), "estimated")),
    ],
)
def test_cost_when_figured_then_the_endpoints_own_comes_first(
    reported: float | None, exact: bool, expected: tuple[float, str]
) -> None:
    usage = Usage(input_tokens=1000, cached_tokens=100, output_tokens=50, exact=exact)
    assert cost_of(usage, Price(input=1, output=2, cached=0.1, source="flag"), reported) == expected


@pytest.mark.parametrize("raw", [None, {}, {"prompt_tokens": 0}, {"prompt_tokens": "many"}, {"prompt_tokens": -5}])
def test_usage_when_it_cannot_be_true_then_none(raw: dict[str, Any] | None) -> None:
    assert read_usage(raw) is None


def test_endpoint_when_asked_for_a_fault_that_nobody_knows_then_refused() -> None:
    with pytest.raises(ValueError, match="unknown fault 'A99'"):
        serve(fault="A99")
