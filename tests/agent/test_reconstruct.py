"""Rebuilding an attempt from its log: whatever the loop did, the log alone gives the same state."""

from __future__ import annotations

from pathlib import Path

from ostro.agent.record.events import Called, Event, Observed, Planned
from ostro.agent.record.reconstruct import reconstruct
from tests.driving import FIX, SOLVE, SUBMIT, bash, drive


def before(events: list[Event], kind: type[Event], number: int) -> list[Event]:
    """Return the events before the `number`-th of a kind."""
    found = [index for index, event in enumerate(events) if isinstance(event, kind)]
    return events[: found[number]]


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


def test_reconstruct_when_cut_off_in_a_call_then_it_is_named(tmp_path: Path) -> None:
    run = drive(tmp_path, [bash("true"), FIX, SUBMIT, SUBMIT])
    state = reconstruct(before(run.events, Observed, 1))
    assert state.cut is not None
    assert (state.cut.name, state.begun) == ("str_replace_editor", 1)
    assert state.pending == (state.cut,)
    called = next(event for event in run.events if isinstance(event, Called) and event.turn == 1)
    assert reconstruct([*before(run.events, Observed, 1), called]).begun == 2


def test_reconstruct_when_cut_off_before_a_call_then_it_is_pending(tmp_path: Path) -> None:
    run = drive(tmp_path, [bash("true"), FIX, SUBMIT, SUBMIT])
    state = reconstruct(before(run.events, Called, 1))
    assert (state.cut, state.turn) == (None, 1)
    assert [call.name for call in state.pending] == ["str_replace_editor"]
    state = reconstruct(before(run.events, Planned, 1))
    assert (state.turn, state.pending, len(state.results)) == (0, (), 1)
