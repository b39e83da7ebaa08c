"""Every rendered history is accepted by the strictest readers, and a turn's rendering begins the next one's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct import request as mistral_request
from mistral_common.protocol.instruct import validator as mistral_validator
from mistral_common.tokens.tokenizers.base import TokenizerVersion
from pydantic import JsonValue

from ostro.agent.history import (
    AssistantMessage,
    History,
    Image,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
    call_id,
)
from ostro.agent.model.body import BodyEncoder, MessageEncoder, Sampling
from ostro.agent.model.catalogue import resolve
from ostro.agent.model.profile import EndpointProfile
from ostro.agent.model.wire import BRIDGE, IMAGE_BRIDGE, NOT_RUN, render
from ostro.benchmarks.scripted_endpoint import BRIDGES

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = Image(media_type="image/png", data_base64=PIXEL, width=1, height=1)
NULL = EndpointProfile(name="null", label="null", base_url="http://x/v1", call_content="null")
EMPTY = EndpointProfile(name="empty", label="empty", base_url="http://x/v1", call_content="empty")

texts = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(["", " ", "\n", "[TOOL_CALLS]x[ARGS]{}"])
names = st.sampled_from(["bash", "search", "str_replace_editor"])
values = cast("st.SearchStrategy[JsonValue]", texts | st.integers() | st.none())
arguments = st.dictionaries(st.sampled_from(["command", "path"]), values, max_size=2)
images = st.lists(st.just(IMAGE), max_size=2).map(tuple)
ids = st.integers(0, 5).map(lambda n: call_id(0, n))
calls = st.lists(st.builds(ToolCall, id=ids, name=names, arguments=arguments), max_size=3).map(tuple)
any_message = (
    st.builds(SystemMessage, text=texts)
    | st.builds(UserMessage, text=texts, images=images)
    | st.builds(AssistantMessage, text=texts, calls=calls)
    | st.builds(ToolMessage, call_id=ids, name=names, text=texts, images=images, masked=st.just("") | texts)
)
any_history = st.lists(any_message, max_size=12)
profiles = st.sampled_from([NULL, EMPTY])


@st.composite
def proper_turns(draw: st.DrawFn) -> list[list[Message]]:
    """What a run really holds: each item is what is added between two requests."""
    steps: list[list[Message]] = [[SystemMessage(text="s"), UserMessage(text="task", images=draw(images))]]
    for turn in range(draw(st.integers(0, 6))):
        count = draw(st.integers(0, 3))
        made = tuple(ToolCall(id=call_id(turn, i), name="bash", arguments=draw(arguments)) for i in range(count))
        text = draw(texts)
        step: list[Message] = []
        if made or text.strip():
            step.append(AssistantMessage(text=text, calls=made))
        step += [ToolMessage(call_id=call.id, name=call.name, text=draw(texts), images=draw(images)) for call in made]
        if not made or draw(st.booleans()):
            step.append(UserMessage(text=draw(texts)))
        steps.append(step)
    return steps


def assert_accepted(rendered: Sequence[dict[str, Any]], version: TokenizerVersion) -> None:
    requests: Any = mistral_request
    validators: Any = mistral_validator
    request = requests.ChatCompletionRequest.from_openai(messages=json.loads(json.dumps(rendered)), model="m")
    validators.get_validator(version, validators.ValidationMode.serving).validate_request(request)


def assert_old_order(rendered: Sequence[dict[str, Any]]) -> None:
    """The rule of validators before April 2026: a user message never follows a tool message."""
    roles = [message["role"] for message in rendered]
    assert ("tool", "user") not in list(itertools.pairwise(roles))


def assert_alternates(rendered: Sequence[dict[str, Any]]) -> None:
    """The rule of the GGUF chat templates of the Devstral family."""
    spoken = [m for m in rendered if m["role"] == "user" or (m["role"] == "assistant" and not m.get("tool_calls"))]
    assert [m["role"] == "user" for m in spoken] == [index % 2 == 0 for index in range(len(spoken))]


def assert_plain(rendered: Sequence[dict[str, Any]]) -> None:
    """No unknown fields, no empty assistant, tool results plain strings, one system message at most, first."""
    known = {
        "system": {"role", "content"},
        "user": {"role", "content"},
        "assistant": {"role", "content", "tool_calls"},
        "tool": {"role", "tool_call_id", "content"},
    }
    for index, message in enumerate(rendered):
        assert set(message) <= known[message["role"]]
        assert message["role"] != "system" or index == 0
        if message["role"] in ("tool", "system"):
            assert isinstance(message["content"], str)
            assert message["content"].strip()
        if message["role"] == "assistant":
            assert message.get("tool_calls") or message["content"].strip()


@settings(max_examples=300, deadline=None)
@given(any_history, profiles)
def test_render_when_given_any_history_then_every_reader_accepts_it(
    messages: list[Message], profile: EndpointProfile
) -> None:
    rendered = render(messages, profile)
    assert_plain(rendered)
    assert_old_order(rendered)
    assert_alternates(rendered)
    for version in (TokenizerVersion.v11, TokenizerVersion.v13):
        assert_accepted(rendered, version)


@settings(max_examples=200, deadline=None)
@given(proper_turns(), profiles, st.booleans())
def test_render_when_a_turn_is_added_then_what_was_sent_stays_as_it_was(
    steps: list[list[Message]], profile: EndpointProfile, vision: bool
) -> None:
    history = History()
    before: list[dict[str, Any]] = []
    for step in steps:
        for message in step:
            history.append(message)
        rendered = render(history, profile, vision=vision)
        assert rendered[: len(before)] == before
        before = rendered


@settings(max_examples=100, deadline=None)
@given(proper_turns(), profiles)
def test_encoder_when_a_history_grows_then_same_bytes_and_each_message_once(
    steps: list[list[Message]], profile: EndpointProfile
) -> None:
    encoder = MessageEncoder(profile, vision=True)
    history = History()
    for step in steps:
        for message in step:
            history.append(message)
        assert json.loads(encoder.encode(history)) == render(history, profile)
    assert encoder.cache.computed <= len(history)


def test_encoder_when_an_observation_is_masked_then_only_that_one_is_encoded_again() -> None:
    history = History([SystemMessage(text="s"), UserMessage(text="t")])
    for turn in range(5):
        made = ToolCall(id=call_id(turn, 0), name="bash", arguments={"command": "ls"})
        history.append(AssistantMessage(calls=(made,)))
        history.append(ToolMessage(call_id=made.id, name="bash", text="x" * 100))
    encoder = MessageEncoder(NULL, vision=True)
    encoder.encode(history)
    before = encoder.cache.computed
    history.mask(3, "[old output left out]")
    assert b"left out" in encoder.encode(history)
    assert encoder.cache.computed == before + 1


def test_render_when_results_are_out_of_order_missing_or_strange_then_mended() -> None:
    made = tuple(ToolCall(id=call_id(0, i), name="bash", arguments={}) for i in range(3))
    stray = ToolMessage(call_id="zzzzzzzzz", name="search", text="stray")
    history: list[Message] = [
        UserMessage(text="t"),
        AssistantMessage(calls=made),
        ToolMessage(call_id=made[2].id, name="bash", text="third"),
        stray,
        ToolMessage(call_id=made[0].id, name="bash", text="first"),
    ]
    rendered = render(history, NULL)
    assert [m["content"] for m in rendered if m["role"] == "tool"] == ["first", NOT_RUN, "third"]
    assert rendered[-1] == {"role": "user", "content": "Result of search:\nstray"}
    assert rendered[1]["content"] is None
    assert render(history, EMPTY)[1]["content"] == ""


def test_render_when_a_tool_shows_an_image_then_it_follows_the_fixed_bridge() -> None:
    made = ToolCall(id=call_id(0, 0), name="view_image", arguments={"path": "a.png"})
    history: list[Message] = [
        UserMessage(text="t"),
        AssistantMessage(calls=(made,)),
        ToolMessage(call_id=made.id, name="view_image", text="a.png, 1x1", images=(IMAGE,)),
    ]
    roles = [(m["role"], m["content"]) for m in render(history, NULL)][2:]
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    assert roles == [("tool", "a.png, 1x1"), ("assistant", IMAGE_BRIDGE), ("user", [url])]
    blind = render(history, NULL, vision=False)
    assert "image was left out" in str(blind[-1]["content"])


def test_bridges_when_changed_here_then_the_scripted_endpoint_knows_them() -> None:
    assert {BRIDGE, IMAGE_BRIDGE} == BRIDGES


TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "bash", "description": "Run it.", "parameters": {"type": "object"}}}
]


@pytest.mark.parametrize(
    ("endpoint", "present", "absent"),
    [
        ("vercel", {"seed": 7, "tool_choice": "required"}, {"random_seed", "prompt_cache_key"}),
        ("mistral", {"random_seed": 7, "tool_choice": "any", "prompt_cache_key": "c"}, {"seed"}),
        ("ollama", {"seed": 7, "tool_choice": "required"}, {"parallel_tool_calls", "prompt_cache_key"}),
    ],
)
def test_body_when_rendered_for_an_endpoint_then_only_fields_it_knows(
    endpoint: str, present: dict[str, Any], absent: set[str]
) -> None:
    sampling = Sampling(max_tokens=10, temperature=0.15, seed=7, tool_choice="required", cache_key="c")
    data = BodyEncoder(resolve("devstral-small-2", endpoint)).encode([UserMessage(text="t")], TOOLS, sampling)
    body = json.loads(data)
    assert present.items() <= body.items()
    assert not absent & set(body)
    assert body["tools"] == TOOLS


def test_body_when_the_provider_is_pinned_then_no_other_may_answer() -> None:
    sampling = Sampling(max_tokens=10, temperature=0.15, pin_provider=True)
    data = BodyEncoder(resolve("devstral-small-2", "vercel")).encode([UserMessage(text="t")], [], sampling)
    assert json.loads(data)["providerOptions"] == {"gateway": {"only": ["mistral"]}}


BAD: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "t"}, {"role": "assistant", "content": "a"}],
    [{"role": "user", "content": "t"}, {"role": "tool", "tool_call_id": "abcdefghi", "content": "x"}],
    [{"role": "user", "content": "t"}, {"role": "assistant", "content": "a"}, {"role": "system", "content": "s"}],
]


@pytest.mark.parametrize("bad", BAD)
def test_validators_when_given_a_bad_conversation_then_they_refuse_it(bad: list[dict[str, Any]]) -> None:
    with pytest.raises(MistralCommonException):
        assert_accepted(bad, TokenizerVersion.v13)
