"""The loop detector."""

from __future__ import annotations

from ostro.agent.history import ToolCall
from ostro.agent.repetition import STALE_CALLS, LoopDetector


def call(command: str) -> ToolCall:
    return ToolCall(id="abcdefghi", name="bash", arguments={"command": command})


def test_observe_when_the_same_call_shows_the_same_three_times_then_nudge_and_later_stop() -> None:
    detector = LoopDetector(digest=lambda: "same")
    first = [detector.observe(call("flake8"), "E501", mutated=False) for _ in range(3)]
    second = [detector.observe(call("flake8"), "E501", mutated=False) for _ in range(3)]
    assert first == ["", "", "nudge"]
    assert second == ["", "", "stop"]


def test_observe_when_only_times_and_addresses_differ_then_it_is_the_same_observation() -> None:
    detector = LoopDetector(digest=lambda: "same")
    texts = [f"<object at 0x7f{n}aaaa> 1 passed in 0.{n}1s" for n in range(3)]
    assert [detector.observe(call("pytest"), text, mutated=False) for text in texts][-1] == "nudge"


def test_observe_when_the_workspace_changes_between_then_no_loop() -> None:
    digests = iter("abcdef")
    detector = LoopDetector(digest=lambda: next(digests))
    assert [detector.observe(call("pytest"), "1 failed", mutated=False) for _ in range(4)] == [""] * 4


def test_observe_when_an_edit_lies_between_then_counting_starts_again() -> None:
    detector = LoopDetector(digest=lambda: "same")
    edit = ToolCall(id="abcdefghi", name="str_replace_editor", arguments={"path": "a"})
    verdicts = [
        detector.observe(call("pytest"), "1 failed", mutated=False),
        detector.observe(call("pytest"), "1 failed", mutated=False),
        detector.observe(edit, "edited", mutated=True),
        detector.observe(call("pytest"), "1 failed", mutated=False),
        detector.observe(call("pytest"), "1 failed", mutated=False),
    ]
    assert verdicts == [""] * 5


def test_observe_when_two_calls_alternate_then_nudge() -> None:
    detector = LoopDetector(digest=lambda: "same")
    verdicts = [
        detector.observe(call(command), text, mutated=False)
        for _ in range(3)
        for command, text in (("a", "x"), ("b", "y"))
    ]
    assert verdicts[-1] == "nudge"
    assert detector.pattern == "alternating"


def test_observe_when_ten_different_calls_show_nothing_new_then_nudge() -> None:
    detector = LoopDetector(digest=lambda: "same")
    verdicts = [detector.observe(call(f"grep {n}"), "No match.", mutated=False) for n in range(STALE_CALLS + 1)]
    assert verdicts == [""] * STALE_CALLS + ["nudge"]
    assert detector.pattern == "stale"
