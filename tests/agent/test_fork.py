"""Fork: a new run from a step of another one, with a real sandbox and a scripted model on both sides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ostro.agent.errors import OstroError, UsageError
from ostro.agent.fork import ForkRequest, changed_settings, fork, read_parent
from ostro.agent.outcome import Ending
from ostro.agent.record.branching import copied, edited, most_copied
from ostro.agent.record.events import Event, RunStarted
from ostro.agent.record.reconstruct import reconstruct
from ostro.agent.record.replay import ReplayRequest, replay
from ostro.agent.record.trajectory import read_events
from ostro.agent.resume import resume
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from tests.corpus import LOG, NAMES, TRAJECTORIES
from tests.driving import CHECK, FIX, SOLVE, SUBMIT, Driven, Turn, bash, drive, git

PARENT = (
    bash("echo one > one.txt; echo 1 >> /tmp/ran"),
    {"content": "Hm."},
    FIX,
    bash("echo two > two.txt"),
    bash("ls"),
)
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Driven:
    """A run that went five steps and was stopped by its limit."""
    run = drive(tmp_path_factory.mktemp("parent"), PARENT, steps=5)
    assert run.report.outcome is Ending.STEP_LIMIT
    return run


def forked(
    parent: Driven, folder: Path, turns: Sequence[Turn], at: int, settings: dict[str, Any] | None = None, **options: Any
) -> Driven:
    """Fork the run; the script is that of the new run, its turns counted from its own first one."""
    with ScriptedEndpoint(turns) as endpoint:
        endpoint.by_request = list(turns)
        chosen = {"endpoint": endpoint.url, "model": "other", "price": "0,0", "steps": 20, **(settings or {})}
        request = ForkRequest(Path(parent.report.run), at, chosen, out=folder / "fork", **options)
        report = fork(request, None, lambda _: None)
    return Driven(report, list(read_events(folder / "fork" / LOG)), list(endpoint.requests), parent.repository)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def shown(run: Driven) -> list[dict[str, Any]]:
    """The messages of the first request that the new run made."""
    messages: list[dict[str, Any]] = run.requests[0].body["messages"]
    return messages


def test_fork_with_another_model_goes_on_from_the_step_and_leaves_the_other_run_as_it_was(
    parent: Driven, tmp_path: Path
) -> None:
    before = contents(Path(parent.report.run))
    run = forked(parent, tmp_path, [bash("ls; cat one.txt two.txt; cat price.py"), bash(CHECK), SUBMIT, SUBMIT], 4)
    assert (run.report.outcome, run.report.exit_code, run.report.tests.verified) == (Ending.SUBMITTED, 0, True)
    assert contents(Path(parent.report.run)) == before
    assert [event.turn for event in run.of("planned")] == list(range(8))
    assert "one\ntwo\ndef total(prices):\n    return sum(prices)\n" in run.of("observed")[3].text
    started, (origin,) = run.of("run_started")[0], run.of("forked")
    assert (started.model, started.config["model"]) == ("other", "other")
    assert started.run_id != parent.of("run_started")[0].run_id == origin.parent
    assert (origin.at, origin.changes["model"], origin.changes["was"]["model"]) == (4, "other", "scripted")
    assert git(parent.repository, "show", f"{run.report.branch}:two.txt") == "two"
    assert run.report.branch != parent.report.branch


def test_fork_counts_only_what_it_did_itself(parent: Driven, tmp_path: Path) -> None:
    turns = [{**turn, "usage": USAGE} for turn in (bash("ls"), SUBMIT, SUBMIT)]
    run = forked(parent, tmp_path, turns, 3, {"price": "1,0"})
    assert (run.report.steps, run.report.tokens.input, run.report.tokens.output) == (3, 3000, 300)
    assert run.report.cost_usd == pytest.approx(0.003)
    assert run.report.repairs == {}


def test_fork_before_the_first_checkpoint_runs_the_copied_calls_again(parent: Driven, tmp_path: Path) -> None:
    (Path(parent.report.run) / "checkpoints").rename(tmp_path / "away")
    try:
        run = forked(parent, tmp_path, [bash("cat one.txt /tmp/ran; cat price.py"), SUBMIT, SUBMIT], 3)
    finally:
        (tmp_path / "away").rename(Path(parent.report.run) / "checkpoints")
    (resumed,) = run.of("resumed")
    assert (resumed.restored, len(resumed.rerun)) == ("", 2)
    assert run.of("observed")[2].text.startswith("one\n1\ndef total(prices):\n    return sum(prices)\n")


def test_fork_after_a_checkpoint_starts_from_a_copy_of_it(parent: Driven, tmp_path: Path) -> None:
    run = forked(parent, tmp_path, [bash("cat one.txt; cat price.py"), SUBMIT, SUBMIT], 3)
    (resumed,) = run.of("resumed")
    assert resumed.restored == [event.digest for event in run.of("checkpointed")][0 + len(resumed.rerun) - 1]
    assert "    return sum(prices)\n" in run.of("observed")[2].text


@pytest.mark.parametrize(("at", "edited_kind"), [(0, "task"), (1, "observation"), (2, "nudge")])
def test_fork_with_an_edited_message_shows_it_to_the_model(
    parent: Driven, tmp_path: Path, at: int, edited_kind: str
) -> None:
    run = forked(parent, tmp_path, [*SOLVE], at, message="Look at price.py only.")
    last = shown(run)[-1]
    assert last["content"] == "Look at price.py only."
    assert last["role"] == ("tool" if edited_kind == "observation" else "user")
    (origin,) = run.of("forked")
    first_call = parent.of("observed")[0].call_id
    assert origin.changes["edited"] == {"task": "task", "observation": first_call, "nudge": "nudge"}[edited_kind]
    assert replay(ReplayRequest(tmp_path / "fork" / LOG, tmp_path / "home")).drifts == ()


def test_fork_with_another_system_prompt_and_fewer_tools_sends_those(parent: Driven, tmp_path: Path) -> None:
    turns = [{"calls": [{"name": "search", "arguments": {"pattern": "total"}}]}, SUBMIT, SUBMIT]
    run = forked(parent, tmp_path, turns, 3, {"tools": "bash"}, system_prompt="You mend Python.")
    assert shown(run)[0] == {"role": "system", "content": "You mend Python."}
    assert [each["function"]["name"] for each in run.requests[0].body["tools"]] == ["bash", "submit"]
    assert run.of("observed")[2].text.startswith("There is no tool `search`")
    assert "    return sum(prices)\n" in git(parent.repository, "show", f"{run.report.branch}:price.py") + "\n"
    report = replay(ReplayRequest(tmp_path / "fork" / LOG, tmp_path / "home"))
    assert (report.drifts, report.turns) == ((), 6)


def test_forked_run_can_be_resumed_replayed_and_forked(parent: Driven, tmp_path: Path) -> None:
    run = forked(parent, tmp_path, [bash("ls"), bash(CHECK)], 3, {"steps": 2})
    assert run.report.outcome is Ending.STEP_LIMIT
    with ScriptedEndpoint([SUBMIT], port=int(run.report.endpoint.rsplit(":", 1)[1].partition("/")[0])):
        ended = resume(tmp_path / "fork", {"steps": 10}, None, lambda _: None)
    assert (ended.outcome, ended.steps) == (Ending.SUBMITTED, 4)
    again = forked(Driven(ended, [], [], parent.repository), tmp_path / "second", [SUBMIT, SUBMIT], 4)
    assert [event.at for event in again.of("forked")] == [3, 4]
    assert again.report.outcome is Ending.SUBMITTED
    for folder in (tmp_path / "fork", tmp_path / "second" / "fork"):
        assert replay(ReplayRequest(folder / LOG, tmp_path / "home")).drifts == ()


@pytest.mark.parametrize(
    ("at", "options", "told"),
    [
        (-1, {}, "from 0, the task, to 5"),
        (6, {}, "from 0, the task, to 5"),
        (2, {"settings": {"tools": "bash,hammer"}}, "no tool 'hammer'"),
        (2, {"settings": {"temperature": 9}}, "temperature cannot be used"),
        (2, {"settings": {"model": "nobody-knows"}}, "price"),
    ],
)
def test_fork_when_it_cannot_be_done_says_why_and_leaves_no_folder(
    parent: Driven, tmp_path: Path, at: int, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(OstroError) as refused:
        fork(ForkRequest(Path(parent.report.run), at, out=tmp_path / "fork", **options), None, lambda _: None)
    assert told in f"{refused.value} {refused.value.mend}"
    assert not (tmp_path / "fork").exists()


@pytest.mark.parametrize(
    ("changes", "price"),
    [
        ({"endpoint": "{same}"}, (0.0, 0.0)),
        ({"endpoint": "{same}/"}, (0.0, 0.0)),
        ({"endpoint": "{same}/chat/completions", "model": "scripted"}, (0.0, 0.0)),
        ({"endpoint": "http://127.0.0.1:9/v1"}, None),
        ({"endpoint": "{same}", "model": "other"}, None),
        ({"endpoint": "{same}", "price": "1,2"}, (1.0, 2.0)),
        ({"endpoint": "http://127.0.0.1:9/v1", "price": "1,2"}, (1.0, 2.0)),
    ],
)
def test_price_when_model_and_endpoint_are_the_same_by_whatever_name_stays(
    parent: Driven, changes: dict[str, str], price: tuple[float, float] | None
) -> None:
    found = read_parent(Path(parent.report.run))
    named = {name: value.format(same=parent.report.endpoint) for name, value in changes.items()}
    assert changed_settings(found, named).price == price


def test_fork_when_the_sandbox_cannot_be_had_leaves_no_folder(parent: Driven, tmp_path: Path) -> None:
    (Path(parent.report.run) / "base.git").rename(tmp_path / "away")
    try:
        with pytest.raises(UsageError, match="is gone"):
            fork(ForkRequest(Path(parent.report.run), 1, out=tmp_path / "fork"), None, lambda _: None)
    finally:
        (tmp_path / "away").rename(Path(parent.report.run) / "base.git")
    assert not (tmp_path / "fork").exists()


def test_fork_of_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"request\.json is missing"):
        fork(ForkRequest(tmp_path, 0), None, lambda _: None)


@pytest.mark.parametrize("name", NAMES)
def test_copied_part_of_any_log_leads_to_the_history_that_the_run_had_there(name: str) -> None:
    events: list[Event] = list(read_events(TRAJECTORIES / name / LOG))
    most = most_copied(events)
    assert most > 0
    for at in range(most + 1):
        part = [events[0], *copied(events, at, pictures=True)]
        state = reconstruct(part)
        assert isinstance(events[0], RunStarted)
        assert (state.turn if state.reply is None else state.turn + 1) == at
        assert state.pending == ()
        whole = list(reconstruct([event for event in events if getattr(event, "turn", -1) < at]).history)
        assert list(state.history) == whole


def test_edited_when_a_step_was_answered_with_nothing_then_refused(parent: Driven) -> None:
    with pytest.raises(UsageError, match="step 9 has no message"):
        edited(parent.events, 8, "x")


def test_request_of_a_fork_is_that_of_the_other_run_with_the_changes(parent: Driven, tmp_path: Path) -> None:
    forked(parent, tmp_path, [SUBMIT, SUBMIT], 3, {"temperature": 0.9})
    then, now = (
        json.loads((path / "request.json").read_text()) for path in (Path(parent.report.run), tmp_path / "fork")
    )
    assert now["task"] == then["task"]
    differing = {key for key, value in now["settings"].items() if value != then["settings"][key]}
    assert differing == {"endpoint", "model", "temperature", "steps"}
