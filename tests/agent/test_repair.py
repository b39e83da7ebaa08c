"""Reading a call's arguments: each rule, and what no rule may invent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.agent.repair import RepairError, parse_arguments

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), json_values, min_size=1))
def test_parse_arguments_when_valid_json_then_unchanged_and_no_rule(arguments: dict[str, Any]) -> None:
    assert parse_arguments(json.dumps(arguments)) == (arguments, [])


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        ('{"command": "a\nb"}', "raw_newlines"),
        ('```json\n{"command": "a\\nb"}\n```', "code_fence"),
        ('{"command": "a\\nb",}', "trailing_comma"),
        ('{"command": "a\\nb"} I will now wait.', "trailing_text"),
        ('{"command": "a\\nb"', "missing_brace"),
        ("{'command': 'a\\nb'}", "python_literal"),
        (json.dumps(json.dumps({"command": "a\nb"})), "double_encoding"),
    ],
)
def test_parse_arguments_when_broken_in_a_known_way_then_mended_by_that_rule(raw: str, rule: str) -> None:
    assert parse_arguments(raw) == ({"command": "a\nb"}, [rule])


def test_parse_arguments_when_an_object_arrives_then_taken_and_recorded() -> None:
    assert parse_arguments({"command": "ls"}) == ({"command": "ls"}, ["object_arguments"])


@pytest.mark.parametrize(
    "raw", ['{"path": "a", "file_text": "half of a fi', '{"command": ls}', "rm -rf build", "[1, 2]", "7"]
)
def test_parse_arguments_when_it_would_have_to_guess_then_refused(raw: str) -> None:
    with pytest.raises(RepairError):
        parse_arguments(raw)


def test_parse_arguments_when_the_reply_was_cut_off_then_nothing_is_mended() -> None:
    with pytest.raises(RepairError):
        parse_arguments('{"command": "ls"', mend=False)


def test_parse_arguments_when_refused_then_the_position_is_named() -> None:
    with pytest.raises(RepairError, match="at character 12"):
        parse_arguments('{"command": ls}')
