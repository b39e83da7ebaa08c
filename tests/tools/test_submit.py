"""Submitting in a real sandbox: the review first, then the end."""

from __future__ import annotations

import pytest

from ostro.sandbox.protocol import MAX_PATCH_BYTES
from ostro.tools.protocol import ToolContext
from tests.tools.conftest import Call


def test_submit_when_first_then_shows_the_diff_and_second_ends(call: Call) -> None:
    call("bash", command="sed -i 's/a - b/a + b/' src/pkg/calc.py; echo x > repro.py; echo y >> tests/test_calc.py")
    review = call("submit", summary="Add instead of subtracting.")
    assert not review.done
    assert "-    return a - b\n+    return a + b" in review.text
    assert "New files: repro.py." in review.text
    assert "You changed tests: tests/test_calc.py." in review.text
    assert "the tests (pytest -q)" in review.text
    end = call("submit", summary="Add instead of subtracting.")
    assert end.done
    assert not end.gave_up
    assert end.data["summary"] == "Add instead of subtracting."


def test_submit_when_nothing_changed_then_asks_once_and_then_ends(call: Call) -> None:
    asked = call("submit", summary="Done.")
    assert "the repository is unchanged" in asked.text
    assert not asked.done
    end = call("submit", summary="Done.")
    assert end.done
    assert not end.gave_up


def test_submit_when_patch_comes_after_the_question_then_is_reviewed_first(call: Call) -> None:
    call("submit", summary="Done.")
    call("bash", command="echo more >> README.md")
    review = call("submit", summary="Done.")
    assert "+more" in review.text
    assert not review.done
    assert call("submit", summary="Done.").done


def test_submit_when_patch_was_taken_back_after_the_review_then_asks(call: Call) -> None:
    call("bash", command="echo more >> README.md")
    call("submit", summary="Done.")
    call("git", command="restore", args=["README.md"])
    assert "the repository is unchanged" in call("submit", summary="Done.").text
    assert call("submit", summary="Done.").done


def test_submit_when_giving_up_then_is_asked_once_and_ends_with_the_reason(call: Call) -> None:
    asked = call("submit", summary="Works as documented.", give_up=True)
    assert "Before you give up" in asked.text
    end = call("submit", summary="Works as documented.", give_up=True)
    assert end.done
    assert end.gave_up
    assert end.data["summary"] == "Works as documented."


def test_submit_when_state_was_saved_and_read_back_then_the_review_counts(call: Call, context: ToolContext) -> None:
    call("bash", command="echo more >> README.md")
    call("submit", summary="Done.")
    context.state = type(context.state).model_validate_json(context.state.model_dump_json())
    assert call("submit", summary="Done.").done


def test_submit_when_diff_is_long_then_review_stays_within_the_limit(call: Call, context: ToolContext) -> None:
    call("bash", command="seq 1 20000 > numbers.txt; head -c 3000 /dev/urandom > random.bin")
    review = call("submit", summary="Done.")
    assert len(review.text) < context.observation_chars + 1500
    assert "call `submit` again" in review.text


def test_x11_submit_when_patch_is_too_large_then_says_what_to_do(call: Call, context: ToolContext) -> None:
    call("bash", command=f"head -c {3 * MAX_PATCH_BYTES} /dev/urandom > large.bin")
    done = call("submit", summary="Done.")
    assert not done.ok
    assert not done.done
    assert "Remove large or generated files" in done.text
    call("bash", command="rm large.bin; echo more >> README.md")
    assert "+more" in call("submit", summary="Done.").text


@pytest.mark.parametrize("command", ["echo secret > ignored/x", "touch -d yesterday README.md"])
def test_submit_when_only_ignored_things_changed_then_there_is_no_patch(call: Call, command: str) -> None:
    call("bash", command=f"mkdir -p ignored; {command}")
    assert "unchanged" in call("submit", summary="Done.").text
