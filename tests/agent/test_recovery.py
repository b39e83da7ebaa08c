"""Calls that came as text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.agent.recovery import calls_in_text

NAMES = ("bash", "str_replace_editor", "submit")
ARGUMENTS = {"command": "ls -la"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('Let me look.[TOOL_CALLS]bash[ARGS]{"command": "ls -la"}', "text_mistral"),
        ('[TOOL_CALLS]bash[CALL_ID]abc123def[ARGS]{"command": "ls -la"}', "text_mistral"),
        ('bash[ARGS]{"command": "ls -la"}', "text_mistral"),
        ('<tool_call>\n{"name": "bash", "arguments": {"command": "ls -la"}}\n</tool_call>', "text_chatml"),
        ('I look.\n```json\n{"name": "bash", "arguments": {"command": "ls -la"}}\n```', "text_json"),
        ('```\n{"tool": "bash", "parameters": {"command": "ls -la"}}\n```', "text_json"),
        ('{"name": "bash", "arguments": {"command": "ls -la"}}', "text_json"),
        ('[{"function": {"name": "bash", "arguments": {"command": "ls -la"}}}]', "text_json"),
        ("Run this:\n```bash\n$ ls -la\n```", "text_shell"),
    ],
)
def test_calls_in_text_when_written_in_a_known_grammar_then_found(text: str, rule: str) -> None:
    rest, calls, found_by = calls_in_text(text, NAMES)
    assert found_by == rule
    assert [call.name for call in calls] == ["bash"]
    arguments = calls[0].arguments
    assert (json.loads(arguments) if isinstance(arguments, str) else arguments) == ARGUMENTS
    assert "ls -la" not in rest


def test_calls_in_text_when_another_block_stands_before_then_the_call_is_found_all_the_same() -> None:
    text = (
        'First:\n```bash\nbash\ngrep -n x a.py\n```\n\n```json\n{"name": "submit", "arguments": {"summary": "s"}}\n```'
    )
    _, calls, rule = calls_in_text(text, NAMES)
    assert (rule, [call.name for call in calls]) == ("text_json", ["submit"])


def test_calls_in_text_when_the_last_fence_is_not_closed_then_found() -> None:
    _, calls, rule = calls_in_text('```json\n{"name": "bash", "arguments": {"command": "ls -la"}}', NAMES)
    assert (rule, [call.arguments for call in calls]) == ("text_json", [ARGUMENTS])


def test_calls_in_text_when_a_file_comes_with_the_numbers_of_view_then_they_are_taken_off() -> None:
    _, calls, rule = calls_in_text("a.py\n```python\n     1\tdef f():\n     2\t    return 1\n```", NAMES)
    assert rule == "text_file"
    assert calls[0].arguments == {"command": "create", "path": "a.py", "file_text": "def f():\n    return 1\n"}


def test_calls_in_text_when_arguments_hold_the_marker_itself_then_one_call() -> None:
    arguments = json.dumps({"command": 'grep "[TOOL_CALLS]bash[ARGS]{" parser.py'})
    _, calls, _ = calls_in_text(f"[TOOL_CALLS]bash[ARGS]{arguments}", NAMES)
    assert [call.arguments for call in calls] == [arguments]


def test_calls_in_text_when_two_mistral_calls_then_both_in_order() -> None:
    text = '[TOOL_CALLS]bash[ARGS]{"command": "a"}[TOOL_CALLS]bash[ARGS]{"command": "b"}'
    _, calls, _ = calls_in_text(text, NAMES)
    assert [call.arguments for call in calls] == ['{"command": "a"}', '{"command": "b"}']


@pytest.mark.parametrize(
    "text",
    [
        "The bug is in `bash`; I am done.",
        '```json\n{"name": "config", "value": 3}\n```',
        '```python\nprint("bash")\n```',
        "```bash\nls\n```\nor\n```bash\npwd\n```",
        "",
    ],
)
def test_calls_in_text_when_it_is_only_prose_or_code_then_nothing_is_run(text: str) -> None:
    assert calls_in_text(text, NAMES) == (text, (), "")


@given(st.text())
def test_calls_in_text_when_given_anything_then_never_raises(text: str) -> None:
    rest, calls, rule = calls_in_text(text, NAMES)
    assert bool(calls) == bool(rule)
    assert isinstance(rest, str)


@pytest.mark.parametrize(
    "text",
    [
        "The fix:\n\n`src/price.py`\n```python\ndef total(prices):\n    return sum(prices)\n```\nDone.",
        "The fix:\n\n**File: src/price.py**\n\n```\ndef total(prices):\n    return sum(prices)\n```",
        "The fix:\n```python\n# src/price.py\ndef total(prices):\n    return sum(prices)\n```",
    ],
)
def test_calls_in_text_when_a_whole_file_stands_with_its_path_then_it_is_written(text: str) -> None:
    rest, calls, rule = calls_in_text(text, NAMES)
    assert rule == "text_file"
    assert calls[0].arguments == {
        "command": "create",
        "path": "src/price.py",
        "file_text": "def total(prices):\n    return sum(prices)\n",
    }
    assert rest.startswith("The fix:")
