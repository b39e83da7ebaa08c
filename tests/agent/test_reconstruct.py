"""Rebuilding an attempt from its log: whatever the loop did, the log alone gives the same state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from ostro.agent.model.catalogue import resolve
from ostro.agent.model.wire import render
from ostro.agent.record.events import Called, Event, Observed, Planned
from ostro.agent.record.reconstruct import reconstruct
from tests.driving import FIX, SOLVE, SUBMIT, Driven, bash, drive
from tests.faults.surviving import calls, edit


def before(events: list[Event], kind: type[Event], number: int) -> list[Event]:
    """Return the events before the `number`-th of a kind."""
    found = [index for index, event in enumerate(events) if isinstance(event, kind)]
    return events[: found[number]]


Recorded = Callable[[str], Driven]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Gives the run of a script, made once."""
    runs: dict[str, Driven] = {}

    def run_of(script: str) -> Driven:
        if script not in runs:
            folder = tmp_path_factory.mktemp("recorded")
            runs[script] = drive(folder, SCRIPTS[script], steps=24, sandbox="none", test="", skip_preflight=True)
        return runs[script]

    return run_of


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Driven:
    """A run of a call, an edit and its end."""
    return drive(tmp_path_factory.mktemp("mended"), [bash("true"), FIX, SUBMIT, SUBMIT])


def test_reconstruct_when_there_are_no_events_then_an_empty_state() -> None:
    state = reconstruct([])
    assert (state.started, state.turn, state.pending, len(state.history)) == (None, 0, (), 0)


def test_reconstruct_when_a_run_ended_then_what_it_spent_and_where_it_stood(tmp_path: Path) -> None:
    run = drive(tmp_path, SOLVE, price=(3.0, 5.0))
    state = reconstruct(run.events)
    assert state.ended is not None
    assert (state.spent.used_steps, state.spent.tokens) == (run.report.steps, run.report.tokens)
    assert state.spent.cost_usd == sum(event.cost_usd for event in run.of("planned")) > 0
    assert state.spent.purse.spent_usd == state.spent.cost_usd
    assert (state.turn, state.pending, state.cut) == (len(SOLVE) - 1, (), None)
    assert [ran.call.id for ran in state.ran] == [event.call.id for event in run.of("called")]


def test_reconstruct_when_cut_off_in_a_call_then_it_is_named(mended: Driven) -> None:
    state = reconstruct(before(mended.events, Observed, 1))
    assert state.cut is not None
    assert (state.cut.name, state.begun) == ("str_replace_editor", 1)
    assert state.pending == (state.cut,)
    called = next(event for event in mended.events if isinstance(event, Called) and event.turn == 1)
    assert reconstruct([*before(mended.events, Observed, 1), called]).begun == 2


def test_reconstruct_when_cut_off_before_a_call_then_it_is_pending(mended: Driven) -> None:
    state = reconstruct(before(mended.events, Called, 1))
    assert (state.cut, state.turn) == (None, 1)
    assert [call.name for call in state.pending] == ["str_replace_editor"]
    state = reconstruct(before(mended.events, Planned, 1))
    assert (state.turn, state.pending, len(state.results)) == (0, (), 1)


SAID: Mapping[str, Any] = {"content": "I think about it."}
LONG = bash("seq -f 'line %g of a long output' 400")
FAULTS = (
    "A20",
    "A21",
    "A22",
    "A27",
    "A30",
    "A31",
    "bad_json",
    "fenced_text_call",
    "junk_name",
    "split_call",
    "tiny_cut",
)
SCRIPTS: Mapping[str, list[Mapping[str, Any]]] = {
    "silence": [bash("ls"), SAID, FIX, SAID, SAID, *SOLVE[2:]],
    "afresh": [edit(command="view", path="price.py"), SAID],
    "loop": [bash("cat price.py")] * 4 + [FIX, bash("echo x"), SUBMIT, SUBMIT],
    "plan": [
        {"calls": [{"name": "plan", "arguments": {"items": ["look", "mend"]}}]},
        *[bash(f"echo {n}") for n in range(14)],
        *SOLVE,
    ],
    "several": [calls(bash("echo a"), FIX, edit(command="view", path="nowhere.py"), bash("echo b")), SUBMIT, SUBMIT],
    "done early": [FIX, SUBMIT, calls(SUBMIT, bash("echo never"))],
    "masked": [LONG, {**LONG, "content": "Again."}, bash("echo short"), {**FIX, "fault": "A36"}, SUBMIT, SUBMIT],
    "summary": [bash("echo 1"), bash("echo 2"), bash("echo 3"), {**FIX, "fault": "A36"}, SUBMIT, SUBMIT],
    "sixty": [calls(*[bash(f"echo {n}") for n in range(60)]), *SOLVE],
    **{fault: [{**bash("echo hello"), "fault": fault}, *SOLVE] for fault in FAULTS},
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_reconstruct_when_cut_off_before_any_reply_then_the_history_that_was_sent(
    recorded: Recorded, script: str
) -> None:
    run = recorded(script)
    profile = resolve("scripted", "http://127.0.0.1:1/v1", (0.0, 0.0)).profile
    asked = [messages for messages, _ in groupby(request.body["messages"] for request in run.requests)]
    planned = run.of("planned")
    rebuilt = [
        render(reconstruct(before(run.events, Planned, number)).history, profile) for number in range(len(planned))
    ]
    assert len(planned) > 1
    assert [messages for messages in asked if messages in rebuilt] == rebuilt


@pytest.mark.parametrize("script", ["loop", "plan", "several", "silence", "sixty", "A21"])
def test_reconstruct_when_the_run_ended_then_what_the_loop_remembers(recorded: Recorded, script: str) -> None:
    run = recorded(script)
    state = reconstruct(run.events)
    assert state.repairs == run.report.repairs
    assert state.silent == 0
    assert state.looping == ""
    assert state.seconds >= run.events[-1].mono
    nudged = [event for event in run.of("nudged") if event.kind == "loop"]
    assert state.detector._nudged == bool(nudged)
