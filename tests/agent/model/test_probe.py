"""The probe finds the known ways of serving a model wrongly, each on a scripted server that does so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from ostro.agent.history import UserMessage
from ostro.agent.model.probe import ProbeReport, looks_wrong, probe
from ostro.agent.model.structured import Structured, ask, read, strict_schema
from tests.endpoint import ScriptedEndpoint, serve
from tests.endpoint.client import Caller

PROSE = (
    "A binary search finds the place of a value in a sorted list. It looks at the middle of the list first. If the "
    "value is smaller, it goes on in the left half, and if it is larger, in the right half, until it is found."
)
ADD = {"name": "add", "arguments": {"a": 17, "b": 25}}


def probed(*replies: Mapping[str, Any], fault: str = "", **options: Any) -> ProbeReport:
    """Probe a server that plays these replies in the order of the requests, whatever is asked."""
    with serve([{}], fault, times=0, **options) as endpoint:
        given: Sequence[Mapping[str, Any]] = replies or ({"calls": [ADD]}, {"calls": [ADD, ADD]}, {"content": PROSE})
        endpoint.by_request = list(given)
        with Caller(endpoint).client as client:
            return probe(client)


def level(report: ProbeReport, name: str) -> str:
    return next(check.level for check in report.checks if check.name == name)


def test_probe_when_all_is_well_then_ok() -> None:
    report = probed(model="scripted")
    assert report.ok
    assert [check.name for check in report.checks] == ["listed", "tool_call", "count", "parallel_calls", "text"]
    assert report.cost_usd > 0
    assert len(report.lines()) >= 5


def test_probe_when_calls_stay_in_the_text_then_warned() -> None:
    report = probed({"content": '[TOOL_CALLS]add[ARGS]{"a": 17, "b": 25}'}, {"calls": [ADD]}, {"content": PROSE})
    assert level(report, "tool_call") == "warn"
    assert level(report, "parallel_calls") == "warn"
    assert report.ok


def test_probe_when_no_call_comes_then_the_parser_is_blamed() -> None:
    assert probed({"content": "42"}, {"content": "3 and 7"}, {"content": PROSE}).verdict == "parser"


def test_probe_when_the_text_is_gibberish_then_refused() -> None:
    report = probed({"calls": [ADD]}, {"calls": [ADD, ADD]}, {"content": "zq xj wv kk " * 50})
    assert report.verdict == "gibberish"


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [("A06", "auth"), ("credit_402", "credit"), ("gone_404", "gone"), ("jinja_500", "template"), ("A04", "error")],
)
def test_probe_when_the_endpoint_refuses_then_why_is_the_verdict(fault: str, verdict: str) -> None:
    report = probed(fault=fault)
    assert report.verdict == verdict
    assert report.checks[-1].mend


def test_probe_when_the_model_is_gone_then_alternatives_are_named() -> None:
    report = probed(fault="gone_404")
    assert "this model is gone here" in report.checks[-1].text
    assert "Alternative" in report.checks[-1].mend


def test_probe_when_the_context_is_smaller_than_thought_then_warned() -> None:
    report = probed(context_window=4096, model="scripted")
    assert level(report, "listed") == "warn"
    assert "4096" in report.checks[0].text


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (PROSE, ""),
        ("", "almost no words"),
        ("loop " * 60, "one word again and again"),
        ("qx zv jk wm " * 20, "gibberish"),
    ],
)
def test_looks_wrong_when_given_a_text_then_says_why(text: str, wrong: str) -> None:
    assert looks_wrong(text) == wrong


class Title(BaseModel):
    """Title and body of a pull request."""

    title: str
    body: str = ""


QUESTION = (UserMessage(text="Write the title."),)


def asked(endpoint: ScriptedEndpoint) -> Structured[Title]:
    with Caller(endpoint).client as client:
        return ask(client, QUESTION, Title)


def test_ask_when_the_model_follows_the_schema_then_validated() -> None:
    with serve([{"content": '{"title": "Mend hello", "body": "It was wrong."}'}]) as endpoint:
        answer = asked(endpoint)
    assert answer.value == Title(title="Mend hello", body="It was wrong.")
    sent = endpoint.requests[0].body
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert "JSON" in str(sent["messages"][-1]["content"])


def test_ask_when_the_endpoint_refuses_the_schema_then_asked_in_words() -> None:
    with serve([{"content": 'Here:\n```json\n{"title": "Mend hello"}\n```'}], "no_response_format") as endpoint:
        answer = asked(endpoint)
    assert answer.plain
    assert answer.value == Title(title="Mend hello")
    assert "response_format" not in endpoint.requests[1].body


def test_ask_when_the_answer_does_not_fit_then_none() -> None:
    with serve([{"content": "I would rather not."}]) as endpoint:
        answer = asked(endpoint)
    assert answer.value is None
    assert len(answer.replies) == 1


def test_strict_schema_when_built_then_every_field_is_required_and_no_other_allowed() -> None:
    assert strict_schema(Title) == {
        "description": "Title and body of a pull request.",
        "type": "object",
        "properties": {"title": {"type": "string"}, "body": {"type": "string"}},
        "required": ["title", "body"],
        "additionalProperties": False,
    }
    assert read('so: {"title": "a"} there', Title) == Title(title="a")
