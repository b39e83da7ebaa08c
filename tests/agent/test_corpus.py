"""Old logs keep replaying: every recorded trajectory against the code of today (tests/corpus.py)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from ostro.agent.record.events import Compacted, Ended, Event, Nudged, Observed, Planned, Resumed, RunStarted
from ostro.agent.record.trajectory import read_events
from ostro.cli.replay import title_of
from tests.corpus import BASE, DIGESTS, LOG, NAMES, TRAJECTORIES, digests, make_base, replay_entry

ACCEPTED = "accepted.diff"


def events() -> list[Event]:
    return [event for name in NAMES for event in read_events(TRAJECTORIES / name / LOG)]


@pytest.mark.parametrize("name", NAMES)
def test_recorded_trajectory_replays_without_any_drift_but_the_accepted(name: str, tmp_path: Path) -> None:
    report = replay_entry(name, tmp_path)
    drift = "".join(f"{title_of(drift)}\n{drift.diff}\n\n" for drift in report.drifts)
    accepted = TRAJECTORIES / name / ACCEPTED
    if os.environ.get("UPDATE_SNAPSHOTS"):
        accepted.write_text(drift, "utf-8") if drift else accepted.unlink(missing_ok=True)
    assert drift == (accepted.read_text("utf-8") if accepted.exists() else "")
    assert report.turns > 0


def test_corpus_when_a_file_of_it_was_changed_or_has_no_digest_then_refused() -> None:
    assert DIGESTS.read_text("utf-8").splitlines() == digests()


@pytest.mark.parametrize("name", NAMES)
def test_base_of_a_recorded_trajectory_is_made_with_the_same_commit_each_time(name: str, tmp_path: Path) -> None:
    repository = make_base(json.loads((TRAJECTORIES / name / BASE).read_text("utf-8")), tmp_path / "repository")
    started = next(read_events(TRAJECTORIES / name / LOG))
    assert isinstance(started, RunStarted)
    assert (repository / ".git" / "refs" / "heads" / "main").read_text().strip() == started.base_commit


def test_corpus_names_no_machine_that_it_was_recorded_on() -> None:
    for name in NAMES:
        started = next(read_events(TRAJECTORIES / name / LOG))
        assert isinstance(started, RunStarted)
        assert (started.config["home"], started.config["host"]) == ("/recorded/home", "Linux")
        text = (TRAJECTORIES / name / LOG).read_text("utf-8")
        assert re.findall(r'ostro-record-|"served_by":"/|/root/\.|/home/|/tmp/[a-z]+-keep', text) == []


def test_corpus_has_what_a_log_can_hold() -> None:
    found = events()
    repairs = {stage for event in found if isinstance(event, Planned) for stage in event.repairs}
    assert {"text_json", "text_chatml", "text_mistral", "text_shell", "refused_unknown_tool", "refused_json"} <= repairs
    assert {"demo", "real-chunks"} <= set(NAMES)
    assert {event.kind for event in found if isinstance(event, Nudged)} >= {"no_call", "loop", "plan", "limit"}
    assert {event.name for event in found if isinstance(event, Observed)} >= {
        "bash", "str_replace_editor", "search", "git", "plan", "submit", "unknown_tool"
    }  # fmt: skip
    assert {event.outcome.ending for event in found if isinstance(event, Ended)} >= {
        "submitted", "gave_up", "loop_detected"
    }  # fmt: skip
    data = [event.data for event in found if isinstance(event, Observed)]
    assert any(each.get("timed_out") for each in data)
    assert any(each.get("job") for each in data)
    assert any(each.get("saved") for each in data)
    assert any(isinstance(event, Compacted) for event in found)
    assert any(isinstance(event, Resumed) for event in found)
