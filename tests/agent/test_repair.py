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
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, min_size=1, max_size=4))
def test_parse_arguments_when_valid_json_then_unchanged_and_no_rule(arguments: dict[str, Any]) -> None:
    assert parse_arguments(json.dumps(arguments)) == (arguments, [])


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        ('{"command": "a\nb"}', "raw_newlines"),
        ('```json\n{"command": "a\\nb"}\n```', "code_fence"),
        ('{"command": "a\\nb",}', "trailing_comma"),
        ('{"command": "a\\nb"} I will now wait.', "trailing_text"),
        ('{"command": "a\\nb"}}', "trailing_text"),
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


EDITOR_KEYS = ("command", "path", "old_str", "new_str", "view_range")


def test_parse_arguments_when_inner_quotes_are_bare_then_cut_at_the_known_keys() -> None:
    raw = """{"command": "str_replace", "path": "a.py",
        "old_str": "def f():\\n    \"""Say \\"hi\\".\"""\\n    return x["k"]", "view_range": [1, 2]}"""

    arguments, rules = parse_arguments(raw, keys=EDITOR_KEYS)

    assert rules == ["inner_quotes"]
    assert arguments == {
        "command": "str_replace",
        "path": "a.py",
        "old_str": 'def f():\n    """Say "hi"."""\n    return x["k"]',
        "view_range": [1, 2],
    }


@pytest.mark.parametrize(
    "raw",
    [
        '{"path": "a.py", "old_str": "f(", "path": "x"", "new_str": "y"}',  # a key twice: two readings
        '{"path": "a.py", "old_str": "x"y", "new_str": "half of',
        '{"path": "a.py", "old_str": x"y"}',
    ],
)
def test_parse_arguments_when_inner_quotes_leave_a_choice_then_refused(raw: str) -> None:
    with pytest.raises(RepairError):
        parse_arguments(raw, keys=EDITOR_KEYS)


@given(st.dictionaries(st.sampled_from(EDITOR_KEYS), st.text(alphabet='ab"\\n{},: ', max_size=30), min_size=1))
def test_parse_arguments_when_quotes_of_one_value_are_bare_then_read_as_meant_or_refused(texts: dict[str, str]) -> None:
    raw = json.dumps(texts).replace('\\"', '"')
    try:
        arguments, _ = parse_arguments(raw, keys=EDITOR_KEYS)
    except RepairError:
        return
    assert arguments == texts or raw == json.dumps(texts)


def test_parse_arguments_when_the_reply_was_cut_off_then_nothing_is_mended() -> None:
    with pytest.raises(RepairError):
        parse_arguments('{"command": "ls"', mend=False)


def test_parse_arguments_when_refused_then_the_position_is_named() -> None:
    with pytest.raises(RepairError, match="at character 12"):
        parse_arguments('{"command": ls}')
