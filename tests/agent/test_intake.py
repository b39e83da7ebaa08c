"""From raw calls to bound calls: repaired or refused one by one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from ostro.agent.intake import MAX_ARGUMENT_CHARS, MAX_CALLS, UNKNOWN_NAME, Intake, take_in
from ostro.agent.model.reply import RawCall, Reply, Usage
from ostro.tools.registry import Toolset

TOOLSET = Toolset.default(vision=False)


def take(*calls: RawCall, text: str = "", finish_reason: str = "tool_calls") -> Intake:
    usage = Usage(output_tokens=4096)
    return take_in(Reply(text=text, calls=calls, finish_reason=finish_reason, usage=usage), 3, TOOLSET)


def bash(arguments: str | dict[str, JsonValue], name: str = "bash") -> RawCall:
    return RawCall(name=name, arguments=arguments, id="call_1")


def test_take_in_when_the_call_is_right_then_bound_without_repair() -> None:
    intake = take(bash('{"command": "ls"}'))
    (bound,) = intake.calls
    assert bound.tool is TOOLSET.get("bash")
    assert bound.call.arguments == {"command": "ls"}
    assert intake.repairs == ()


@pytest.mark.parametrize(
    "name", ["bash[ARGS]", "bash\n", "bash [CALL_ID]x9", "functions.bash", "Bash", "`bash`", "bas"]
)
def test_take_in_when_the_name_carries_junk_then_matched_and_counted(name: str) -> None:
    intake = take(bash('{"command": "ls"}', name))
    assert intake.calls[0].call.name == "bash"
    assert intake.repairs == ("tool_name",)


def test_take_in_when_the_tool_is_unknown_then_refused_with_the_names() -> None:
    intake = take(bash('{"command": "ls"}', "run_terminal"))
    assert intake.calls[0].tool is None
    assert intake.calls[0].call.name == UNKNOWN_NAME
    assert all(name in intake.calls[0].refusal for name in TOOLSET.names)
    assert intake.repairs == ("refused_unknown_tool",)


def test_take_in_when_one_call_of_three_is_broken_then_the_others_run() -> None:
    intake = take(bash('{"command": "a"}'), bash('{"command": a}'), bash('{"command": "c"}'))
    assert [bound.tool is not None for bound in intake.calls] == [True, False, True]
    assert "at character" in intake.calls[1].refusal


def test_take_in_when_ids_are_missing_long_or_equal_then_ours_are_unique_and_nine_characters() -> None:
    ids = [None, "x" * 33, "x" * 33, ""]
    intake = take(*[RawCall(name="bash", arguments='{"command": "ls"}', id=identity) for identity in ids])
    found = [bound.call.id for bound in intake.calls]
    assert len(set(found)) == len(ids)
    assert all(len(identity) == 9 and identity.isalnum() for identity in found)
    assert "duplicate_id" in intake.repairs


def test_take_in_when_arguments_are_a_list_then_schema_shown() -> None:
    refusal = take(bash('["ls"]')).calls[0].refusal
    assert "must be a JSON object, not a list" in refusal
    assert "bash(command: string" in refusal


def test_take_in_when_an_argument_is_misnamed_then_renamed_and_counted() -> None:
    intake = take(bash('{"cmd": "ls"}'))
    assert intake.calls[0].call.arguments == {"command": "ls"}
    assert intake.repairs == ("argument_name",)


def test_take_in_when_an_argument_is_of_another_kind_then_field_named() -> None:
    refusal = take(bash('{"command": {"a": 1}}')).calls[0].refusal
    assert refusal.count("command") >= 2


def test_take_in_when_a_number_comes_as_text_then_coerced_and_counted() -> None:
    intake = take(bash('{"command": "ls", "timeout": "30"}'))
    assert intake.calls[0].call.arguments == {"command": "ls", "timeout": 30.0}
    assert "coerced" in intake.repairs


def test_take_in_when_the_reply_was_cut_then_the_fragment_is_not_run() -> None:
    intake = take(bash('{"command": "rm -rf build'), finish_reason="length")
    assert intake.calls[0].tool is None
    assert "cut off" in intake.calls[0].refusal


def test_take_in_when_arguments_are_huge_then_refused_with_the_limit() -> None:
    intake = take(bash(json.dumps({"command": "x" * 400_000})))
    assert str(MAX_ARGUMENT_CHARS) in intake.calls[0].refusal


def test_take_in_when_sixty_calls_come_then_the_rest_is_answered_as_not_run() -> None:
    intake = take(*[bash('{"command": "ls"}') for _ in range(60)])
    assert sum(bound.tool is not None for bound in intake.calls) == MAX_CALLS
    assert all("Not run" in bound.refusal for bound in intake.calls[MAX_CALLS:])


def test_take_in_when_text_holds_surrogates_and_nul_then_storable() -> None:
    intake = take(bash('{"command": "echo \\ud800"}'), text="a\ud800b\0c")
    intake.text.encode()
    json.dumps(intake.calls[0].call.arguments, ensure_ascii=False).encode()


def test_take_in_when_the_call_came_as_text_then_bound_and_text_kept_apart() -> None:
    intake = take(text='I look first.\n```json\n{"name": "bash", "arguments": {"command": "ls"}}\n```')
    assert intake.text == "I look first."
    assert intake.calls[0].call.arguments == {"command": "ls"}
    assert intake.repairs == ("text_json", "object_arguments")
    assert intake.received.startswith("I look first.\n```json")
    assert take(bash('{"command": "ls"}'), text="I look first.").received == ""


@given(st.text(), st.text())
def test_take_in_when_given_anything_then_every_call_is_bound_or_refused(name: str, arguments: str) -> None:
    intake = take(RawCall(name=name, arguments=arguments))
    assert len(intake.calls) == 1
    assert (intake.calls[0].tool is None) == bool(intake.calls[0].refusal)


def test_take_in_when_a_whole_session_is_imagined_as_text_then_only_the_first_call_is_real() -> None:
    blocks = [f'```json\n{{"name": "bash", "arguments": {{"command": "{n}"}}}}\n```' for n in "abc"]
    intake = take(text="\n".join(blocks))
    assert [bound.call.arguments for bound in intake.calls] == [{"command": "a"}]
    assert intake.repairs.count("text_extra") == 2


def test_take_in_when_the_json_of_an_edit_cannot_be_read_then_the_way_without_json_is_shown() -> None:
    call = RawCall(name="str_replace_editor", arguments='{"command": "create", "file_text": a "quoted" word}')
    assert "in one ``` block" in take(call).calls[0].refusal
    assert "```" not in take(bash('{"command": ls}')).calls[0].refusal
