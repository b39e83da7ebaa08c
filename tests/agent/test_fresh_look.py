"""A model that makes no calls any more is asked once, in a short conversation, for a file as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ostro.agent.record.events import Nudged
from ostro.agent.record.reconstruct import reconstruct
from ostro.agent.record.replay import ReplayRequest, replay
from ostro.agent.recovery import with_path
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from tests.driving import CHECK, FILES, FIX, SUBMIT, TASK, Driven, bash, drive_at, make_repository
from tests.faults.surviving import edit

SAID: Mapping[str, Any] = {"content": "I think about it."}
VIEW = edit(command="view", path="price.py")
FIXED = FILES["price.py"].replace(" + 1", "")
ANSWER: Mapping[str, Any] = {"content": f"```python\n{FIXED}```"}


def driven(folder: Path, turns: list[Mapping[str, Any]], files: Mapping[str, str] = FILES) -> Driven:
    """Play the turns one a request: the history that a request shows begins anew in the middle."""
    repository = make_repository(folder / "repository", files)
    with ScriptedEndpoint(turns) as endpoint:
        endpoint.by_request = turns
        return drive_at(folder, repository, endpoint)


def asked(run: Driven) -> list[str]:
    return [event.asks_for for event in run.of("nudged")]


def test_run_when_the_model_falls_silent_then_the_file_that_it_answers_with_is_written(tmp_path: Path) -> None:
    run = driven(tmp_path, [bash("echo noise"), VIEW, SAID, SAID, ANSWER, bash(CHECK), SUBMIT, SUBMIT])

    assert run.report.outcome == "submitted"
    assert run.report.tests.verified
    assert run.report.repairs["text_file"] == 1
    assert asked(run) == ["", "price.py"]
    sent = run.requests[4].body
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "user"]
    assert TASK.text in sent["messages"][1]["content"]
    assert FILES["price.py"] in sent["messages"][3]["content"]
    assert "echo noise" not in str(sent["messages"])
    assert sent["tool_choice"] == "auto"
    assert replay(ReplayRequest(Path(run.report.run) / "trajectory.jsonl", tmp_path / "home")).drifts == ()


def test_run_when_an_edit_was_taken_back_then_the_file_is_asked_for(tmp_path: Path) -> None:
    run = driven(tmp_path, [VIEW, FIX, edit(command="undo_edit", path="price.py"), SAID, SAID, ANSWER, SUBMIT, SUBMIT])
    assert asked(run) == ["", "price.py"]
    assert run.report.tests.verified


def test_run_when_the_process_ended_after_the_question_then_the_log_knows_what_was_asked_for(tmp_path: Path) -> None:
    run = driven(tmp_path, [VIEW, SAID, SAID, ANSWER, SUBMIT, SUBMIT])
    question = next(index for index, event in enumerate(run.events) if isinstance(event, Nudged) and event.asks_for)
    state = reconstruct(run.events[: question + 1])
    assert (state.asked, state.silent, len(state.history)) == ("price.py", 2, 4)
    assert reconstruct(run.events).asked == ""


@pytest.mark.parametrize(
    ("turns", "files"),
    [
        pytest.param([bash("ls")], FILES, id="nothing was looked at"),
        pytest.param([VIEW, FIX], FILES, id="the model has edited it"),
        pytest.param([VIEW], {**FILES, "price.py": "x = 1\n" * 2000}, id="it is long"),
        pytest.param([VIEW], {**FILES, "price.py": '"""\n```\nx\n```\n"""\n'}, id="it holds a fence"),
    ],
)
def test_run_when_there_is_no_file_to_ask_for_then_the_ordinary_reminder(
    tmp_path: Path, turns: list[Mapping[str, Any]], files: Mapping[str, str]
) -> None:
    run = driven(tmp_path, [*turns, SAID, SAID, SAID], files)
    assert asked(run) == ["", ""]
    assert "last reminder" in run.of("nudged")[-1].text


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("```\nx = 1\n```", "a/b.py\n```\nx = 1\n```"),
        ("Here it is:\n```python\nx = 1\n```", "Here it is:\na/b.py\n```python\nx = 1\n```"),
        ("a/b.py\n```\nx = 1\n```", "a/b.py\n```\nx = 1\n```"),
        ("```\na/b.py\nx = 1\n```", "```\na/b.py\nx = 1\n```"),
        ("```bash\nls\n```", "```bash\nls\n```"),
        ("```\nx\n```\n```\ny\n```", "```\nx\n```\n```\ny\n```"),
        ("It is right.", "It is right."),
    ],
)
def test_with_path_when_the_answer_is_one_block_without_it_then_it_is_put_above(answer: str, named: str) -> None:
    assert with_path(answer, "a/b.py") == named
    assert with_path(named, "a/b.py") == named
