"""P02: SIGKILL at every boundary of the log: between intent and result, between end and branch, branch and report."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ostro.agent.record.events import Event
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from tests.driving import git
from tests.faults.dying import Death, Nursery, nursery
from tests.faults.surviving import (
    busy_turns,
    check_whole,
    digest,
    left_behind,
    new_life,
    resumptions,
)
from tests.worlds import missing

STEPS = 9

pytestmark = pytest.mark.skipif(bool(missing("bubblewrap")), reason=missing("bubblewrap"))


@dataclass(frozen=True)
class Stage:
    """The undisturbed run that the others are compared with."""

    nursery: Nursery
    endpoint: ScriptedEndpoint
    folder: Path
    flags: tuple[str, ...]
    digest: str
    events: list[Event]


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    flags = ("--sandbox", "local", "--setup", "true", "--test", str(getattr(request, "param", "")))
    with ScriptedEndpoint(busy_turns(STEPS)) as endpoint, nursery(os.environ) as started:
        life = new_life(started, endpoint, tmp_path, flags, run="undisturbed")
        report = life.finish()
        yield Stage(started, endpoint, tmp_path, flags, digest(report), life.events())


def survive(stage: Stage, death: Death) -> None:
    """Kill a run at that moment, resume it, and check that it ends as the undisturbed one."""
    name = f"run-{death.kind}{death.line}-{'after' if death.after else 'before'}"
    life = new_life(stage.nursery, stage.endpoint, stage.folder, stage.flags, run=name)
    life.start(death)
    assert stage.nursery.wait() == -9, death
    report = life.finish()
    check_whole(life, report, stage.events)
    assert digest(report) == stage.digest, death
    assert git(life.repository, "branch", "--list", "ostro/*", "--format=%(refname:short)") == report.branch, death
    assert all(not event.cut_call or event.repeats for event in resumptions(life.events()))
    assert left_behind(Path(os.environ["OSTRO_HOME"])) == []


def test_p02_run_when_killed_after_an_event_of_each_kind_then_the_same_patch(stage: Stage) -> None:
    for kind, number in (
        ("run_started", 0),
        ("planned", 3),
        ("called", 3),
        ("observed", 3),
        ("checkpointed", 0),
        ("ended", 0),
        ("published", 0),
    ):
        survive(stage, Death(number, after=True, kind=kind))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["python3 check.py"], indirect=True)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_p02_run_when_killed_at_any_line_of_the_log_then_the_same_patch(stage: Stage, after: bool) -> None:
    for line in range(len(stage.events)):
        survive(stage, Death(line, after))
