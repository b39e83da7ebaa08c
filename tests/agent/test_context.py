"""Masking of old observations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import JsonValue

from ostro.agent.context import KEPT_OBSERVATIONS, ContextKeeper
from ostro.agent.history import (
    AssistantMessage,
    History,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
    call_id,
)


class CharacterCounter:
    """One token a character: exact, and easy to reason about."""

    def count_prompt(self, messages: Iterable[Message], tools: Sequence[dict[str, JsonValue]] = ()) -> int:
        return sum(len(m.shown) if isinstance(m, ToolMessage) else len(m.text) for m in messages)


def history_of(observations: int, size: int) -> History:
    messages: list[Message] = [SystemMessage(text="s"), UserMessage(text="t")]
    for turn in range(observations):
        call = ToolCall(id=call_id(turn, 0), name="bash", arguments={"command": f"cat file{turn}"})
        messages.append(AssistantMessage(calls=(call,)))
        messages.append(ToolMessage(call_id=call.id, name="bash", text="x" * size))
    return History(messages)


def keeper(window: int, *, masking: bool = True) -> ContextKeeper:
    return ContextKeeper(counter=CharacterCounter(), schemas=[], window=window, reserve=100, masking=masking)


def shown(history: History) -> list[str]:
    return [message.shown for message in history if isinstance(message, ToolMessage)]


def test_mask_old_when_below_the_threshold_then_nothing_changes() -> None:
    history = history_of(10, 500)
    assert keeper(10_000).mask_old(history) is None
    assert all(text.startswith("xxx") for text in shown(history))


def test_mask_old_when_above_then_the_oldest_are_masked_and_the_newest_kept() -> None:
    history = history_of(20, 500)
    context = keeper(10_000)
    done = context.mask_old(history)
    assert done is not None
    assert done.tokens_after < done.tokens_before
    assert all(text.startswith("xxx") for text in shown(history)[-KEPT_OBSERVATIONS:])
    assert "cat file0" in shown(history)[0]
    assert context.mask_old(history) is None


def test_mask_old_when_switched_off_then_left_alone() -> None:
    assert keeper(10_000, masking=False).mask_old(history_of(20, 500)) is None


def test_mask_old_when_masked_then_the_text_is_still_in_the_history() -> None:
    history = history_of(20, 500)
    keeper(10_000).mask_old(history)
    assert all(message.text == "x" * 500 for message in history if isinstance(message, ToolMessage))


def test_mask_old_when_the_output_was_saved_then_the_stand_in_names_the_file() -> None:
    history = history_of(20, 500)
    context = keeper(10_000)
    context.saved[call_id(0, 0)] = "/tmp/ostro/output-1.txt"
    context.mask_old(history)
    assert "/tmp/ostro/output-1.txt" in shown(history)[0]


def test_mask_hard_when_the_endpoint_refused_then_only_the_last_observation_is_left() -> None:
    history = history_of(4, 500)
    assert keeper(1_000_000).mask_hard(history) is not None
    assert [text.startswith("xxx") for text in shown(history)] == [False, False, False, True]
    assert keeper(1_000_000).mask_hard(history) is None
